//! The command line: questions and exports from a terminal, over the same API that everybody uses.
//!
//! Enters: arguments, and a key from the environment or a file. Leaves: tables for people, JSON lines for programs, and an
//! exit code that says whose turn it is ([`CliError::exit_code`]). Never asks the store, and never prints a key.

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

/// What the client can be asked.
#[derive(Debug, Subcommand)]
pub enum ClientCommand {
    /// Metrics: which there are, by hours, days and months, what late records changed, how services do
    Metrics {
        /// What of it
        #[command(subcommand)]
        command: metrics::MetricsCommand,
        /// How
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Audit events: search, one event with what it changed, time lines, counts
    Audit {
        /// What of it
        #[command(subcommand)]
        command: audit::AuditCommand,
        /// How
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Exports of audit events: create, watch, download
    Exports {
        /// What of it
        #[command(subcommand)]
        command: exports::ExportsCommand,
        /// How
        #[command(flatten)]
        client: ClientArgs,
    },
    /// The system, with an administrator's key for any tenant: how far the stages are, whether every record is accounted for, where the bytes are,
    /// how the service is configured
    System {
        /// What of it
        #[command(subcommand)]
        command: system::SystemCommand,
        /// How
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

/// How a question is asked and answered.
#[derive(Debug, Clone, Args)]
pub struct ClientArgs {
    /// Print JSON, a document a line, as the API gives it
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
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
