//! Gathers what [`crate::plan`] decides on: the group's commit and the log from Kafka, the ledger and the rows from ClickHouse.
//!
//! Only reads. Takes as long as it takes: while a server is away the partition is not fetched, so nothing is lost by waiting.

use clickhouse::Row;
use serde::Deserialize;

use crate::ledger;
use crate::plan::LedgerEnd;
use crate::probe::{LogBounds, Probe, ProbeError};
use crate::range::PartitionId;
use crate::store::{Store, StoreError, classify};

/// Why facts could not be had just now.
#[derive(Debug, thiserror::Error)]
pub enum FactsError {
    /// The broker did not answer, or not with what was asked for.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// ClickHouse did not.
    #[error("clickhouse: {0}")]
    Store(#[from] StoreError),
    /// A broker that lost touch with its cluster still answers, with the end that it knows.
    #[error("the log ends at {log_end}, before what is known of it: asking again, whether that is so")]
    Shorter {
        /// Its end by that answer.
        log_end: i64,
    },
    /// Nobody answered in time.
    #[error("no answer in time")]
    Timeout,
}

/// What the log is right now, and the last record that the ledger knows in it. Blocks.
///
/// Asked last: a log that is the same is never shorter than what was known of it before, however long we slept in between.
pub fn of_log(
    probe: &Probe,
    id: &PartitionId,
    tail: Option<&ledger::Tail>,
) -> Result<(LogBounds, Option<LedgerEnd>), ProbeError> {
    let bounds = probe.bounds(id)?;
    let tail_offset = tail.and_then(|tail| tail.record).map(|(end, _)| end - 1);
    let readable = tail_offset.filter(|offset| (bounds.start..bounds.end).contains(offset));
    let found = match readable {
        Some(offset) => probe.record_at(id, offset)?,
        None => None,
    };
    Ok((bounds, tail.map(|tail| tail.fact(found))))
}

/// The newest row of a life of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LastRow {
    /// Its record's offset.
    pub offset: i64,
    /// Its record's Kafka timestamp as tables hold it, ms since 1970.
    pub timestamp_ms: i64,
}

/// The newest row of this life of the log in `tables`, looking from offset `from` on.
pub async fn last_row(
    store: &Store,
    tables: &[&'static str],
    id: &PartitionId,
    log_epoch: u32,
    from: i64,
) -> Result<Option<LastRow>, StoreError> {
    let mut last = None;
    for table in tables {
        let (rows, offset, timestamp_ms): (u64, i64, i64) = store
            .client
            .query(&format!(
                "select count(), max(kafka_offset), toUnixTimestamp64Milli(argMax(kafka_timestamp, kafka_offset)) from {table} \
                 where kafka_topic = ? and kafka_partition = ? and log_epoch = ? and kafka_offset >= ?"
            ))
            .bind(&*id.topic)
            .bind(id.partition)
            .bind(log_epoch)
            .bind(from)
            .fetch_one()
            .await
            .map_err(classify)?;
        last = last.max((rows > 0).then_some(LastRow { offset, timestamp_ms }));
    }
    Ok(last)
}

/// What was stated of a partition's progress, by this owner of it or an earlier one.
#[derive(Debug, Clone, Copy, Default, Row, Deserialize)]
pub struct Stated {
    /// Largest watermark of this life of the log, ms since 1970; 0 where there is none.
    pub watermark_ms: i64,
    /// The same of all its lives.
    pub watermark_ever_ms: i64,
    /// Epoch of the partial aggregates.
    pub write_epoch: u32,
    /// Partitions of the topic, as any owner of any of them last saw it.
    pub partitions: i32,
}

/// Reads what was stated.
pub async fn stated(store: &Store, id: &PartitionId, log_epoch: u32) -> Result<Stated, StoreError> {
    store
        .client
        .query(
            "select maxIf(toUnixTimestamp64Milli(watermark), kafka_partition = ? and log_epoch = ?) as watermark_ms, \
             maxIf(toUnixTimestamp64Milli(watermark), kafka_partition = ?) as watermark_ever_ms, \
             maxIf(p.write_epoch, kafka_partition = ?) as write_epoch, max(p.partitions) as partitions \
             from partition_progress as p where kafka_topic = ?",
        )
        .bind(id.partition)
        .bind(log_epoch)
        .bind(id.partition)
        .bind(id.partition)
        .bind(&*id.topic)
        .fetch_one()
        .await
        .map_err(classify)
}
