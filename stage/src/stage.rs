//! What a stage is to the delivery: a pure function from a range of records to blocks of rows.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use horolog_schemas::WriterSchemas;

use crate::intent::Intent;
use crate::range::{PartitionId, Range};

/// What a stage makes of ranges of records.
pub trait Stage: Send + Sync + 'static {
    /// Its name in tokens, in the ledger and in metrics.
    fn name(&self) -> &'static str;

    /// The schemas by which the records of a topic are read. They may learn more before a range is prepared.
    fn schemas(&self, topic: &str) -> Option<&WriterSchemas>;

    /// What to insert for `range`. Pure: called again after a crash with the same range and intent, it returns the same
    /// pieces. May block; called for several partitions at a time.
    fn prepare(&self, range: &Range, intent: &Intent) -> Result<Prepared, PrepareError>;

    /// Where each record of a topic can be found by its offset; `None` for a stage whose rows do not know their records.
    fn tables(&self, _topic: &str) -> Option<Tables> {
        None
    }

    /// Rejected rows for records that ClickHouse refused for their content, by offset and with its message. Only asked
    /// about rows in [`Tables::rows`].
    fn refused(&self, _range: &Range, _refused: &[(i64, String)]) -> Result<Block, PrepareError> {
        Err(PrepareError::Bug("its rows do not know their records".to_owned()))
    }

    /// Whether it states the progress of its partitions: watermark, number of partitions, and epoch of the newest rebuild
    /// (ARCHITECTURE.md, "Aggregates").
    fn states_progress(&self) -> bool {
        false
    }

    /// The progress of this partition is about to be stated: it is this member's.
    fn holds(&self, _id: &PartitionId) {}
}

/// The tables with the records of a topic, each at its offset.
#[derive(Debug, Clone, Copy)]
pub struct Tables {
    /// The accepted ones.
    pub rows: &'static str,
    /// Its column with the time of a row, µs since 1970, by which it may delete the row.
    pub time_column: &'static str,
    /// The rejected ones.
    pub rejected: &'static str,
}

impl Tables {
    /// Both, the rejected ones last.
    pub fn names(self) -> [&'static str; 2] {
        [self.rows, self.rejected]
    }
}

/// Why a range cannot be prepared. This stops the partition; a bad record is not an error but a rejected record.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The batch was begun by another release, with rules that this one does not have.
    #[error(
        "the pending batch was begun under validation rules version {0}, which this release does not have: run the release that began it until it is done"
    )]
    Rules(u32),
    /// The topic is not configured, so the kind of its records is unknown.
    #[error("the topic {0} is not named by any setting under source, so the kind of its records is unknown")]
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
    /// Its pieces, cut by the fixed rule; all columns of the table except `inserted_at`.
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
    /// Stored before any of `blocks`, and again whenever any of them is: a row too many does no harm, one too few
    /// would.
    pub announced: Option<Block>,
    /// Blocks in the order of insertion.
    pub blocks: Vec<Block>,
    /// Records that became rows.
    pub rows: u64,
    /// Records that were rejected.
    pub rejected: u64,
    /// Records that came after their hour was complete.
    pub late: u64,
    /// Records that were older than the retention of their table when they arrived.
    pub expired: u64,
    /// Records whose clock was ahead: they do not move the watermark.
    pub ahead: u64,
    /// Late records by how far they were behind the watermark: class n counts [2^(n-1), 2^n) seconds, class 0 less than
    /// one.
    pub lateness: BTreeMap<u8, u64>,
    /// Accepted records by hour of their time: seconds since 1970 of its start.
    pub hours: BTreeMap<u32, u64>,
    /// Largest min(event time, Kafka timestamp) of the accepted records whose clock was not ahead, ms since 1970; where
    /// none was accepted, largest Kafka timestamp of the rejected ones.
    pub high_time_ms: Option<i64>,
}

/// The progress of a partition.
#[derive(Debug, Clone)]
pub struct Progress {
    /// The partition.
    pub id: PartitionId,
    /// Life of the log.
    pub log_epoch: u32,
    /// Partitions of the topic that its owner counts (ARCHITECTURE.md, "Added partitions").
    pub partitions: i32,
    /// Everything before this offset is stored.
    pub aggregated_end: i64,
    /// No record before this will arrive on time, ms since 1970.
    pub watermark_ms: i64,
    /// Batches from `aggregated_end` on carry this epoch or a later one.
    pub write_epoch: u32,
}
