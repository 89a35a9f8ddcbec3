//! Reads a recovered range back: which of its offsets are stored, and which more than once.
//!
//! Removing doubles is idempotent and never removes the last copy: of the rows of one offset those with the earliest
//! `inserted_at` stay. Each attempt to insert has an `inserted_at` of its own, so copies can be told apart.

use std::collections::HashSet;

use arrow::array::{Array, BooleanArray, Int64Array, RecordBatch};
use arrow::compute::filter_record_batch;
use clickhouse::Row;
use serde::Deserialize;

use crate::range::Range;
use crate::store::{Store, StoreError, classify};

/// The name of the column that every raw row has.
const OFFSET: &str = "kafka_offset";

/// What the tables hold of a range.
#[derive(Debug, Default)]
pub struct Stored {
    /// Distinct offsets by table, in the order of the tables.
    pub by_table: Vec<(&'static str, HashSet<i64>)>,
    /// Tables in which an offset is there more than once.
    pub doubled: Vec<&'static str>,
}

impl Stored {
    /// Whether `offset` is in any of the tables.
    pub fn has(&self, offset: i64) -> bool {
        self.by_table.iter().any(|(_, offsets)| offsets.contains(&offset))
    }

    /// Rows in the record table and in the last one, the rejected records.
    pub fn counts(&self) -> (u64, u64) {
        let count = |(_, offsets): &(&str, HashSet<i64>)| offsets.len() as u64;
        match self.by_table.split_last() {
            Some((rejected, tables)) => (tables.iter().map(count).sum(), count(rejected)),
            None => (0, 0),
        }
    }
}

#[derive(Row, Deserialize)]
struct OffsetCount {
    kafka_offset: i64,
    copies: u64,
}

/// Counts the offsets of `range` in `tables`.
pub async fn read(store: &Store, tables: &[&'static str], range: &Range) -> Result<Stored, StoreError> {
    let mut stored = Stored::default();
    for &table in tables {
        let rows = store
            .client
            .query(&format!("select kafka_offset, count() as copies from {table} where {COORDINATES} group by kafka_offset"))
            .bind(&*range.id.topic)
            .bind(range.id.partition)
            .bind(range.log_epoch)
            .bind(range.start)
            .bind(range.end)
            .fetch_all::<OffsetCount>()
            .await
            .map_err(classify)?;
        if rows.iter().any(|row| row.copies > 1) {
            stored.doubled.push(table);
        }
        stored.by_table.push((table, rows.into_iter().map(|row| row.kafka_offset).collect()));
    }
    Ok(stored)
}

const COORDINATES: &str =
    "kafka_topic = ? and kafka_partition = ? and log_epoch = ? and kafka_offset >= ? and kafka_offset < ?";

/// Leaves one copy of each offset of `range` in `table`.
pub async fn remove_doubles(store: &Store, table: &str, range: &Range) -> Result<(), StoreError> {
    let sql = format!(
        "delete from {table} where {COORDINATES} and (kafka_offset, inserted_at) not in \
         (select kafka_offset, min(inserted_at) from {table} where {COORDINATES} group by kafka_offset)"
    );
    let mut query = store.client.query(&sql).with_setting("lightweight_deletes_sync", "2");
    for _ in 0..2 {
        query = query
            .bind(&*range.id.topic)
            .bind(range.id.partition)
            .bind(range.log_epoch)
            .bind(range.start)
            .bind(range.end);
    }
    query.execute().await.map_err(classify)
}

/// The rows of `piece` whose offsets are not stored; none where all are.
pub fn missing(piece: &RecordBatch, stored: &Stored) -> Result<Option<RecordBatch>, StoreError> {
    let offsets = offsets(piece)?;
    let keep: BooleanArray = offsets.values().iter().map(|&offset| Some(!stored.has(offset))).collect();
    if keep.true_count() == 0 {
        return Ok(None);
    }
    filter_record_batch(piece, &keep).map(Some).map_err(|error| StoreError::Fatal(error.to_string()))
}

/// The offsets of a block of raw rows.
pub fn offsets(piece: &RecordBatch) -> Result<&Int64Array, StoreError> {
    piece
        .column_by_name(OFFSET)
        .and_then(|column| column.as_any().downcast_ref::<Int64Array>())
        .ok_or_else(|| StoreError::Fatal(format!("a block of raw rows has no column {OFFSET} of 64 bits")))
}
