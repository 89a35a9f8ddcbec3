//! The stage as the delivery sees it: from a range of metric samples to a block of partial hourly aggregates.
//!
//! In: a range and its intent. Out: the blocks, and the counts for the ledger; the same each time they are made, because
//! the range is cut into chunks by a fixed rule, so that sums add up in the same order. Rejected records are counted, not
//! stored: ingest stores them. Rows here do not know their records, so exactly-once rests on tokens, leases and the
//! `begun` row of the ledger.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Months};
use horolog_schemas::{Decoder, RULES_VERSION, WriterSchemas, is_kafka_timestamp};
use horolog_stage::intent::Intent;
use horolog_stage::range::{PartitionId, Range};
use horolog_stage::stage::{PrepareError, Prepared, Stage};

use crate::block::{BatchOrigin, metrics_hourly};
use crate::incidents::incidents;
use crate::late::LateHours;
use crate::overflow::limit_keys;
use crate::retention::has_expired;
use crate::revisions::hour_revisions;
use crate::samples::Samples;
use crate::time_frame::TimeFrame;
use crate::upkeep::Duty;
use crate::workers::{Workers, WorkersError};

/// Records of a chunk. Part of what makes a repeated batch the same: a sum adds up chunk by chunk.
pub const CHUNK_RECORDS: usize = 8_192;

/// Some records of a range; the chunks share the range.
struct Chunk {
    range: Range,
    positions: std::ops::Range<usize>,
    frame: TimeFrame,
}

/// The aggregate stage.
pub struct Aggregation {
    workers: Workers<Chunk>,
    schemas: Arc<WriterSchemas>,
    /// How long `metrics_hourly` keeps an hour; `None` if nothing is deleted by age.
    kept: Option<Months>,
    limits: Limits,
    /// Is told of each progress.
    duty: Duty,
}

/// Limits of a batch. New batches follow a changed limit; a batch that is repeated after a crash under another limit is
/// still stored once, as it was first made.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How far a clock may be ahead, ms.
    pub max_clock_skew_ms: i64,
    /// Keys of a tenant's hour.
    pub keys_per_tenant_max: usize,
}

impl Aggregation {
    /// Starts the dataflow with this number of workers, for samples written with these schemas. A sample whose clock is
    /// ahead by more than the skew is aggregated all the same, and counted.
    pub fn start(workers: usize, schemas: Arc<WriterSchemas>, limits: Limits) -> Result<Self, WorkersError> {
        let of_workers = Arc::clone(&schemas);
        let decoder = move || {
            let mut decoder = Decoder::new(Arc::clone(&of_workers));
            move |chunk: Chunk| decode(&mut decoder, &chunk)
        };
        Ok(Self {
            workers: Workers::start(workers, decoder)?,
            schemas,
            kept: None,
            limits,
            duty: Duty::default(),
        })
    }

    /// Counts samples as expired that arrive when `metrics_hourly` would already delete their hours, which it keeps for
    /// this many months. They are aggregated all the same.
    pub fn with_months_kept(self, months: Option<u32>) -> Self {
        let kept = months.map(Months::new);
        Self { kept, ..self }
    }

    /// Tells `duty` which partitions this member makes progress in.
    pub fn with_duty(self, duty: Duty) -> Self {
        Self { duty, ..self }
    }
}

fn decode(decoder: &mut Decoder, chunk: &Chunk) -> Result<Samples, String> {
    let records = chunk.range.slice(chunk.positions.clone());
    let decoded = decoder.decode(&records).map_err(|error| error.to_string())?;
    Samples::new(&decoded, &records, chunk.frame).map_err(|error| error.to_string())
}

/// The chunks of a range.
fn chunks(range: &Range, frame: TimeFrame) -> impl Iterator<Item = Chunk> {
    let chunk = move |start: usize| {
        let end = range.len().min(start + CHUNK_RECORDS);
        Chunk {
            range: range.clone(),
            positions: start..end,
            frame,
        }
    };
    (0..range.len()).step_by(CHUNK_RECORDS).map(chunk)
}

impl Stage for Aggregation {
    fn name(&self) -> &'static str {
        "aggregate"
    }

    fn schemas(&self, _topic: &str) -> Option<&WriterSchemas> {
        Some(&self.schemas)
    }

    fn prepare(&self, range: &Range, intent: &Intent) -> Result<Prepared, PrepareError> {
        if intent.rules_version != RULES_VERSION {
            return Err(PrepareError::Rules(intent.rules_version));
        }
        let bug = |error: &dyn std::error::Error| PrepareError::Bug(error.to_string());
        // A record with another one is rejected for it, and says nothing about the clocks of those beside it.
        let timestamps_ms = || range.each_timestamp_ms().filter(|&at_ms| is_kafka_timestamp(at_ms));
        let frame = TimeFrame::new(
            timestamps_ms(),
            intent.watermark_ms,
            intent.at_ms,
            self.limits.max_clock_skew_ms,
        );
        let aggregates = self
            .workers
            .aggregate(chunks(range, frame))
            .map_err(|error| bug(&error))?;
        let (aggregates, overflow) = limit_keys(aggregates, self.limits.keys_per_tenant_max);
        let origin = BatchOrigin {
            topic: &range.id.topic,
            partition: range.id.partition,
            write_epoch: intent.write_epoch,
        };
        let (block, hours) = metrics_hourly(&aggregates, origin, frame).map_err(|error| bug(&error))?;
        let tally = &aggregates.tally;
        let mut blocks = vec![block];
        blocks.extend(hour_revisions(range, &tally.late, frame).map_err(|error| bug(&error))?);
        blocks.extend(incidents(range, tally.ahead, &overflow).map_err(|error| bug(&error))?);
        // Where all records are rejected, their Kafka timestamps say how far the log has come: while such records keep
        // arriving the partition is not idle, and nothing else would move its watermark.
        let high_time_ms = match hours.is_empty() {
            true => timestamps_ms().filter(|&at_ms| frame.testifies(at_ms, at_ms)).max(),
            false => tally.high_time_ms,
        };
        let begun_at = DateTime::from_timestamp_millis(intent.at_ms).unwrap_or_default();
        let is_expired = |hour| self.kept.is_some_and(|months| has_expired(hour, months, begun_at));
        Ok(Prepared {
            announced: None,
            blocks,
            rows: hours.values().sum(),
            rejected: tally.rejected,
            late: count(&hours, |hour| frame.is_late(hour)),
            ahead: tally.ahead.map_or(0, |ahead| ahead.records),
            lateness: lateness(&tally.late),
            expired: count(&hours, is_expired),
            hours,
            high_time_ms,
        })
    }

    fn states_progress(&self) -> bool {
        true
    }

    fn holds(&self, id: &PartitionId) {
        self.duty.reported(id.partition);
    }
}

fn count(hours: &BTreeMap<u32, u64>, counts: impl Fn(u32) -> bool) -> u64 {
    hours
        .iter()
        .filter(|(hour, _)| counts(**hour))
        .map(|(_, records)| records)
        .sum()
}

/// Late records by class of lateness, all hours together.
fn lateness(hours: &LateHours) -> BTreeMap<u8, u64> {
    let mut classes = BTreeMap::new();
    for (class, records) in hours.values().flat_map(|late| &late.classes) {
        *classes.entry(*class).or_default() += records;
    }
    classes
}
