//! The upkeep: what is derived in the background from hours that are complete, and again when they are revised.
//!
//! In: the progress of the partitions, `hour_revisions`, raw rows. Out: the increases of counters by series and hour, incidents
//! for counters and metrics that behave oddly, and days rolled up. One member of the group does it at a time ([`Duty`]); it keeps nothing in
//! memory but what it waits for and what failed, so the next one goes on where the tables say. A wake-up with nothing to do costs five small statements.

mod awaited;
mod config;
mod counters;
mod days;
mod duty;
mod failed;
mod metrics;
mod plan;
mod progress;
mod statements;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use horolog_stage::completeness::complete_hours_end;
use horolog_stage::config::ConfigError;
use horolog_stage::incident::Reason;
use prometheus_client::registry::Registry;

use awaited::{Awaited, SamplesByHour, ingest_is_behind};
pub use config::UpkeepConfig;
use counters::{Counters, Left, TenantHours};
use days::Days;
pub use duty::Duty;
use failed::Failed;
use metrics::UpkeepMetrics;
pub use progress::TaskProgress;
pub use statements::{Statements, UpkeepError};

use crate::config::Config;
use crate::key::HOUR_S;

/// Hours that are looked at in one statement, at the most.
const HOURS_A_ROUND: u32 = 24;
/// The task of [`Counters`], as `upkeep_progress` names it.
const COUNTERS: &str = "counters";

/// The task.
pub struct Upkeep {
    counters: Counters,
    /// What hours that became complete wait for, and what revised ones do.
    awaited_complete: Awaited,
    awaited_revised: Awaited,
    failed: Failed,
    /// When hours that got late records were last computed anew.
    revised_at: Option<Instant>,
    days: Days,
    duty: Duty,
    interval: Duration,
}

impl Upkeep {
    /// As configured; does not connect.
    pub fn new(config: &Config, duty: Duty, registry: &mut Registry) -> Result<Self, ConfigError> {
        let (upkeep, topic) = (&config.upkeep, &config.source.metrics_topic);
        upkeep.validate()?;
        let statements = Statements::new(&config.clickhouse, upkeep, topic)?;
        let metrics = UpkeepMetrics::new(registry);
        Ok(Self {
            days: Days {
                statements: statements.clone(),
                duty: duty.clone(),
                through_seconds: metrics.days_through_seconds.clone(),
            },
            counters: Counters {
                statements,
                config: upkeep.clone(),
                metrics,
                last_revisions: BTreeMap::new(),
            },
            awaited_complete: Awaited::default(),
            awaited_revised: Awaited::default(),
            failed: Failed::default(),
            revised_at: None,
            duty,
            interval: Duration::from_secs(upkeep.interval_s),
        })
    }

