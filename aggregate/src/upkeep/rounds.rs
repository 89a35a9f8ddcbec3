//! The rounds of the counters: which hours are looked at, what they wait for, and what failed.
//!
//! In: how far hours are complete, `hour_revisions`, raw rows. Out: hours for [`Counters`] to bring up to date, and how
//! far that has got. Only what is waited for and what failed is in memory; the next member continues where the tables
//! say.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use horolog_stage::incident::Reason;

use super::ROUND_MAX;
use super::awaited::{Awaited, SamplesByHour, ingest_is_behind};
use super::counters::{Counters, Left, TenantHours};
use super::duty::Duty;
use super::failed::Failed;
use super::plan::HourCounts;
use super::progress::{Revised, TaskProgress};
use super::resting::Resting;
use super::statements::UpkeepError;
use crate::key::HOUR_S;

/// Maximum number of hours looked at in one statement.
const HOURS_A_ROUND: u32 = 24;
/// For each second that a retry of failed hours took, there is none for so many.
const RETRY_REST: u32 = 9;
/// The name of the task in `upkeep_progress`.
const TASK: &str = "counters";

/// Brings counters up to date, round by round.
pub struct CounterRounds {
    counters: Counters,
    /// What newly complete hours wait for, what revised ones do, and what failed ones do.
    awaited_complete: Awaited,
    awaited_revised: Awaited,
    awaited_failed: Awaited,
    failed: Failed,
    /// When the next of them are tried again.
    retry_at: Instant,
    /// Failed hours for which no more raw rows will come, until it is their turn.
    lost_failed: SamplesByHour,
    /// Hours with late records that were recomputed a short time ago.
    resting: Resting,
    duty: Duty,
}

impl CounterRounds {
    /// Before the first round.
    pub fn new(counters: Counters, duty: Duty) -> Self {
        let rest = Duration::from_secs(counters.config.revise_interval_s);
        Self {
            counters,
            awaited_complete: Awaited::default(),
            awaited_revised: Awaited::default(),
            awaited_failed: Awaited::default(),
            failed: Failed::default(),
            retry_at: Instant::now(),
            lost_failed: SamplesByHour::default(),
            resting: Resting::new(rest),
            duty,
        }
    }

    /// Does everything that is due now, except what failed before. Hours before `end`, seconds since 1970, are
    /// complete.
    pub async fn round(&mut self, end: u32) -> Result<(), UpkeepError> {
        self.failed.find(&self.counters.statements).await?;
        let mut progress = TaskProgress::read(&self.counters.statements, TASK).await?;
        let revised = self.revised_hours(&mut progress).await;
        let complete = self.complete_hours(&mut progress, end).await;
        let metrics = &self.counters.metrics;
        metrics.counters_through_seconds.set(i64::from(progress.through));
        revised.and(complete)
    }

