//! From samples of any number of batches to the rows of `metrics_hourly` into which the stage's rows would have merged.
//!
//! In: rows of raw samples, in any order. Out: each key, hour and revision once, in one sorted block. The stage's own
//! dataflow does the work, some hundred thousand samples at a time; its results are folded as they come, so that memory
//! grows with the number of keys and not with that of the samples.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use horolog_schemas::pieces;

use crate::block::{BatchOrigin, HOURLY_PARTITION, metrics_hourly};
use crate::hours::Hours;
use crate::late_batches::LateBatches;
use crate::rows::{Group, Rows};
use crate::samples::Samples;
use crate::time_frame::TimeFrame;
use crate::tool_error::ToolError;
use crate::workers::Workers;

/// Keys that may wait to be folded, beyond the number of keys folded already.
const WAITING_KEYS_MIN: usize = 100_000;

/// Recomputes hours.
pub struct Recomputation {
    workers: Workers<Samples>,
    /// The topics, by the positions that rows refer to.
    topics: Vec<String>,
}

impl Recomputation {
    /// Starts this number of workers.
    pub fn start(workers: usize, topics: Vec<String>) -> Result<Self, ToolError> {
        Ok(Self {
            workers: Workers::start(workers, || Ok)?,
            topics,
        })
    }

    /// Adds rows to the recomputed hours.
    pub fn add(&self, batch: Vec<Rows>, late_batches: &LateBatches, to: &mut Recomputed) -> Result<(), ToolError> {
        let mut groups: BTreeMap<Group, Vec<Samples>> = BTreeMap::new();
        for rows in batch {
            for (group, samples) in rows.groups(&self.topics, late_batches)? {
                groups.entry(group).or_default().push(samples);
            }
        }
        for (group, chunks) in groups {
            let hours = self.workers.aggregate(chunks)?;
            to.groups.entry(group).or_default().add(hours);
        }
        Ok(())
    }

    /// The pieces of one block of `metrics_hourly` with this epoch, and its records by hour.
    pub fn block(
        &self,
        recomputed: Recomputed,
        epoch: u32,
    ) -> Result<(Vec<RecordBatch>, BTreeMap<u32, u64>), ToolError> {
        let (mut parts, mut records) = (Vec::new(), BTreeMap::new());
        for (group, hours) in recomputed.into_hours() {
            let topic = usize::try_from(group.topic)
                .ok()
                .and_then(|position| self.topics.get(position));
            let origin = BatchOrigin {
                topic: topic.map_or("", String::as_str),
                partition: group.partition,
                write_epoch: epoch,
            };
            let (block, of_group) = metrics_hourly(&hours, origin, frame(group))?;
            parts.extend(block.pieces);
            for (hour, count) in of_group {
                *records.entry(hour).or_default() += count;
            }
        }
        let Some(first) = parts.first() else {
            return Ok((Vec::new(), records));
        };
        let block = concat_batches(&first.schema(), &parts)?;
        Ok((pieces(HOURLY_PARTITION, &block)?, records))
    }
}

/// Hours under construction, or done.
#[derive(Debug, Default)]
pub struct Recomputed {
    groups: BTreeMap<Group, Runs>,
}

impl Recomputed {
    /// The hours, by group, each key once.
    pub fn into_hours(self) -> impl Iterator<Item = (Group, Hours)> {
        self.groups
            .into_iter()
            .map(|(group, runs)| (group, Hours::fold(runs.runs)))
    }
}

/// Judges all hours as the group says.
fn frame(group: Group) -> TimeFrame {
    TimeFrame {
        watermark_ms: if group.revised_at == 0 { 0 } else { i64::MAX },
        begun_at_ms: i64::from(group.revised_at) * 1_000,
        believed_until_ms: i64::MAX,
        max_clock_skew_ms: 0,
    }
}

/// Hours of several batches, which have keys in common.
#[derive(Debug, Default)]
struct Runs {
    runs: Vec<Hours>,
    keys: usize,
    folded: usize,
}

impl Runs {
    fn add(&mut self, hours: Hours) {
        self.keys += hours.len();
        self.runs.push(hours);
        if self.keys > 2 * self.folded + WAITING_KEYS_MIN {
            let folded = Hours::fold(std::mem::take(&mut self.runs));
            (self.keys, self.folded) = (folded.len(), folded.len());
            self.runs.push(folded);
        }
    }
}
