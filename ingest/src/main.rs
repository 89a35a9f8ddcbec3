//! `horolog-ingest`: arguments, configuration, telemetry, run.

use std::sync::Arc;

use clap::Parser;
use horolog_ingest::config::Config;
use horolog_ingest::stage::Ingest;
use horolog_stage::config::{ConfigArgs, load};
use horolog_stage::telemetry;

/// Stores the records of Kafka topics in ClickHouse, exactly once.
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(flatten)]
    config: ConfigArgs,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config: Config = load("ingest", &Args::parse().config)?;
    telemetry::init(&config.telemetry)?;
    let stage = Arc::new(Ingest::new(&config.source, &config.retention)?);
    horolog_stage::run(stage, config.run_options(), horolog_stage::terminated()).await?;
    Ok(())
}
