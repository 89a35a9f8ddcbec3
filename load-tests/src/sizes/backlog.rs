//! A backlog from Kafka to raw and hourly rows: both stages drain it at once.
//!
//! The stages stand still while it is written, and the clock starts when they go on: neither their start nor the
//! producer is measured. They may not stand still for so long that the group forgets them: what is not written by then is
//! written while they drain, and the report says so.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::local_stack::Running;
use crate::process::Paused;

use super::day::Day;
use super::figures::{Counters, ProcessUse, TableGrowth};
use super::progress::{Progress, wait_for_rows};
use super::{AGGREGATE, INGEST};

const TENANT: &str = "backlog";
/// Less than the stages' session with the broker (10 s) without the time since their last heartbeat (3 s).
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(6);
/// Records that the generator is measured with.
const GENERATOR_RECORDS: u64 = 1_000_000;

/// The figures of the backlog.
#[derive(Debug, Clone, Serialize)]
pub struct Backlog {
    /// Records.
    pub records: u64,
    /// Bytes of a record's value.
    pub bytes_a_record: f64,
    /// The series that they belong to.
    pub series: usize,
    /// The day that they were observed on.
    pub day: String,
    /// Records a second that the generator makes, alone and without sending them.
    pub generated_per_s: f64,
    /// Seconds until the last record was acknowledged.
    pub written_s: f64,
    /// Whether all were written before the stages went on.
    pub written_before: bool,
    /// Seconds until all were raw rows.
    pub stored_s: f64,
    /// Seconds until all were in the hourly aggregates.
    pub aggregated_s: f64,
    /// CPU and memory of each process meanwhile.
    pub processes: Vec<ProcessUse>,
    /// Share of the CPU that was used meanwhile by others than these.
    pub others_cpu_share: f64,
    /// What was inserted into each table meanwhile.
    pub tables: Vec<TableGrowth>,
    /// How it went.
    pub course: Vec<Progress>,
}

impl Backlog {
    /// Seconds until all were in both tables.
    pub fn both_s(&self) -> f64 {
        self.stored_s.max(self.aggregated_s)
    }
}

/// Writes it and waits until it is drained. `before` records were sent earlier and are in both tables.
pub async fn measure(
    running: &Running,
    records: u64,
    seed: u64,
    before: u64,
    pause_max: Duration,
) -> anyhow::Result<Backlog> {
    let day = Day::new(TENANT, records, seed);
    let (generated_per_s, bytes_a_record) = day.generate(records.min(GENERATOR_RECORDS));
    let (series, name) = (day.series(), day.name());
    let tables = Counters::read(running).await?;

    let paused = Paused::new([running.process(INGEST)?, running.process(AGGREGATE)?])?;
    let bootstrap = running.status.kafka.bootstrap.clone();
    let mut writing = tokio::task::spawn_blocking(move || day.write(&bootstrap));
    let written = match tokio::time::timeout(pause_max, &mut writing).await {
        Ok(written) => Some(written??),
        Err(_) => None,
    };
    let counters = tables.with_cpu_of_now(running)?;
    drop(paused);
    let begun = Instant::now();

    let course = wait_for_rows(&running.store, before + records, begun).await?;
    let after = Counters::read(running).await?;
    let reached = |count: fn(&Progress) -> u64| {
        let reached = course.iter().find(|progress| count(progress) >= before + records);
        reached.map_or(f64::NAN, |progress| progress.at_s)
    };
    Ok(Backlog {
        records,
        bytes_a_record,
        series,
        day: name,
        generated_per_s,
        written_before: written.is_some(),
        written_s: match written {
            Some(written) => written.as_secs_f64(),
            None => writing.await??.as_secs_f64(),
        },
        stored_s: reached(|progress| progress.stored),
        aggregated_s: reached(|progress| progress.aggregated),
        processes: after.processes_since(&counters, records),
        others_cpu_share: after.others_cpu_share_since(&counters),
        tables: after.tables_since(&counters),
        course,
    })
}
