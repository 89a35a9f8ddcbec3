//! The ledger: one row per batch and stage that says what became of every offset in its range.
//!
//! The row of a batch is written after its rows and before the commit, so what it names is stored; only a `begun` entry
//! precedes the rows. Rows of the same range replace one another.

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use crate::intent::Intent;
use crate::plan::{Begun, Gap, LedgerEnd};
use crate::range::{PartitionId, Range, RecordMark};
use crate::stage::Prepared;
use crate::store::{Store, StoreError};

/// Name of the table.
pub const TABLE: &str = "batch_ledger";

/// What a row of the ledger is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub enum Entry {
    /// A batch that went its normal way.
    Batch = 1,
    /// A batch that was repeated or filled up after a crash, and read back where rows know their records.
    Recovered = 2,
    /// Offsets that the broker no longer had.
    Gap = 3,
    /// A life of the log begins: the first one, one after the topic was recreated or lost its end, or one taken over
    /// from another stage.
    Epoch = 4,
    /// A batch whose rows do not know their records is about to be inserted; its final row replaces this one.
    Begun = 5,
}

/// A row, as the table has it.
#[derive(Debug, Clone, Default, Row, Serialize)]
pub struct LedgerRow {
    stage: String,
    kafka_topic: String,
    kafka_partition: i32,
    log_epoch: u32,
    start_offset: i64,
    end_offset: i64,
    entry: i8,
    records: u64,
    rows: u64,
    rejected: u64,
    expired: u64,
    late: u64,
    ahead: u64,
    pieces: u32,
    hours: Vec<(u32, u64)>,
    rules_version: u32,
    watermark: i64,
    reached: i64,
    closed_at: i64,
    write_epoch: u32,
    first_timestamp: i64,
    last_timestamp: i64,
    tail_timestamp: i64,
    tail_hash: u64,
    /// Set at each attempt.
    pub inserted_at: i64,
}

impl LedgerRow {
    /// What became of `range`, and the watermark that is stated after it, ms since 1970.
    pub fn batch(stage: &str, entry: Entry, range: &Range, intent: &Intent, made: &Prepared, stated_ms: i64) -> Self {
        let (first_timestamp, last_timestamp) = range.timestamps_ms().unwrap_or_default();
        Self {
            records: match entry {
                // The log may have lost records of a recovered range that had been stored.
                Entry::Recovered => made.rows + made.rejected,
                _ => range.len() as u64,
            },
            rows: made.rows,
            rejected: made.rejected,
            expired: made.expired,
            late: made.late,
            ahead: made.ahead,
            pieces: made.blocks.iter().map(|block| block.pieces.len() as u32).sum(),
            hours: made.hours.iter().map(|(&hour, &rows)| (hour, rows)).collect(),
            first_timestamp,
            last_timestamp,
            reached: stated_ms,
            ..Self::frozen(stage, entry, range, intent)
        }
    }

    /// Written before the rows of `range`: all that is needed to make the same batch again if its intent is lost.
    pub fn begun(stage: &str, range: &Range, intent: &Intent) -> Self {
        Self::frozen(stage, Entry::Begun, range, intent)
    }

    fn frozen(stage: &str, entry: Entry, range: &Range, intent: &Intent) -> Self {
        let (tail_timestamp, tail_hash) = range.tail().map(<(i64, u64)>::from).unwrap_or_default();
        Self {
            tail_timestamp,
            tail_hash,
            rules_version: intent.rules_version,
            watermark: intent.watermark_ms,
            closed_at: intent.at_ms,
            write_epoch: intent.write_epoch,
            ..Self::empty(stage, entry, &range.id, range.log_epoch, range.start, range.end)
        }
    }

    /// Lost offsets, and what of them had nevertheless been stored.
    pub fn gap(stage: &str, id: &PartitionId, log_epoch: u32, gap: Gap, stored: StoredInGap) -> Self {
        Self {
            rows: stored.rows(),
            rejected: stored.rejected,
            hours: stored.hours,
            ..Self::empty(stage, Entry::Gap, id, log_epoch, gap.start, gap.end)
        }
    }

    /// A life of the log that begins at `start`, with the watermark stated before if it is the same log; ms since 1970.
    pub fn epoch(stage: &str, id: &PartitionId, log_epoch: u32, start: i64, watermark_ms: i64) -> Self {
        Self {
            watermark: watermark_ms,
            ..Self::empty(stage, Entry::Epoch, id, log_epoch, start, start)
        }
    }

    /// Whether it records lost offsets.
    pub fn is_gap(&self) -> bool {
        self.entry == Entry::Gap as i8
    }

    /// Distinguishes this write of the row from any other.
    pub fn token(&self) -> String {
        let Self {
            stage,
            kafka_topic,
            kafka_partition,
            log_epoch,
            start_offset,
            end_offset,
            entry,
            inserted_at,
            ..
        } = self;
        format!(
            "{stage}/{kafka_topic}-{kafka_partition}/{log_epoch}/{start_offset}-{end_offset}/{TABLE}/{entry}/{inserted_at}"
        )
    }

