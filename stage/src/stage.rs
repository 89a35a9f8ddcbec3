//! What a stage is to the delivery: a pure function from a range of records to blocks of rows.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;

use crate::intent::Intent;
use crate::range::{PartitionId, Range};

/// What a stage makes of ranges of records.
pub trait Stage: Send + Sync + 'static {
    /// Its name in tokens, in the ledger and in metrics.
    fn name(&self) -> &'static str;

    /// What is to be inserted for `range`. Pure: called again after a crash with the same range and intent it gives the same
    /// pieces. May block; called for several partitions at a time.
    fn prepare(&self, range: &Range, intent: &Intent) -> Result<Prepared, PrepareError>;

    /// The tables in which each record of a topic is found again by its offset, the rejected ones last; empty for a stage
    /// whose rows do not know their records.
    fn tables_by_offset(&self, topic: &str) -> Vec<&'static str>;

    /// The column with the time of a row of a topic's table, µs since 1970, by which the table may delete it; none where the stage's
    /// rows are never looked for again.
    fn time_column(&self, _topic: &str) -> Option<&'static str> {
        None
    }

    /// Rejected rows for records that ClickHouse refused for their content, by offset and with its words. None where a
    /// refusal cannot be a record's fault.
    fn refused(&self, _range: &Range, _refused: &[(i64, String)]) -> Option<Block> {
        None
    }

    /// Whether its rows carry the epoch of the newest rebuild (see ARCHITECTURE.md, "Epochs").
    fn has_epochs(&self) -> bool {
        false
    }

    /// The row that says how far the partition is, written after everything else. A stage that has such rows has watermarks.
    fn progress(&self, _at: &Progress) -> Option<Block> {
        None
    }
}

/// Why a range cannot be prepared. It stops the partition: a bad record is not an error, it is a rejected record.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The batch was begun by another release, whose rules this one does not know.
    #[error(
        "the pending batch was begun under validation rules version {0}, which this release does not have: run the release that began it until it is done"
    )]
    Rules(u32),
    /// What the records of the topic are is not configured.
    #[error("the topic {0} is none of those that the settings under source name, so what its records are is unknown")]
    Topic(String),
    /// A broken invariant of our own.
    #[error("cannot prepare the batch: {0}")]
    Bug(String),
}

/// Rows for one table.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// The table.
    pub table: &'static str,
    /// Its pieces by the fixed rule; all columns of the table but `inserted_at`.
    pub pieces: Vec<RecordBatch>,
}

impl Block {
    /// Rows in all pieces.
    pub fn rows(&self) -> usize {
        self.pieces.iter().map(RecordBatch::num_rows).sum()
    }
}

/// What a stage made of a range.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Prepared {
    /// What is stored before any of `blocks`, and again whenever any of them is: a row of it too many does no harm, one too few would.
    pub announced: Option<Block>,
    /// Blocks in the order of insertion.
    pub blocks: Vec<Block>,
    /// Records that became rows.
    pub rows: u64,
    /// Records that were rejected.
    pub rejected: u64,
    /// Records that came after their hour was complete.
    pub late: u64,
    /// Records that were older than the retention of their table when they came.
    pub expired: u64,
    /// Records whose clock was ahead: they do not move the watermark.
    pub ahead: u64,
    /// Late records by how far they were behind the watermark: n counts those of [2^(n-1), 2^n) seconds, 0 those under one.
    pub lateness: BTreeMap<u8, u64>,
    /// Accepted records by hour of their time: seconds since 1970 of its start.
    pub hours: BTreeMap<u32, u64>,
    /// Largest min(event time, Kafka timestamp) of the accepted records whose clock was not ahead, ms since 1970.
    pub high_time_ms: Option<i64>,
}

/// How far a partition is.
#[derive(Debug, Clone)]
pub struct Progress {
    /// The partition.
    pub id: PartitionId,
    /// Life of the log.
    pub log_epoch: u32,
    /// Partitions of the topic.
    pub partitions: i32,
    /// Everything before this offset is stored.
    pub aggregated_end: i64,
    /// No record on time will come for what is before this, ms since 1970.
    pub watermark_ms: i64,
    /// The batches behind `aggregated_end` carry this epoch or a later one.
    pub write_epoch: u32,
}
