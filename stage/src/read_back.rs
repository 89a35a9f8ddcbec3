//! Reads a recovered range back: which of its offsets are stored, and which more than once.
//!
//! Removing duplicates is idempotent and never removes the last copy: of the rows of one offset, those with the
//! earliest `inserted_at` stay. Each attempt to insert has an `inserted_at` of its own, so copies can be told apart.

use std::collections::HashSet;
use std::ops;

use arrow::array::{AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::TimestampMicrosecondType;
use arrow::error::ArrowError;
use clickhouse::Row;
use clickhouse::query::Query;
use horolog_schemas::column;
use serde::Deserialize;

use crate::range::{PartitionId, Range};
use crate::stage::Tables;
use crate::store::{Store, StoreError};

/// The name of the column that every raw row has.
const OFFSET: &str = "kafka_offset";
const MS_A_DAY: i64 = 86_400_000;

/// What the tables hold of a range.
#[derive(Debug, Default)]
pub struct Stored {
    /// Distinct offsets by table, in the order of the tables.
    pub by_table: Vec<(&'static str, HashSet<i64>)>,
    /// Tables that hold an offset more than once; the table of rejected records also if it holds one that is a row too.
    pub doubled: Vec<&'static str>,
}

impl Stored {
    /// Whether `offset` is in any of the tables.
    pub fn has(&self, offset: i64) -> bool {
        self.by_table.iter().any(|(_, offsets)| offsets.contains(&offset))
    }

    /// Offsets in the last table, that of the rejected records.
    pub fn rejected(&self) -> u64 {
        self.by_table.last().map_or(0, |(_, offsets)| offsets.len() as u64)
    }
}

#[derive(Row, Deserialize)]
struct OffsetCount {
    kafka_offset: i64,
    copies: u64,
}

/// Reads which offsets of `range` are stored in `tables`.
pub async fn read(store: &Store, tables: &[&'static str], range: &Range) -> Result<Stored, StoreError> {
    let mut stored = Stored::default();
    for &table in tables {
        let query = store.client.query(&format!(
            "select kafka_offset, count() as copies from {table} where {COORDINATES} group by kafka_offset"
        ));
        let query = at(query, &range.id, range.log_epoch, &(range.start..range.end));
        let rows = query.fetch_all::<OffsetCount>().await?;
        if rows.iter().any(|row| row.copies > 1) {
            stored.doubled.push(table);
        }
        stored
            .by_table
            .push((table, rows.into_iter().map(|row| row.kafka_offset).collect()));
    }
    if let [(_, rows), (rejected, offsets)] = &stored.by_table[..]
        && !rows.is_disjoint(offsets)
        && !stored.doubled.contains(rejected)
    {
        stored.doubled.push(rejected);
    }
    Ok(stored)
}

/// Number of distinct `offsets` of accepted records, by the hour of the row's time, seconds since 1970.
pub async fn hours(
    store: &Store,
    Tables { rows, time_column, .. }: Tables,
    id: &PartitionId,
    log_epoch: u32,
    offsets: ops::Range<i64>,
) -> Result<Vec<(u32, u64)>, StoreError> {
    let hour = format!("toUnixTimestamp(toStartOfHour({time_column}))");
    let query = store.client.query(&format!(
        "select {hour} as hour, uniqExact(kafka_offset) from {rows} where {COORDINATES} group by hour order by hour"
    ));
    at(query, id, log_epoch, &offsets)
        .fetch_all()
        .await
        .map_err(StoreError::from)
}

/// Number of distinct `offsets` that have rows in `table`.
pub async fn count(
    store: &Store,
    table: &str,
    id: &PartitionId,
    log_epoch: u32,
    offsets: ops::Range<i64>,
) -> Result<u64, StoreError> {
    let query = store.client.query(&format!(
        "select uniqExact(kafka_offset) from {table} where {COORDINATES}"
    ));
    at(query, id, log_epoch, &offsets)
        .fetch_one()
        .await
        .map_err(StoreError::from)
}

/// Condition on the records of a partition in one life of its log, from an offset to before another. [`at`] binds its
/// parameters.
pub(crate) const COORDINATES: &str =
    "kafka_topic = ? and kafka_partition = ? and log_epoch = ? and kafka_offset >= ? and kafka_offset < ?";

pub(crate) fn at(query: Query, id: &PartitionId, log_epoch: u32, offsets: &ops::Range<i64>) -> Query {
    query
        .bind(&*id.topic)
        .bind(id.partition)
        .bind(log_epoch)
        .bind(offsets.start)
        .bind(offsets.end)
}

/// Leaves one copy of each offset of `range` in `table`, and none that an earlier table of `tables` has: a record that
/// one release rejects and another accepts stays a row.
pub async fn remove_doubles(store: &Store, tables: &[&str], table: &str, range: &Range) -> Result<(), StoreError> {
    let mut doubled = format!(
        "(kafka_offset, inserted_at) not in \
         (select kafka_offset, min(inserted_at) from {table} where {COORDINATES} group by kafka_offset)"
    );
    let before: Vec<&str> = tables.iter().copied().take_while(|&other| other != table).collect();
    for other in &before {
        doubled += &format!(" or kafka_offset in (select kafka_offset from {other} where {COORDINATES})");
    }
    let sql = format!("delete from {table} where {COORDINATES} and ({doubled})");
    let mut query = store
        .client
        .query(&sql)
        .with_setting("lightweight_deletes_sync", "2")
        // Replicated tables refuse subqueries otherwise; this one gives the same result on each replica.
        .with_setting("allow_nondeterministic_mutations", "1");
    for _ in 0..2 + before.len() {
        query = at(query, &range.id, range.log_epoch, &(range.start..range.end));
    }
    query.execute().await.map_err(StoreError::from)
}

/// The rows of `piece` whose offsets are not stored; `None` if all are.
pub fn missing(piece: &RecordBatch, stored: &Stored) -> Result<Option<RecordBatch>, StoreError> {
    let offsets = offsets(piece)?;
    let keep: BooleanArray = offsets
        .values()
        .iter()
        .map(|&offset| Some(!stored.has(offset)))
        .collect();
    if keep.true_count() == 0 {
        return Ok(None);
    }
    filter_record_batch(piece, &keep).map(Some).map_err(bug)
}

/// The offsets of rows that deletion after `days` may remove, or has removed, by now.
pub fn expired(pieces: &[RecordBatch], time_column: &str, days: u32, now_ms: i64) -> Result<HashSet<i64>, StoreError> {
    // One day of margin: partitions are whole days, and the servers' clocks are not ours.
    let kept_from_us = (now_ms - (i64::from(days) - 1) * MS_A_DAY) * 1_000;
    let mut expired = HashSet::new();
    for piece in pieces {
        let times = column(piece, time_column, |times| {
            times.as_primitive_opt::<TimestampMicrosecondType>()
        });
        let times = times.map_err(bug)?;
        let rows = offsets(piece)?.values().iter().zip(times.values());
        expired.extend(
            rows.filter(|&(_, &time)| time < kept_from_us)
                .map(|(&offset, _)| offset),
        );
    }
    Ok(expired)
}

/// The offsets of a block of raw rows.
pub fn offsets(piece: &RecordBatch) -> Result<&Int64Array, StoreError> {
    column(piece, OFFSET, |offsets| offsets.as_primitive_opt()).map_err(bug)
}

fn bug(error: ArrowError) -> StoreError {
    StoreError::Fatal(format!("a block of raw rows: {error}"))
}
