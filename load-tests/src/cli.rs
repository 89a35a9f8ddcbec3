//! The command line: one subcommand a module, each parsed into that module's options before anything starts.
//!
//! Enters: the arguments. Leaves: the exit code of the subcommand. Never does: work of its own.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::sizes;

/// Load tests of Horolog.
#[derive(Debug, Parser)]
#[command(name = "horolog-load", version, about, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure the promised sizes on a new local stack: start, memory, a backlog to hourly rows, latency at a modest rate.
    Sizes(sizes::SizesOptions),
}

impl Cli {
    /// Runs the subcommand to its end.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Sizes(options) => sizes::run(&options),
        }
    }
}
