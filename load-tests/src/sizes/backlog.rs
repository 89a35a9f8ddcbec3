//! A backlog from Kafka to raw and hourly rows, drained by both stages at once.
//!
//! The stages are paused while it is written, and the clock starts when they resume, so that neither their start nor
//! the producer is measured. The pause must end before their group drops them: what is not written by then is written
//! while they drain, and the report says so.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::local_stack::Running;
use crate::process::Paused;

use super::day::Day;
use super::figures::{Counters, ProcessUse, TableGrowth};
use super::progress::{Progress, wait_for_rows};
use super::{AGGREGATE, INGEST};

const TENANT: &str = "backlog";
/// Less than the stages' broker session (10 s) minus the time since their last heartbeat (3 s).
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(6);
/// Number of records used to measure the generator.
const GENERATOR_RECORDS: u64 = 1_000_000;

/// The figures of the backlog.
#[derive(Debug, Clone, Serialize)]
pub struct Backlog {
    /// Records.
    pub records: u64,
    /// Value size of a record, in bytes.
    pub bytes_a_record: f64,
    /// Number of series.
    pub series: usize,
    /// The day on which they were observed.
    pub day: String,
    /// Records per second that the generator makes, alone and without sending them.
    pub generated_per_s: f64,
    /// Seconds until the last record was acknowledged.
    pub written_s: f64,
    /// Whether all were written before the stages resumed.
    pub written_before: bool,
    /// Seconds until all were raw rows.
    pub stored_s: f64,
    /// Seconds until all were in the hourly aggregates.
    pub aggregated_s: f64,
    /// CPU and memory of each process while draining.
    pub processes: Vec<ProcessUse>,
    /// Share of the CPU used by other processes while draining.
    pub others_cpu_share: f64,
    /// What was inserted into each table while draining.
    pub tables: Vec<TableGrowth>,
    /// Progress over time.
    pub course: Vec<Progress>,
}

impl Backlog {
    /// Seconds until all were in both tables.
    pub fn both_s(&self) -> f64 {
        self.stored_s.max(self.aggregated_s)
    }
}

/// Writes the backlog and waits until it is drained. `before` records were sent earlier and are in both tables.
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
