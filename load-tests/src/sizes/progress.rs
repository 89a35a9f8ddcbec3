//! Waits until all records are in both tables, and records the progress.

use std::time::{Duration, Instant};

use anyhow::bail;
use serde::Serialize;

use crate::store::Store;

/// Time between two queries, and thus the error of the measured times.
const INTERVAL: Duration = Duration::from_millis(50);
/// How long to wait without any new row.
const STALL_MAX: Duration = Duration::from_secs(120);

/// The state of the tables at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Progress {
    /// Seconds since the beginning.
    pub at_s: f64,
    /// Raw rows.
    pub stored: u64,
    /// Records in the hourly aggregates.
    pub aggregated: u64,
}

/// Waits for this many records in both tables; returns each change on the way. Surplus records do not prolong the wait;
/// the account will report them.
pub async fn wait_for_rows(store: &Store, records: u64, begun: Instant) -> anyhow::Result<Vec<Progress>> {
    let mut course: Vec<Progress> = Vec::new();
    let mut changed = Instant::now();
    loop {
        let (stored, aggregated) = (store.stored().await?, store.aggregated().await?);
        let now = Progress {
            at_s: begun.elapsed().as_secs_f64(),
            stored,
            aggregated,
        };
        if course
            .last()
            .is_none_or(|last| (last.stored, last.aggregated) != (stored, aggregated))
        {
            course.push(now);
            changed = Instant::now();
        }
        if stored >= records && aggregated >= records {
            return Ok(course);
        }
        if changed.elapsed() > STALL_MAX {
            bail!(
                "no new row for {} s at {stored} raw rows and {aggregated} aggregated records of {records}; \
                the logs tell why (--keep keeps them)",
                STALL_MAX.as_secs()
            );
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
