//! `horolog-ingest`: arguments, configuration, telemetry, run.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use horolog_ingest::config::Config;
use horolog_ingest::stage::Ingest;
use horolog_stage::config::{ConfigArgs, load};
use horolog_stage::telemetry;
use prometheus_client::registry::Registry;

/// Stores the records of Kafka topics in ClickHouse, exactly once.
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(flatten)]
    config: ConfigArgs,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Args::parse().config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("horolog-ingest: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &ConfigArgs) -> anyhow::Result<()> {
    let config: Config = load("ingest", args)?;
    telemetry::init(&config.telemetry)?;
    let stage = Ingest::new(&config.source, &config.retention)?;
    let (options, registry) = (config.run_options(), Registry::default());
    horolog_stage::run(Arc::new(stage), options, registry, horolog_stage::terminated()).await?;
    Ok(())
}
