//! The upkeep: what is derived in the background from complete hours, and again when they are revised.
//!
//! In: the progress of the partitions, `hour_revisions`, raw rows. Out: the increases of counters by series and hour,
//! incidents for counters and metrics that behave oddly, and rolled-up days. One member of the group does it at a time
//! ([`Duty`]). It keeps in memory only what it waits for and what failed, so the next one continues where the tables
//! say. A wake-up with nothing to do costs five small statements.

mod awaited;
mod config;
mod counters;
mod days;
mod duty;
mod failed;
mod metrics;
mod plan;
mod progress;
mod resting;
mod rounds;
mod statements;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use horolog_stage::completeness::complete_hours_end;
use horolog_stage::config::ConfigError;
use prometheus_client::registry::Registry;

pub use config::UpkeepConfig;
use counters::Counters;
use days::Days;
pub use duty::Duty;
use metrics::UpkeepMetrics;
pub use progress::TaskProgress;
use rounds::CounterRounds;
pub use statements::{Statements, UpkeepError};

use crate::config::Config;

/// What is complete is worked through for so long in a round, so that the rest of the upkeep need not wait longer: a
/// history takes several rounds.
const ROUND_MAX: Duration = Duration::from_secs(60);

/// The task.
pub struct Upkeep {
    statements: Statements,
    counters: CounterRounds,
    days: Days,
    duty: Duty,
    metrics: UpkeepMetrics,
    is_enabled: bool,
    interval: Duration,
}

impl Upkeep {
    /// As configured; does not connect.
    pub fn new(config: &Config, duty: Duty, registry: &mut Registry) -> Result<Self, ConfigError> {
        let (upkeep, topic) = (&config.upkeep, &config.source.metrics_topic);
        upkeep.validate()?;
        let statements = Statements::new(&config.clickhouse, upkeep, topic)?;
        let metrics = UpkeepMetrics::new(registry);
        let counters = Counters {
            statements: statements.clone(),
            config: upkeep.clone(),
            metrics: metrics.clone(),
            last_revisions: BTreeMap::new(),
        };
        Ok(Self {
            counters: CounterRounds::new(counters, duty.clone()),
            days: Days {
                statements: statements.clone(),
                duty: duty.clone(),
                through_seconds: metrics.days_through_seconds.clone(),
                rest: Duration::from_secs(upkeep.revise_interval_s),
                rest_until: Instant::now(),
            },
            statements,
            duty,
            metrics,
            is_enabled: upkeep.enabled,
            interval: Duration::from_secs(upkeep.interval_s),
        })
    }

    /// Wakes up periodically, for ever. What fails is tried again at the next wake-up.
    pub async fn run(mut self) {
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let is_ours = self.is_enabled && self.duty.is_ours();
            self.metrics.is_ours.set(i64::from(is_ours));
            if !is_ours {
                self.counters.forget();
                continue;
            }
            if let Err(error) = self.round().await {
                self.metrics.failures.inc();
                tracing::warn!(%error, "the upkeep stopped early, trying again at the next wake-up");
            }
        }
    }

    /// Everything that is due now.
    async fn round(&mut self) -> Result<(), UpkeepError> {
        let progress = self.statements.progress().await?;
        let Some(end) = complete_hours_end(&progress) else {
            return Ok(());
        };
        // None waits for another to succeed; retries come last, so that they delay nothing else.
        let counters = self.counters.round(end).await;
        let days = self.days.round(end).await;
        let failed = self.counters.retry().await;
        counters.and(days).and(failed)
    }
}
