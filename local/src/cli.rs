//! The command line: one subcommand a module, each parsed into that module's options before anything starts.
//!
//! Enters: the arguments. Leaves: the exit code of the subcommand. Never does: work of its own.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::command::{down, logs, status, test, up, wipe};
use crate::process::hold;
use crate::{engine, import, sample};

/// The hour log on one machine: real Kafka, the embedded ClickHouse engine, all the services.
#[derive(Debug, Parser)]
#[command(name = "horolog", version, about, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Set up and run everything on this machine, with a sample stream.
    Up(up::UpOptions),
    /// Stop everything; the data stays.
    Down(down::DownOptions),
    /// Stop everything and remove the data.
    Wipe(wipe::WipeOptions),
    /// Show what runs, where, and how far behind it is. The exit code is 0 when all of it is ready, otherwise 3.
    Status(status::StatusOptions),
    /// Show the end of the logs, of all processes or of one.
    Logs(logs::LogsOptions),
    /// Set up and run every check and test of the sources.
    Test(test::TestOptions),
    /// Send existing data through Kafka: CSV metrics, AWS CloudTrail, the Windows event log, NDJSON.
    Import(import::ImportOptions),
    /// Serve ClickHouse's HTTP interface over the embedded engine.
    #[command(hide = true)]
    Engine(engine::EngineOptions),
    /// Produce the live sample stream of the tenant `demo`.
    #[command(hide = true)]
    Sample(sample::SampleOptions),
    /// Become a program that ends when its parent does.
    #[command(hide = true)]
    Hold(hold::HoldOptions),
}

impl Cli {
    /// Runs the subcommand to its end.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Up(options) => up::run(&options),
            Command::Down(options) => down::run(&options),
            Command::Wipe(options) => wipe::run(&options),
            Command::Status(options) => status::run(&options),
            Command::Logs(options) => logs::run(&options),
            Command::Test(options) => test::run(&options),
            Command::Import(options) => import::run(options).map(|()| ExitCode::SUCCESS),
            Command::Engine(options) => engine::run(options).map(|()| ExitCode::SUCCESS),
            Command::Sample(options) => sample::run(options).map(|()| ExitCode::SUCCESS),
            Command::Hold(options) => hold::run(options).map(|()| ExitCode::SUCCESS),
        }
    }
}
