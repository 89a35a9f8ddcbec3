//! `horolog-aggregate`: arguments, configuration, telemetry, run.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use horolog_aggregate::config::Config;
use horolog_aggregate::stage::{Aggregation, Limits};
use horolog_aggregate::stalls::Stalls;
use horolog_aggregate::upkeep::{Turn, Upkeep};
use horolog_schemas::{Kind, WriterSchemas};
use horolog_stage::config::{ConfigArgs, load};
use horolog_stage::telemetry;
use prometheus_client::registry::Registry;

/// Keeps hourly aggregates of Kafka's metric samples in ClickHouse, and says how complete they are.
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
            eprintln!("horolog-aggregate: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &ConfigArgs) -> anyhow::Result<()> {
    let config: Config = load("aggregate", args)?;
    telemetry::init(&config.telemetry)?;
    let schemas = WriterSchemas::load(Kind::MetricSample, config.source.schema_folder.as_deref())?;
    let (workers, months) = (config.aggregate.worker_count(), config.retention.hourly_months);
    let limits = Limits {
        max_clock_skew_ms: config.completeness.max_clock_skew_ms(),
        keys_per_tenant_max: config.aggregate.keys_per_tenant_max.max(1),
    };
    let (mut registry, turn) = (Registry::default(), Turn::default());
    let stage = Aggregation::start(workers, Arc::new(schemas), months, limits)?.with_turn(turn.clone());
    let upkeep = tokio::spawn(Upkeep::new(&config, turn, &mut registry)?.run());
    let (client, topic) = (config.clickhouse.client()?, &config.source.metrics_topic);
    let stalls = Stalls::new(client, topic, &config.completeness, &mut registry);
    let watching = tokio::spawn(stalls.watch());
    let ended = horolog_stage::run(
        Arc::new(stage),
        config.run_options(),
        registry,
        horolog_stage::terminated(),
    )
    .await;
    watching.abort();
    upkeep.abort();
    ended?;
    Ok(())
}
