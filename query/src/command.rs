//! What `horolog-query` does: serve, which is the default, or one of its commands.
//!
//! Enters: arguments. Leaves: an exit code. The client's commands do not read the service's configuration, so they run
//! on a machine that has only a key.

use std::io;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use horolog_schemas::errors::in_words;
use horolog_stage::config::ConfigArgs;

use crate::access::keys_command::{self, KeysCommand};
use crate::audit::exports::verify;
use crate::cli::{self, ClientCommand};
use crate::config::QueryConfig;
use crate::service::server;

/// Metrics and audit events: the service, and a client for it. Without a command, serves.
#[derive(Debug, Parser)]
#[command(name = "horolog-query", version, about)]
pub struct Arguments {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What to do instead of serving.
#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant)] // created once per process
enum Command {
    #[command(flatten)]
    Client(ClientCommand),
    /// Manage API keys, as the operator of the service
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Show who may see what, and when they last did, as the operator of the service
    AccessReview {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Verify an export offline. Exit code 0: it matches its manifest, 1: it does not, 2: it cannot be read
    VerifyExport(verify::Arguments),
    /// Print a completion script for a shell
    Completion {
        /// Shell
        shell: Shell,
    },
}

/// Runs the command.
pub async fn run(arguments: Arguments) -> ExitCode {
    match arguments.command {
        None => exit_code(serve(&arguments.config).await),
        Some(Command::Client(command)) => match cli::run(command).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("horolog-query: {error}");
                ExitCode::from(error.exit_code())
            }
        },
        Some(Command::Keys(command)) => exit_code(run_keys(&command, &arguments.config).await),
        Some(Command::AccessReview { json }) => exit_code(review(json, &arguments.config).await),
        Some(Command::VerifyExport(export)) => verify::run(export, arguments.config).await,
        Some(Command::Completion { shell }) => {
            clap_complete::generate(shell, &mut Arguments::command(), "horolog-query", &mut io::stdout());
            ExitCode::SUCCESS
        }
    }
}

async fn serve(arguments: &ConfigArgs) -> anyhow::Result<()> {
    server::run(&configured(arguments)?).await
}

async fn run_keys(command: &KeysCommand, arguments: &ConfigArgs) -> anyhow::Result<()> {
    keys_command::run(command, &configured(arguments)?).await
}

async fn review(is_json: bool, arguments: &ConfigArgs) -> anyhow::Result<()> {
    keys_command::access_review(is_json, &configured(arguments)?).await
}

fn configured(arguments: &ConfigArgs) -> anyhow::Result<QueryConfig> {
    let config = QueryConfig::load(arguments)?;
    horolog_stage::telemetry::init(&config.telemetry)?;
    Ok(config)
}

fn exit_code(done: anyhow::Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("horolog-query: {}", in_words(&*error));
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn options_of_the_client_may_stand_behind_its_commands() {
        let line = [
            "horolog-query",
            "audit",
            "search",
            "--user",
            "ann",
            "--json",
            "--url",
            "http://[::1]:1",
        ];
        assert!(Arguments::try_parse_from(line).is_ok());
        assert!(Arguments::try_parse_from(["horolog-query"]).unwrap().command.is_none());
    }
}