    /// Wakes up again and again, for ever. What fails is tried again at the next wake-up.
    pub async fn run(mut self) {
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let is_ours = self.counters.config.enabled && self.duty.is_ours();
            self.counters.metrics.is_ours.set(i64::from(is_ours));
            if !is_ours {
                self.failed.forget();
                continue;
            }
            if let Err(error) = self.round().await {
                self.counters.metrics.failures.inc();
                tracing::warn!(%error, "the upkeep stopped early, trying again at the next wake-up");
            }
        }
    }

    /// Everything that is due now.
    async fn round(&mut self) -> Result<(), UpkeepError> {
        let progress = self.counters.statements.progress().await?;
        let Some(end) = complete_hours_end(&progress) else {
            return Ok(());
        };
        // None waits for another to succeed; what failed before takes the time of nothing else.
        let counters = self.counters_round(end).await;
        let days = self.days.round(end).await;
        let failed = self.failed_hours().await;
        self.counters.metrics.failed_hours.set(self.failed.count() as i64);
        counters.and(days).and(failed)
    }

    async fn counters_round(&mut self, end: u32) -> Result<(), UpkeepError> {
        self.failed.find(&self.counters.statements).await?;
        let mut progress = TaskProgress::read(&self.counters.statements, COUNTERS).await?;
        let revised = self.revised_hours(&mut progress).await;
        let complete = self.complete_hours(&mut progress, end).await;
        let metrics = &self.counters.metrics;
        metrics.counters_through_seconds.set(i64::from(progress.through));
        revised.and(complete)
    }

    /// Hours that became complete since the last time.
    async fn complete_hours(&mut self, progress: &mut TaskProgress, end: u32) -> Result<(), UpkeepError> {
        let statements = self.counters.statements.clone();
        let mut lost = self.awaited_complete.lost(&statements).await?;
        let mut judged_at = None;
        while progress.through < end && self.duty.is_ours() {
            let from = self.next_hour(progress.through, end).await?;
            let to = end.min(from.saturating_add(HOURS_A_ROUND * HOUR_S));
            let due = TenantHours {
                from,
                to,
                ..TenantHours::default()
            };
            let left = self.bring_up_to_date(&due, &lost).await?;
            let waiting = left.short.keys().map(|(_, hour)| *hour).min();
            let until = waiting.unwrap_or(to);
            if until > progress.through {
                self.report_types(from, until).await?;
                progress.through = until;
                progress.save(&statements, COUNTERS).await?;
            }
            if waiting.is_some() {
                self.awaited_complete.wait_for(left.short, &statements).await?;
                // Where ingest is not behind at all, there is nothing to wait for.
                lost = self.awaited_complete.lost(&statements).await?;
                if lost.is_empty() || judged_at == waiting {
                    break;
                }
                judged_at = waiting;
            }
        }
        Ok(())
    }

    /// Brings hours up to date, but for those of tenants of which some failed before: they have a turn of their own. Remembers what fails now, also where
    /// so much does that it ends early.
    async fn bring_up_to_date(&mut self, due: &TenantHours, lost: &SamplesByHour) -> Result<Left, UpkeepError> {
        let mut left = Left::default();
        let not_now = self.failed.tenants();
        let outcome = self.counters.bring_up_to_date(due, lost, &not_now, &mut left).await;
        self.failed.add(&left.failed, &self.counters.statements).await?;
        outcome.map(|()| left)
    }

    /// Tries the hours of one tenant again that could not be computed before. Their raw rows were there, so those that are missing now are gone.
    async fn failed_hours(&mut self) -> Result<(), UpkeepError> {
        let hours = self.failed.next();
        let parts = TenantHours::parts(hours.keys().map(|(tenant, hour)| (tenant.as_str(), *hour)));
        if parts.is_empty() {
            return Ok(()); // no statement takes its name
        }
        let mut left = Left::default();
        for due in parts {
            self.counters
                .bring_up_to_date(&due, &hours, &BTreeSet::new(), &mut left)
                .await?;
        }
        let failed = left.failed.iter().map(|hour| (hour.key(), hour.hourly_samples));
        self.failed.tried(&hours, failed.chain(left.short));
        Ok(())
    }

    /// Hours that got late records since the last time. Each is computed as a whole and kept, so where samples keep coming late it is not done at
    /// each wake-up.
    async fn revised_hours(&mut self, progress: &mut TaskProgress) -> Result<(), UpkeepError> {
        let interval = Duration::from_secs(self.counters.config.revise_interval_s);
        if self
            .revised_at
            .is_some_and(|revised_at| revised_at.elapsed() < interval)
        {
            return Ok(());
        }
        let statements = self.counters.statements.clone();
        let revised = progress.revised(&statements).await?;
        // Judged once for all of them: a mark that one part sets is not for another to use up.
        let lost = self.awaited_revised.lost(&statements).await?;
        let mut left = Left::default();
        let hours = revised.hours.iter();
        for due in TenantHours::parts(hours.map(|revised| (revised.tenant_id.as_str(), revised.hour))) {
            left.add(self.bring_up_to_date(&due, &lost).await?);
        }
        if left.computed > 0 {
            self.revised_at = Some(Instant::now());
        }
        if left.short.is_empty() && left.failed.is_empty() && progress.have_seen(&revised) {
            progress.save(&statements, COUNTERS).await?;
        }
        self.awaited_revised.wait_for(left.short, &statements).await?;
        Ok(())
    }

    /// The first hour from `after` on that there may be something to do for; `end` when there is none.
    async fn next_hour(&self, after: u32, end: u32) -> Result<u32, UpkeepError> {
        let statements = &self.counters.statements;
        let with_rows = self.next_hour_with_rows(after, end).await?;
        let with_aggregates = statements.next_hour(after).await?.map_or(end, |hour| hour.min(end));
        if with_rows <= with_aggregates {
            return Ok(with_rows);
        }
        // What has aggregates and no raw rows has lost them, unless ingest had not come so far when they were looked for.
        match ingest_is_behind(statements).await? {
            true => Ok(with_aggregates),
            false => self.next_hour_with_rows(after, end).await,
        }
    }

    /// The first hour from `after` on whose day has raw rows; `end` when there is none. Days without any are not looked at, so
    /// that a history with gaps costs what is in it.
    async fn next_hour_with_rows(&self, after: u32, end: u32) -> Result<u32, UpkeepError> {
        let statements = &self.counters.statements;
        // Days are the table's partitions: grouped by day, this is answered from the names of the parts, without reading a row.
        let query = "select toUInt32(toDateTime(min(day), 'UTC')) as hour \
                     from (select toDate(m.time) as day from metrics as m group by day) \
                     where day >= toDate(toDateTime({after:UInt32}, 'UTC'))";
        let query = statements.query(query).param("after", after);
        let first: Option<u32> = statements.first("look for raw rows", query).await?;
        // The least day of no rows is the first of all days.
        let hour = first.filter(|&hour| hour > 0);
        Ok(hour.map_or(end, |hour| hour.max(after).min(end)))
    }

    async fn report_types(&self, from: u32, to: u32) -> Result<(), UpkeepError> {
        let statements = &self.counters.statements;
        let query = statements
            .query(include_str!("report_types.sql"))
            .param("from", from)
            .param("to", to);
        statements
            .execute(
                "report metrics of several types",
                statements.incidents(query, Reason::MetricTypeChanged),
            )
            .await
    }
}
