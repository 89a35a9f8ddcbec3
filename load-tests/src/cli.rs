//! The command line: one subcommand a module, each parsed into that module's options before anything starts.
//!
//! Enters: the arguments. Leaves: the exit code of the subcommand. Never does: work of its own.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::dashboards;
use crate::mode::{compare, generate, knee, merge, run};
use crate::sizes;

/// Load tests of Horolog: open loop, every record accounted for.
///
/// Exit code 0: passed. 1: a record was lost or doubled, an objective was missed, or the run could not start. 3: no
/// verdict, because the tester was the bottleneck. 2: wrong arguments. 130: interrupted.
#[derive(Parser)]
#[command(name = "horolog-load", version, about, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Send records by a schedule; measure until they are acknowledged, stored and in the hourly answer.
    Run(Box<run::RunOptions>),
    /// Find the highest rate that meets the objectives [default: stored:p99<=1s]; --rate sets the rate of the
    /// first step, --duration the length of each.
    Knee(Box<knee::KneeOptions>),
    /// A long run that fails if memory, lag or latency grows.
    Soak(Box<run::RunOptions>),
    /// Kill and pause the processes of a local stack during the run.
    Chaos(Box<run::ChaosOptions>),
    /// Compare two results folders, or run two configurations alternately and compare them.
    Compare(compare::CompareOptions),
    /// Replay recorded records with their original gaps; --rate, --schedule, --duration and the record options are
    /// ignored.
    Replay(Box<run::ReplayOptions>),
    /// Add up the results of testers that ran at the same time.
    Merge(merge::MergeOptions),
    /// Generate records without sending them, to measure the generator.
    Generate(generate::GenerateOptions),
    /// Measure the promised sizes on a new local stack: start, memory, a backlog to hourly rows, latency at a modest
    /// rate.
    Sizes(sizes::SizesOptions),
    /// Measure charts and dashboards over a year of hours on a new local stack.
    Dashboards(dashboards::DashboardsOptions),
}

impl Cli {
    /// Runs the subcommand to its end.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Run(options) => run::run(&options),
            Command::Knee(options) => knee::run(&options),
            Command::Soak(options) => run::soak(&options),
            Command::Chaos(options) => run::chaos(&options),
            Command::Compare(options) => compare::run(&options),
            Command::Replay(options) => run::replay(&options),
            Command::Merge(options) => merge::run(&options),
            Command::Generate(options) => generate::run(&options),
            Command::Sizes(options) => sizes::run(&options),
            Command::Dashboards(options) => dashboards::run(&options),
        }
    }
}