    fn empty(stage: &str, entry: Entry, id: &PartitionId, log_epoch: u32, start: i64, end: i64) -> Self {
        Self {
            stage: stage.to_owned(),
            kafka_topic: id.topic.to_string(),
            kafka_partition: id.partition,
            log_epoch,
            start_offset: start,
            end_offset: end,
            entry: entry as i8,
            ..Self::default()
        }
    }
}

/// What is stored of lost offsets.
#[derive(Debug, Default)]
pub struct StoredInGap {
    /// Rows by the hour of their time, seconds since 1970.
    pub hours: Vec<(u32, u64)>,
    /// Rejected records.
    pub rejected: u64,
}

impl StoredInGap {
    /// Rows in all.
    pub fn rows(&self) -> u64 {
        self.hours.iter().map(|(_, rows)| rows).sum()
    }
}

/// Reads the end of a partition: the offset after the last that is surely stored, or lost, in its newest life. Does not
/// ask the log.
pub async fn read_end(store: &Store, stage: &str, id: &PartitionId) -> Result<Option<LedgerEnd>, StoreError> {
    let newest = store
        .client
        .query(
            "select log_epoch, max(end_offset), toUnixTimestamp64Milli(max(watermark)), toUnixTimestamp64Milli(max(reached)) \
             from batch_ledger final \
             where stage = ? and kafka_topic = ? and kafka_partition = ? and entry != 'begun' \
             group by log_epoch order by log_epoch desc limit 1",
        )
        .bind(stage)
        .bind(&*id.topic)
        .bind(id.partition)
        .fetch_optional::<(u32, i64, i64, i64)>()
        .await?;
    Ok(newest.map(|(log_epoch, end, watermark_ms, stated_ms)| LedgerEnd {
        log_epoch,
        end,
        watermark_ms,
        stated_ms,
        tail_matches: None,
    }))
}

/// Reads the watermark that a life of the log begins with, ms since 1970; 0 if it is a different log than before.
pub async fn read_beginning(store: &Store, stage: &str, id: &PartitionId, log_epoch: u32) -> Result<i64, StoreError> {
    store
        .client
        .query(
            "select toUnixTimestamp64Milli(max(watermark)) from batch_ledger final \
             where stage = ? and kafka_topic = ? and kafka_partition = ? and log_epoch = ? and entry = 'epoch'",
        )
        .bind(stage)
        .bind(&*id.topic)
        .bind(id.partition)
        .bind(log_epoch)
        .fetch_one::<i64>()
        .await
        .map_err(StoreError::from)
}

/// Reads the end and the last record of the newest batch, of any life, that ends at or before `end_max` with a record.
/// Gaps and the beginnings of lives hold no record: the last one read is in an earlier row.
pub async fn read_mark(
    store: &Store,
    stage: &str,
    id: &PartitionId,
    end_max: i64,
) -> Result<Option<(i64, RecordMark)>, StoreError> {
    let found = store
        .client
        .query(
            "select end_offset, toUnixTimestamp64Milli(tail_timestamp), tail_hash from batch_ledger final \
             where stage = ? and kafka_topic = ? and kafka_partition = ? and end_offset <= ? and tail_hash != 0 and entry != 'begun' \
             order by log_epoch desc, end_offset desc limit 1",
        )
        .bind(stage)
        .bind(&*id.topic)
        .bind(id.partition)
        .bind(end_max)
        .fetch_optional::<(i64, i64, u64)>()
        .await?;
    Ok(found.map(|(end, timestamp_ms, fingerprint)| (end, RecordMark::from((timestamp_ms, fingerprint)))))
}

/// The first batch from `end` on that was begun and is not known to be stored.
pub async fn read_begun(
    store: &Store,
    stage: &str,
    id: &PartitionId,
    log_epoch: u32,
    end: i64,
) -> Result<Option<Begun>, StoreError> {
    #[derive(Row, Deserialize)]
    struct Found {
        start_offset: i64,
        end_offset: i64,
        rules_version: u32,
        watermark: i64,
        closed_at: i64,
        write_epoch: u32,
        tail_timestamp: i64,
        tail_hash: u64,
    }
    let found = store
        .client
        .query(
            "select start_offset, end_offset, rules_version, toUnixTimestamp64Milli(watermark) as watermark, \
             toUnixTimestamp64Milli(closed_at) as closed_at, write_epoch, \
             toUnixTimestamp64Milli(tail_timestamp) as tail_timestamp, tail_hash from batch_ledger final \
             where stage = ? and kafka_topic = ? and kafka_partition = ? and log_epoch = ? and start_offset >= ? \
             and entry = 'begun' order by start_offset limit 1",
        )
        .bind(stage)
        .bind(&*id.topic)
        .bind(id.partition)
        .bind(log_epoch)
        .bind(end)
        .fetch_optional::<Found>()
        .await?;
    Ok(found.map(|found| Begun {
        start: found.start_offset,
        intent: Intent {
            end: found.end_offset,
            rules_version: found.rules_version,
            watermark_ms: found.watermark,
            at_ms: found.closed_at,
            write_epoch: found.write_epoch,
            fill: false,
            tail: Some((found.tail_timestamp, found.tail_hash))
                .filter(|&tail| tail != (0, 0))
                .map(RecordMark::from),
        },
    }))
}
