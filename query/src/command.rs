//! What `horolog-query` is told to do: serve, which is the rule, or one of its commands.
//!
//! Enters: arguments. Leaves: an exit code. A command of the client takes nothing from the service's configuration, so
//! that it runs on a machine that has only a key.

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

/// Metrics and audit events: the service, and questions to it. Without a command it serves.
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
#[allow(clippy::large_enum_variant)] // made once a process
enum Command {
    #[command(flatten)]
    Client(ClientCommand),
    /// Keys of callers, for whoever runs the service
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Who may see what, and when they last did: for whoever runs the service
    AccessReview {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Check an export offline: exit code 0 when it is what its manifest says, 1 when it is not, 2 when it cannot be read
    VerifyExport(verify::Arguments),
    /// Print what makes a shell complete these commands
    Completion {
        /// The shell
        shell: Shell,
    },
}

/// Does it.
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
