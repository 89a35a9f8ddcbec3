//! What `horolog-query` does: serve, which is the default, or one of its commands.
//!
//! Enters: arguments. Leaves: an exit code. The client's commands do not read the service's configuration, so they run
//! on a machine that has only a key. Its options may stand before its commands, too.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;
use horolog_schemas::errors::in_words;
use horolog_stage::config::ConfigArgs;

use crate::access::keys_command::{self, KeysCommand};
use crate::audit::exports::verify;
use crate::cli::{self, ClientArgs, ClientCommand};
use crate::config::QueryConfig;
use crate::service::server;

/// The end of the help of the program.
const AFTER_HELP: &str = "\
metrics, audit, exports, system and whoami ask a running service, with the API key in HOROLOG_API_KEY or in the file that \
--key-file names:

  horolog-query metrics list
  horolog-query metrics show http_request_duration --last 24h --group-by service_id
  horolog-query audit search --status failure --last 7d

Their exit code is 2 when the question has to be corrected, 3 when another key is needed, 4 when the same may work later.

keys and access-review use the configuration of the service (--config, --set, HOROLOG_QUERY__…) instead of a key.";

/// The heading of the client's options in the help of the program.
const OF_CLIENT: &str = "Options of metrics, audit, exports, system and whoami, before or behind them";

/// Metrics and audit events: the service, and a client for it. Without a command, serves.
#[derive(Debug, Parser)]
#[command(name = "horolog-query", version, about, after_help = AFTER_HELP)]
pub struct Arguments {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

impl Arguments {
    /// From a command line.
    ///
    /// # Errors
    /// What clap finds wrong with it, or an option of the client before what is no command of the client.
    pub fn of<T>(line: impl IntoIterator<Item = T>) -> Result<Self, clap::Error>
    where
        T: Into<OsString> + Clone,
    {
        let mut command = whole_command();
        let matches = command.try_get_matches_from_mut(line)?;
        let arguments = Self::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
        let is_typed = |option: &Arg| matches.value_source(option.get_id().as_str()) == Some(ValueSource::CommandLine);
        let is_of_client = matches!(arguments.command, Some(Command::Client(_)));
        match options_of_client().into_iter().find(is_typed) {
            Some(option) if !is_of_client => {
                let name = option.get_long().unwrap_or_default();
                let reason = format!("--{name} belongs to metrics, audit, exports, system or whoami");
                Err(command.error(ErrorKind::ArgumentConflict, reason))
            }
            _ => Ok(arguments),
        }
    }
}

/// All that can be typed: also the client's options before its commands. Clap gives their values to the options of the
/// same ids behind the commands, where those are not typed.
fn whole_command() -> clap::Command {
    Arguments::command().args(options_of_client())
}

/// Not global: commands of the operator have options of the same names that mean something else.
fn options_of_client() -> Vec<Arg> {
    let client = ClientArgs::augment_args(clap::Command::new("client"));
    let options = client.get_arguments().cloned();
    options
        .map(|option| option.global(false).help_heading(OF_CLIENT))
        .collect()
}

/// What to do instead of serving.
#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant)] // created once per process
enum Command {
    #[command(flatten)]
    Client(ClientCommand),
    /// Manage API keys, with the service's configuration instead of a key
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Show who may see what, and when they last did, with the service's configuration instead of a key
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
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut whole_command(), "horolog-query", &mut script);
            match io::stdout().write_all(&script) {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => exit_code(Err(error.into())),
                _ => ExitCode::SUCCESS,
            }
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

    fn parsed(line: &[&str]) -> Result<Arguments, clap::Error> {
        Arguments::of([&["horolog-query"][..], line].concat())
    }

    fn of_metrics(line: &[&str]) -> ClientArgs {
        match parsed(line).unwrap().command {
            Some(Command::Client(ClientCommand::Metrics { client, .. })) => client,
            other => panic!("{line:?}: {other:?}"),
        }
    }

    #[test]
    fn the_arguments_are_consistent() {
        whole_command().debug_assert();
    }

    #[test]
    fn options_of_the_client_stand_before_or_behind_its_commands() {
        for line in [
            ["--tenant", "acme", "--json", "metrics", "list"],
            ["metrics", "--tenant", "acme", "--json", "list"],
            ["metrics", "list", "--tenant", "acme", "--json"],
            ["--json", "metrics", "--tenant", "acme", "list"],
        ] {
            let client = of_metrics(&line);
            assert_eq!(
                (client.json, client.connection.tenant.as_deref()),
                (true, Some("acme")),
                "{line:?}"
            );
        }
        let twice = of_metrics(&["--url", "http://[::1]:1", "metrics", "list", "--url", "http://[::1]:2"]);
        assert_eq!(twice.connection.url, "http://[::1]:2");
        assert!(parsed(&[]).unwrap().command.is_none());
    }

    #[test]
    fn an_option_of_the_client_is_refused_where_it_would_mean_nothing() {
        for line in [
            &["--tenant", "acme"][..],
            &["--json", "keys", "list"],
            &["--key-file", "key", "completion", "bash"],
        ] {
            let error = parsed(line).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ArgumentConflict, "{line:?}");
            assert!(error.to_string().contains(line[0]), "{error}");
        }
        for line in [
            &["keys", "create", "--name", "n", "--role", "admin", "--tenant", "acme"][..],
            &["keys", "list", "--json"],
            &["access-review", "--json"],
        ] {
            assert!(parsed(line).is_ok(), "{line:?}");
        }
    }
}
