//! `horolog-query`: reads its configuration, checks the store, serves until it is told to stop.

use std::process::ExitCode;

use clap::Parser;
use horolog_query::access::cli::{self, KeysCommand};
use horolog_query::api::server;
use horolog_query::config::QueryConfig;
use horolog_stage::config::ConfigArgs;

/// Hourly metrics and audit events over HTTP.
#[derive(Debug, Parser)]
#[command(name = "horolog-query", version, about)]
struct Arguments {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What to do instead of serving.
#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Keys of callers.
    #[command(subcommand)]
    Keys(KeysCommand),
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("horolog-query: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let config = QueryConfig::load(&arguments.config)?;
    horolog_stage::telemetry::init(&config.telemetry)?;
    match &arguments.command {
        None => server::run(&config).await,
        Some(Command::Keys(command)) => cli::run(command, &config.access),
    }
}
