//! Rolls up complete days of UTC, and again those that got late records.
//!
//! In: hours. Out: rows of `daily_rollups`, `hourly_totals` and `daily_totals`, topic by topic. Each statement finds by counts which
//! of its days need it, so one that was killed halfway, or run by two members at once, is corrected by the next: readers
//! never take a day whose counts are not those of its hours.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::{Duration, Instant};

use prometheus_client::metrics::gauge::Gauge;

use super::ROUND_MAX;
use super::duty::Duty;
use super::progress::TaskProgress;
use super::statements::{NAMES_BYTES_MAX, Statements, UpkeepError};
use crate::key::HOUR_S;

/// Another name than that of releases without some of the tables, so that days that they rolled up are gone through
/// again.
const TASK: &str = "days and totals by hour and day";
/// What is made of days.
struct Made {
    table: &'static str,
    /// What making it is called.
    what: &'static str,
    /// The statement; `${hours_to_make}`, `${made}` and `${start}` stand for the following, the table, and `start`.
    sql: &'static str,
    /// SQL for the start of a row.
    start: &'static str,
}

const DAY: &str = "toStartOfDay(h.hour)";
const MADE: [Made; 3] = [
    Made {
        table: "daily_rollups",
        what: "roll days up",
        sql: include_str!("roll_up_days.sql"),
        start: DAY,
    },
    Made {
        table: "hourly_totals",
        what: "add hours up",
        sql: include_str!("add_up.sql"),
        start: "h.hour",
    },
    Made {
        table: "daily_totals",
        what: "add days up",
        sql: include_str!("add_up.sql"),
        start: DAY,
    },
];
/// The part of all statements that says which hours.
const HOURS_TO_MAKE: &str = include_str!("hours_to_make.sql");
const DAY_S: u32 = 24 * HOUR_S;
/// Revised days within the same period of so many days share a statement.
const DAYS_A_STATEMENT: u32 = 31;
/// With more tenants than this, none is named: all are looked at.
const TENANTS_MAX: usize = 200;

/// Rolls up.
pub struct Days {
    pub(super) statements: Statements,
    pub(super) duty: Duty,
    /// Days before this are rolled up, seconds since 1970.
    pub(super) through_seconds: Gauge,
    /// For how long revised days rest once some were rolled up: each time all series of a metric are written anew.
    /// Meanwhile readers take such days from the hours.
    pub(super) rest: Duration,
    pub(super) rest_until: Instant,
}

impl Days {
    /// Does everything that is due now; hours before `hours_end`, seconds since 1970, are complete.
    pub async fn round(&mut self, hours_end: u32) -> Result<(), UpkeepError> {
        let mut progress = TaskProgress::read(&self.statements, TASK).await?;
        let revised = self.revised_days(&mut progress).await;
        let complete = self.complete_days(&mut progress, start_of_day(hours_end)).await;
        self.through_seconds.set(i64::from(progress.through));
        revised.and(complete)
    }

    async fn complete_days(&self, progress: &mut TaskProgress, end: u32) -> Result<(), UpkeepError> {
        let deadline = Instant::now() + ROUND_MAX;
        while progress.through < end && self.duty.is_ours() && Instant::now() < deadline {
            let next = self.statements.next_hour(progress.through).await?;
            let day = next.map_or(end, start_of_day).min(end);
            let next = day.saturating_add(DAY_S).min(end);
            if day < end {
                self.roll_up(day..next, &BTreeSet::new()).await?;
            }
            progress.through = next;
            progress.save(&self.statements, TASK).await?;
        }
        Ok(())
    }

    async fn revised_days(&mut self, progress: &mut TaskProgress) -> Result<(), UpkeepError> {
        if Instant::now() < self.rest_until {
            return Ok(());
        }
        let revised = progress.revised(&self.statements).await?;
        let mut spans: BTreeMap<u32, (Range<u32>, BTreeSet<&str>)> = BTreeMap::new();
        // Incomplete days are rolled up once they are complete.
        for hour in revised.hours.iter().filter(|revised| revised.hour < progress.through) {
            let day = start_of_day(hour.hour);
            let (span, tenants) = spans
                .entry(day / (DAYS_A_STATEMENT * DAY_S))
                .or_insert_with(|| (day..day, BTreeSet::new()));
            span.end = day.saturating_add(DAY_S);
            tenants.insert(&hour.tenant_id);
        }
        if !spans.is_empty() {
            self.rest_until = Instant::now() + self.rest;
        }
        for (span, tenants) in spans.into_values() {
            if !self.duty.is_ours() {
                return Ok(());
            }
            self.roll_up(span, &tenants).await?;
        }
        if progress.have_seen(&revised, Duration::ZERO) {
            progress.save(&self.statements, TASK).await?;
        }
        Ok(())
    }

    /// Rolls up the days of a span for some tenants, or for all if none is named.
    async fn roll_up(&self, span: Range<u32>, tenants: &BTreeSet<&str>) -> Result<(), UpkeepError> {
        let tenants: &BTreeSet<&str> = match can_be_named(tenants) {
            true => tenants,
            false => &BTreeSet::new(),
        };
        for made in MADE {
            let sql = made
                .sql
                .replace("${hours_to_make}", HOURS_TO_MAKE)
                .replace("${made}", made.table)
                .replace("${start}", made.start);
            let query = self
                .statements
                .query(&sql)
                .param("from", span.start)
                .param("to", span.end)
                .param("tenants", tenants)
                // Rows come in the order of the first columns of the key, so that memory is bounded by one metric.
                .with_setting("optimize_aggregation_in_order", "1");
            self.statements.execute(made.what, query).await?;
        }
        Ok(())
    }
}

/// Whether their names fit into a statement.
fn can_be_named(tenants: &BTreeSet<&str>) -> bool {
    tenants.len() <= TENANTS_MAX && tenants.iter().map(|tenant| tenant.len()).sum::<usize>() <= NAMES_BYTES_MAX
}

/// Start of the day that contains a moment.
fn start_of_day(second: u32) -> u32 {
    second - second % DAY_S
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_tenants_are_looked_at_where_the_names_are_too_long_or_too_many() {
        let long = "n".repeat(NAMES_BYTES_MAX);
        assert!(can_be_named(&BTreeSet::from(["", long.as_str()])));
        assert!(!can_be_named(&BTreeSet::from(["a", long.as_str()])));
        let many: Vec<String> = (0..=TENANTS_MAX).map(|number| number.to_string()).collect();
        assert!(!can_be_named(&many.iter().map(String::as_str).collect()));
    }
}
