//! The upkeep: what is derived in the background from hours that are complete, and again when they are revised.
//!
//! In: the progress of the partitions, `hour_revisions`, raw rows. Out: the increases of counters by series and hour, and incidents
//! for counters and metrics that behave oddly. One member of the group does it at a time ([`Turn`]); it keeps nothing in
//! memory, so the next one goes on where the tables say. A wake-up with nothing to do costs three small statements.

mod config;
mod counters;
mod metrics;
mod plan;
mod statements;
mod turn;

use std::time::Duration;

use clickhouse::Row;
use horolog_stage::completeness::complete_hours_end;
use horolog_stage::config::ConfigError;
use prometheus_client::registry::Registry;
use serde::Deserialize;

pub use config::UpkeepConfig;
use counters::{Counters, Scope};
use metrics::UpkeepMetrics;
use statements::{Statements, UpkeepError};
pub use turn::Turn;

use crate::config::Config;
use crate::key::HOUR_S;

/// Hours that are looked at in one statement, at the most.
const HOURS_A_ROUND: u32 = 24;
/// Revised hours that are looked at in one statement, at the most.
const REVISIONS_A_ROUND: u64 = 500;

/// How far the upkeep of a topic is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Row, Deserialize)]
struct State {
    /// Hours before this are done, seconds since 1970; 0: it has not begun.
    through: u32,
    /// Revisions up to here have been looked at, ms since 1970.
    revisions_seen_ms: i64,
}

#[derive(Debug, Row, Deserialize)]
struct Revised {
    tenant_id: String,
    hour: u32,
    inserted_ms: i64,
}

#[derive(Debug, Row, Deserialize)]
struct FirstHour {
    hour: u32,
}

/// The task.
pub struct Upkeep {
    counters: Counters,
    turn: Turn,
    interval: Duration,
    /// Rows of `hour_revisions` carry the lease of their batch, which can be so much older than the row, ms.
    lease_ms: i64,
}

impl Upkeep {
    /// As configured; does not connect.
    pub fn new(config: &Config, turn: Turn, registry: &mut Registry) -> Result<Self, ConfigError> {
        let (upkeep, topic) = (&config.upkeep, &config.source.metrics_topic);
        upkeep.validate()?;
        Ok(Self {
            counters: Counters {
                statements: Statements::new(&config.clickhouse, upkeep, topic)?,
                config: upkeep.clone(),
                metrics: UpkeepMetrics::new(registry),
            },
            turn,
            interval: Duration::from_secs(upkeep.interval_s),
            lease_ms: i64::try_from(config.delivery.lease_s.saturating_mul(1_000)).unwrap_or(i64::MAX / 4),
        })
    }

