//! The command line client: questions and exports from a terminal, over the public API.
//!
//! Enters: arguments, and a key from the environment or a file. Leaves: tables for people, JSON lines for programs, and
//! an exit code that says how to react ([`CliError::exit_code`]). Never talks to the store, and never prints a key.

pub mod audit;
pub mod client;
pub mod connection;
pub mod error;
pub mod exports;
pub mod filter;
pub mod listing;
pub mod metrics;
pub mod output;
pub mod patience;
pub mod series;
pub mod system;
pub mod table;
pub mod transfer;
pub mod whoami;

use clap::{Args, Subcommand};

use self::client::Client;
use self::connection::ConnectionArgs;
pub use self::error::CliError;
use self::output::Output;

/// Commands of the client.
#[derive(Debug, Subcommand)]
pub enum ClientCommand {
    /// Metrics: list, show over time, what late records changed, health of services
    Metrics {
        /// Command to run
        #[command(subcommand)]
        command: metrics::MetricsCommand,
        /// Connection and output
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Audit events: search, one event with what it changed, timelines, counts
    Audit {
        /// Command to run
        #[command(subcommand)]
        command: audit::AuditCommand,
        /// Connection and output
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Exports of audit events: create, watch, download
    Exports {
        /// Command to run
        #[command(subcommand)]
        command: exports::ExportsCommand,
        /// Connection and output
        #[command(flatten)]
        client: ClientArgs,
    },
    /// The system, with an administrator's key for any tenant: progress of the stages, whether every record is
    /// accounted for, use of storage, configuration
    System {
        /// Command to run
        #[command(subcommand)]
        command: system::SystemCommand,
        /// Connection and output
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Who your key says you are, and what it may do
    Whoami {
        /// How
        #[command(flatten)]
        client: ClientArgs,
    },
}

/// Connection and output.
#[derive(Debug, Clone, Args)]
pub struct ClientArgs {
    /// Print the JSON of the API, one document per line
    #[arg(long, global = true)]
    pub json: bool,
    /// Where to ask, and as whom
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Runs a command of the client.
pub async fn run(command: ClientCommand) -> Result<(), CliError> {
    let prepare =
        |arguments: &ClientArgs| Ok::<_, CliError>((Client::new(&arguments.connection)?, Output::new(arguments.json)));
    match command {
        ClientCommand::Metrics { command, client } => {
            let (client, output) = prepare(&client)?;
            metrics::run(command, &client, output).await
        }
        ClientCommand::Audit { command, client } => {
            let (client, output) = prepare(&client)?;
            audit::run(command, &client, output).await
        }
        ClientCommand::Exports { command, client } => {
            let (client, output) = prepare(&client)?;
            exports::run(command, &client, output).await
        }
        ClientCommand::System { command, client } => {
            let (client, output) = prepare(&client)?;
            system::run(command, &client, output).await
        }
        ClientCommand::Whoami { client } => {
            let (client, output) = prepare(&client)?;
            whoami::run(&client, output).await
        }
    }
}