    /// Hours that became complete since the last round.
    async fn complete_hours(&mut self, progress: &mut TaskProgress, end: u32) -> Result<(), UpkeepError> {
        let statements = self.counters.statements.clone();
        let mut lost = self.awaited_complete.lost(&statements).await?;
        let mut judged_at = None;
        let deadline = Instant::now() + ROUND_MAX;
        while progress.through < end && self.duty.is_ours() && Instant::now() < deadline {
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
                progress.save(&statements, TASK).await?;
            }
            if waiting.is_some() {
                self.awaited_complete.wait_for(left.short, &statements).await?;
                // If ingest is not behind at all, there is nothing to wait for.
                lost = self.awaited_complete.lost(&statements).await?;
                if lost.is_empty() || judged_at == waiting {
                    break;
                }
                judged_at = waiting;
            }
        }
        Ok(())
    }

    /// Brings hours up to date, except those of tenants with failed hours: these have a turn of their own. Remembers
    /// what fails now, even if it ends early because too much does.
    async fn bring_up_to_date(&mut self, due: &TenantHours, lost: &SamplesByHour) -> Result<Left, UpkeepError> {
        let mut left = Left::default();
        let not_now = self.failed.tenants();
        let rows_max = self.counters.config.slice_rows_max;
        let counted_ms = self.counters.statements.now_ms().await?;
        let outcome = self
            .counters
            .bring_up_to_date(due, lost, &not_now, rows_max, &mut left)
            .await;
        self.failed
            .add(&left.failed, counted_ms, &self.counters.statements)
            .await?;
        outcome.map(|()| left)
    }

    /// Tries again what could not be computed before, for one tenant. What fails once more gets a tenth of the time,
    /// because the next round waits for it, and each attempt leaves the rows that it stored until it failed.
    pub async fn retry(&mut self) -> Result<(), UpkeepError> {
        let (begun, before) = (Instant::now(), self.failed.count());
        let mut outcome = Ok(());
        if begun >= self.retry_at {
            outcome = self.failed_hours().await;
            if outcome.is_err() || self.failed.count() >= before {
                self.retry_at = Instant::now() + begun.elapsed() * RETRY_REST;
            }
        }
        self.counters.metrics.failed_hours.set(self.failed.count() as i64);
        outcome
    }

    /// Another member does the upkeep now.
    pub fn forget(&mut self) {
        self.failed.forget();
        self.lost_failed.clear();
    }

    /// Tries the failed hours of one tenant again.
    async fn failed_hours(&mut self) -> Result<(), UpkeepError> {
        let statements = self.counters.statements.clone();
        let hours = self.failed.next();
        self.lost_failed
            .append(&mut self.awaited_failed.lost(&statements).await?);
        let mut left = Left::default();
        for due in TenantHours::parts(hours.iter().map(|(tenant, hour)| (tenant.as_str(), *hour))) {
            // Hour by hour, so that one which fails again keeps no other from being computed.
            self.counters
                .bring_up_to_date(&due, &self.lost_failed, &BTreeSet::new(), 0, &mut left)
                .await?;
        }
        self.lost_failed.retain(|hour, _| !hours.contains(hour));
        let failed = left.failed.iter().map(HourCounts::key);
        self.failed.tried(&hours, failed.chain(left.short.keys().cloned()));
        self.awaited_failed.wait_for(left.short, &statements).await
    }

    /// Hours that got late records since the last time, but for those that rest.
    async fn revised_hours(&mut self, progress: &mut TaskProgress) -> Result<(), UpkeepError> {
        let statements = self.counters.statements.clone();
        let revised = progress.revised(&statements).await?;
        let now = Instant::now();
        self.resting.wake(now);
        let age = |hour: &Revised| self.resting.age(&hour.tenant_id, hour.hour, now);
        // Incomplete hours are computed once they are complete.
        let complete = revised.hours.iter().filter(|hour| hour.hour < progress.through);
        let (resting, due): (Vec<_>, Vec<_>) = complete.partition(|hour| age(hour).is_some());
        // What came to one that rests since it was computed is still to be looked at.
        let unseen = resting.into_iter().filter_map(age).max().unwrap_or_default();
        // Asked once for all parts: the mark that one part waits for must not be used up by another.
        let lost = self.awaited_revised.lost(&statements).await?;
        let mut left = Left::default();
        let due = due.into_iter().map(|hour| (hour.tenant_id.as_str(), hour.hour));
        for due in TenantHours::parts(due) {
            left.add(self.bring_up_to_date(&due, &lost).await?);
        }
        self.resting.add(left.computed, now);
        if left.short.is_empty() && left.failed.is_empty() && progress.have_seen(&revised, unseen) {
            progress.save(&statements, TASK).await?;
        }
        self.awaited_revised.wait_for(left.short, &statements).await?;
        Ok(())
    }

    /// The first hour from `after` on for which there may be something to do; `end` if there is none.
    async fn next_hour(&self, after: u32, end: u32) -> Result<u32, UpkeepError> {
        let statements = &self.counters.statements;
        let with_rows = self.next_hour_with_rows(after, end).await?;
        let with_aggregates = statements.next_hour(after).await?.map_or(end, |hour| hour.min(end));
        if with_rows <= with_aggregates {
            return Ok(with_rows);
        }
        // An hour with aggregates and no raw rows has lost them, unless ingest was still behind when they were looked
        // for.
        match ingest_is_behind(statements).await? {
            true => Ok(with_aggregates),
            false => self.next_hour_with_rows(after, end).await,
        }
    }

    /// The first hour from `after` on whose day has raw rows; `end` if there is none. Days without any are skipped, so
    /// that a history with gaps costs only what is in it.
    async fn next_hour_with_rows(&self, after: u32, end: u32) -> Result<u32, UpkeepError> {
        let statements = &self.counters.statements;
        // Days are the table's partitions: grouped by day, this is answered from the names of the parts, without
        // reading a row.
        let query = "select toUInt32(toDateTime(min(day), 'UTC')) as hour \
                     from (select toDate(m.time) as day from metrics as m group by day) \
                     where day >= toDate(toDateTime({after:UInt32}, 'UTC'))";
        let query = statements.query(query).param("after", after);
        let first: Option<u32> = statements.first("look for raw rows", query).await?;
        // The minimum of no rows is day 0.
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