    /// Wakes up again and again, for ever. What fails is tried again at the next wake-up.
    pub async fn run(self) {
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let is_ours = self.counters.config.enabled && self.turn.is_ours();
            self.counters.metrics.is_ours.set(i64::from(is_ours));
            if !is_ours {
                continue;
            }
            if let Err(error) = self.round().await {
                self.counters.metrics.failures.inc();
                tracing::warn!(%error, "the upkeep stopped early, trying again at the next wake-up");
            }
        }
    }

    /// Everything that is due now.
    async fn round(&self) -> Result<(), UpkeepError> {
        let progress = self.counters.statements.progress().await?;
        let Some(end) = complete_hours_end(&progress) else {
            return Ok(());
        };
        let mut state = self.state().await?;
        self.revised_hours(&mut state).await?;
        self.complete_hours(&mut state, end).await?;
        self.counters.metrics.through_seconds.set(i64::from(state.through));
        Ok(())
    }

    /// Hours that became complete since the last time.
    async fn complete_hours(&self, state: &mut State, end: u32) -> Result<(), UpkeepError> {
        while state.through < end && self.turn.is_ours() {
            let from = self.next_hour_with_rows(state.through, end).await?;
            let to = end.min(from.saturating_add(HOURS_A_ROUND * HOUR_S));
            let scope = Scope {
                from,
                to,
                ..Scope::default()
            };
            let waiting = self.counters.bring_up_to_date(&scope).await?;
            let through = waiting.unwrap_or(to);
            if through > state.through {
                self.report_types(from, through).await?;
                state.through = through;
                self.save(*state).await?;
            }
            if waiting.is_some() {
                break;
            }
        }
        Ok(())
    }

    /// Hours that got late records since the last time.
    async fn revised_hours(&self, state: &mut State) -> Result<(), UpkeepError> {
        let statements = &self.counters.statements;
        let query = "select tenant_id, toUInt32(r.hour) as hour, toUnixTimestamp64Milli(max(r.inserted_at)) as inserted_ms \
                     from hour_revisions as r \
                     where r.kafka_topic = {topic:String} and r.inserted_at > fromUnixTimestamp64Milli({since:Int64}, 'UTC') \
                     group by tenant_id, hour order by hour, tenant_id";
        // The time of a row may be a lease behind or ahead of when it was stored, and so may that of the newest one seen.
        let since = (state.revisions_seen_ms - 2 * self.lease_ms).max(0);
        let query = statements.query(query).param("since", since);
        let revised: Vec<Revised> = statements.rows("read the revised hours", query).await?;
        let mut waiting = false;
        for some in revised.chunks(REVISIONS_A_ROUND as usize) {
            let (Some(first), Some(last)) = (some.first(), some.last()) else {
                continue;
            };
            let scope = Scope {
                from: first.hour,
                to: last.hour + HOUR_S,
                tenants: some.iter().map(|revised| revised.tenant_id.clone()).collect(),
                hours: some.iter().map(|revised| revised.hour).collect(),
            };
            waiting |= self.counters.bring_up_to_date(&scope).await?.is_some();
        }
        let seen = revised
            .iter()
            .map(|revised| revised.inserted_ms)
            .max()
            .unwrap_or_default();
        if !waiting && seen > state.revisions_seen_ms {
            state.revisions_seen_ms = seen;
            self.save(*state).await?;
        }
        Ok(())
    }

    async fn state(&self) -> Result<State, UpkeepError> {
        let statements = &self.counters.statements;
        let query = "select toUInt32(argMax(u.through, u.inserted_at)) as through, \
                     toUnixTimestamp64Milli(argMax(u.revisions_seen, u.inserted_at)) as revisions_seen_ms \
                     from upkeep_progress as u where u.task = 'counters' and u.kafka_topic = {topic:String}";
        Ok(statements
            .first("read the progress of the upkeep", statements.query(query))
            .await?
            .unwrap_or_default())
    }

    async fn save(&self, state: State) -> Result<(), UpkeepError> {
        let statements = &self.counters.statements;
        let query = "insert into upkeep_progress (task, kafka_topic, through, revisions_seen, inserted_at) \
                     select 'counters', {topic:String}, toDateTime({through:UInt32}, 'UTC'), \
                     fromUnixTimestamp64Milli({seen:Int64}, 'UTC'), now64(3)";
        let query = statements
            .query(query)
            .param("through", state.through)
            .param("seen", state.revisions_seen_ms);
        statements.execute("write the progress of the upkeep", query).await
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
        let first: Option<FirstHour> = statements.first("look for raw rows", query).await?;
        // The least day of no rows is the first of all days.
        let hour = first.map(|first| first.hour).filter(|&hour| hour > 0);
        Ok(hour.map_or(end, |hour| hour.max(after).min(end)))
    }

    async fn report_types(&self, from: u32, to: u32) -> Result<(), UpkeepError> {
        let statements = &self.counters.statements;
        let query = statements
            .query(include_str!("report_types.sql"))
            .param("from", from)
            .param("to", to);
        statements
            .execute("report metrics of several types", statements.incidents(query))
            .await
    }
}
