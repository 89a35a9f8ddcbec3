//! Command-line interface: run the stage, or replay rejected records.

use std::sync::Arc;

use clap::{Parser, Subcommand};
use horolog_stage::config::{ConfigArgs, load};
use horolog_stage::store::Store;
use horolog_stage::telemetry;
use prometheus_client::registry::Registry;

use crate::config::Config;
use crate::replay;
use crate::stage::Ingest;

/// Stores the records of Kafka topics in ClickHouse, exactly once.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What to do instead of running the stage.
#[derive(Debug, Subcommand)]
enum Command {
    /// Send rejected records to their topic again once the cause of the rejection is fixed. Each record is sent at most
    /// once, however often this runs, and only if it would be accepted now.
    ReplayRejected(replay::Args),
}

impl Args {
    /// Runs the chosen command.
    pub async fn run(&self) -> anyhow::Result<()> {
        let config: Config = load("ingest", &self.config)?;
        telemetry::init(&config.telemetry)?;
        match &self.command {
            None => run_stage(&config).await,
            Some(Command::ReplayRejected(args)) => Ok(replay::run(&config, args).await?),
        }
    }
}

async fn run_stage(config: &Config) -> anyhow::Result<()> {
    let stage = Ingest::new(&config.source)?;
    let store = Store::with_current_tables(&config.clickhouse).await?;
    let stage = stage.with_retention(&store).await?;
    let (options, registry) = (config.run_options(), Registry::default());
    horolog_stage::run(Arc::new(stage), store, options, registry).await?;
    Ok(())
}
