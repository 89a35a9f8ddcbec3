//! Command-line interface: run the stage, or one of the operator's commands.

use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use horolog_schemas::{Kind, WriterSchemas};
use horolog_stage::config::{ConfigArgs, load};
use horolog_stage::store::Store;
use horolog_stage::telemetry;
use prometheus_client::registry::Registry;

use crate::block::HOURLY_TABLE;
use crate::config::Config;
use crate::stage::{Aggregation, Limits};
use crate::stalls::Stalls;
use crate::upkeep::{Duty, Upkeep};
use crate::verify::{ContinuousVerification, Verdict};
use crate::{rebuild, verify};

/// Keeps hourly aggregates of the metric samples in Kafka in ClickHouse, and reports how complete they are.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

/// A command to run instead of the stage.
#[derive(Debug, Subcommand)]
enum Command {
    /// Recompute hours from raw rows or from Kafka, beside the present ones, while records keep arriving. If
    /// interrupted, the same command continues.
    Rebuild(rebuild::Args),
    /// Compare hours with raw rows, the ledger and Kafka's offsets. Exit codes as of diff(1): 0 equal, 1 different, 2
    /// not everything could be compared.
    Verify(verify::Args),
}

impl Args {
    /// The exit code for an error.
    pub fn failure(&self) -> ExitCode {
        match self.command {
            Some(Command::Verify(_)) => ExitCode::from(Verdict::NotCompared as u8),
            _ => ExitCode::FAILURE,
        }
    }

    /// Runs the chosen command.
    pub async fn run(&self) -> anyhow::Result<ExitCode> {
        let config: Config = load("aggregate", &self.config)?;
        telemetry::init(&config.telemetry)?;
        match &self.command {
            None => run_stage(&config).await?,
            Some(Command::Rebuild(args)) => rebuild::run(&config, args).await?,
            Some(Command::Verify(args)) => return Ok(ExitCode::from(verify::run(&config, args).await? as u8)),
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn run_stage(config: &Config) -> anyhow::Result<()> {
    config.check()?;
    let schemas = WriterSchemas::load(Kind::MetricSample, config.source.schema_folder.as_deref())?;
    let store = Store::with_current_tables(&config.clickhouse).await?;
    let months_kept = store.months_kept(HOURLY_TABLE).await?;
    let limits = Limits {
        max_clock_skew_ms: config.completeness.max_clock_skew_ms(),
        keys_per_tenant_max: config.aggregate.keys_per_tenant_max.max(1),
    };
    let (mut registry, duty) = (Registry::default(), Duty::default());
    let stage = Aggregation::start(config.aggregate.worker_count(), Arc::new(schemas), limits)?
        .with_months_kept(months_kept)
        .with_duty(duty.clone());
    let stalls = Stalls::new(config.clickhouse.client()?, config, &mut registry);
    let verification = ContinuousVerification::new(config, duty.clone(), &mut registry)?;
    let upkeep = Upkeep::new(config, duty, &mut registry)?;
    let beside = [
        tokio::spawn(stalls.watch()),
        tokio::spawn(verification.run()),
        tokio::spawn(upkeep.run()),
    ];
    let options = config.run_options();
    let ended = horolog_stage::run(Arc::new(stage), store, options, registry).await;
    beside.iter().for_each(tokio::task::JoinHandle::abort);
    ended?;
    Ok(())
}
