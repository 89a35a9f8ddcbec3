//! Cuts a block into pieces that ClickHouse takes whole.
//!
//! In: a block and the key its table is partitioned by. Out: pieces of at most `PIECE_ROWS_MAX` rows that touch at most
//! `PIECE_PARTITIONS_MAX` table partitions. A pure function of the block: a retry cuts as the first attempt did, so that
//! the deduplication token of each piece meets the same content.

use arrow::array::{Array, AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{
    DataType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt32Type,
};
use arrow::error::ArrowError;
use chrono::{DateTime, Datelike};

use crate::Kind;

/// The most rows of a piece. ClickHouse makes several parts of more than 1,048,449, and atomicity is by part.
pub const PIECE_ROWS_MAX: usize = 500_000;
/// The most table partitions of a piece. ClickHouse refuses more than 100 (error 252), for ever.
pub const PIECE_PARTITIONS_MAX: usize = 50;

const SECONDS_A_DAY: i64 = 86_400;

/// What a table is partitioned by: the day or the month (UTC) of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionKey {
    /// The day of this column.
    Day(&'static str),
    /// The month of this column.
    Month(&'static str),
}

impl PartitionKey {
    /// The key of `rejected_records`; its other key column, the kind, is the same in a whole block.
    pub const REJECTED: Self = Self::Month("kafka_timestamp");

    /// The key of the kind's table.
    pub const fn of(kind: Kind) -> Self {
        match kind {
            Kind::MetricSample => Self::Day("time"),
            Kind::AuditEvent => Self::Month("occurred_at"),
        }
    }

    const fn column(self) -> &'static str {
        match self {
            Self::Day(column) | Self::Month(column) => column,
        }
    }

    /// The partition of a time, as a number that grows by one from each to the next.
    fn partition(self, seconds: i64) -> i64 {
        match self {
            Self::Day(_) => seconds.div_euclid(SECONDS_A_DAY),
            Self::Month(_) => match DateTime::from_timestamp_secs(seconds) {
                Some(time) => i64::from(time.year()) * 12 + i64::from(time.month0()),
                None => seconds.signum() * i64::from(i32::MAX),
            },
        }
    }
}

/// The pieces of a block, in the order in which they are inserted; none of a block without rows.
///
/// A block within both bounds is one piece, as it is. Any other is sorted by table partition, ascending and stable, and
/// cut greedily: a piece ends where one more row would break a bound.
pub fn pieces(key: PartitionKey, block: &RecordBatch) -> Result<Vec<RecordBatch>, ArrowError> {
    if block.num_rows() == 0 {
        return Ok(Vec::new());
    }
    let partitions = partitions(key, block)?;
    if block.num_rows() <= PIECE_ROWS_MAX && span(&partitions) <= PIECE_PARTITIONS_MAX as u64 {
        return Ok(vec![block.clone()]);
    }
    let mut order: Vec<u32> = (0..).take(partitions.len()).collect();
    order.sort_by_key(|&row| partitions[row as usize]);
    let lengths = cut(order.iter().map(|&row| partitions[row as usize]));
    if let [_] = lengths[..] {
        return Ok(vec![block.clone()]);
    }
    let sorted = take_record_batch(block, &UInt32Array::from(order))?;
    let mut start = 0;
    let piece = |length: usize| {
        start += length;
        sorted.slice(start - length, length)
    };
    Ok(lengths.into_iter().map(piece).collect())
}

/// By row: the partition of the table it goes to.
fn partitions(key: PartitionKey, block: &RecordBatch) -> Result<Vec<i64>, ArrowError> {
    let name = key.column();
    let column = block
        .column_by_name(name)
        .ok_or_else(|| ArrowError::SchemaError(format!("no column {name}")))?;
    let times = |times: &[i64], units_a_second: i64| {
        times
            .iter()
            .map(|time| key.partition(time.div_euclid(units_a_second)))
            .collect()
    };
    Ok(match column.data_type() {
        DataType::Timestamp(unit, _) => match unit {
            TimeUnit::Second => times(column.as_primitive::<TimestampSecondType>().values(), 1),
            TimeUnit::Millisecond => times(column.as_primitive::<TimestampMillisecondType>().values(), 1_000),
            TimeUnit::Microsecond => times(column.as_primitive::<TimestampMicrosecondType>().values(), 1_000_000),
            TimeUnit::Nanosecond => times(column.as_primitive::<TimestampNanosecondType>().values(), 1_000_000_000),
        },
        DataType::UInt32 => column
            .as_primitive::<UInt32Type>()
            .values()
            .iter()
            .map(|&time| key.partition(i64::from(time)))
            .collect(),
        other => {
            return Err(ArrowError::SchemaError(format!(
                "column {name} is of type {other}, not a time"
            )));
        }
    })
}

/// How many partitions lie between the first and the last, both included.
fn span(partitions: &[i64]) -> u64 {
    match (partitions.iter().min(), partitions.iter().max()) {
        (Some(first), Some(last)) => last.abs_diff(*first) + 1,
        _ => 0,
    }
}

/// The lengths of the pieces of rows in the order of their partitions.
fn cut(sorted: impl Iterator<Item = i64>) -> Vec<usize> {
    let mut lengths = vec![0];
    let (mut length, mut touched, mut last) = (0, 0, None);
    for partition in sorted {
        let fresh = last != Some(partition);
        if length == PIECE_ROWS_MAX || (fresh && touched == PIECE_PARTITIONS_MAX) {
            lengths.push(0);
            (length, touched, last) = (0, 0, None);
        }
        touched += usize::from(last != Some(partition));
        last = Some(partition);
        length += 1;
        if let Some(current) = lengths.last_mut() {
            *current = length;
        }
    }
    lengths
}
