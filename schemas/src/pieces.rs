//! Cuts a block into pieces that ClickHouse inserts atomically.
//!
//! In: a block and the partition key of its table. Out: pieces of at most `PIECE_ROWS_MAX` rows that touch at most
//! `PIECE_PARTITIONS_MAX` table partitions. A pure function of the block: a retry cuts as the first attempt did, so
//! that each piece's deduplication token stands for the same content.

use arrow::array::{Array, AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{
    DataType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt32Type,
};
use arrow::error::ArrowError;
use chrono::{DateTime, Datelike};

use crate::Kind;

/// Maximum rows of a piece. ClickHouse splits more than 1,048,449 rows into several parts, and only a part is atomic.
pub const PIECE_ROWS_MAX: usize = 500_000;
/// Maximum table partitions of a piece. ClickHouse refuses more than 100 (error 252), however often it is retried.
const PIECE_PARTITIONS_MAX: usize = 50;

const SECONDS_A_DAY: i64 = 86_400;

/// The partition key of a table: the day or month (UTC) of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionKey {
    /// The day of this column.
    Day(&'static str),
    /// The month of this column.
    Month(&'static str),
}

impl PartitionKey {
    /// The key of `rejected_records`. Its other key column, the kind, is the same for a whole block.
    pub const REJECTED: Self = Self::Month("kafka_timestamp");

    /// The key of the kind's table.
    pub const fn of(kind: Kind) -> Self {
        match kind {
            Kind::MetricSample => Self::Day(kind.time_column()),
            Kind::AuditEvent => Self::Month(kind.time_column()),
        }
    }

    const fn column(self) -> &'static str {
        match self {
            Self::Day(column) | Self::Month(column) => column,
        }
    }

    /// The partition of a time, as a number that grows by one from each partition to the next.
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

/// The pieces of a block, in insertion order; none for an empty block.
///
/// A block within both bounds is one piece, unchanged. Any other is sorted by table partition (ascending, stable) and
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

/// The table partition of each row.
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

/// The number of partitions from the first to the last, inclusive.
fn span(partitions: &[i64]) -> u64 {
    match (partitions.iter().min(), partitions.iter().max()) {
        (Some(first), Some(last)) => last.abs_diff(*first) + 1,
        _ => 0,
    }
}

/// The lengths of the pieces, given the rows' partitions in order.
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, TimestampMillisecondArray};
    use arrow::compute::concat_batches;
    use arrow::datatypes::Int64Type;
    use proptest::prelude::*;

    use super::*;

    const DAY_MS: i64 = 86_400_000;
    const KEY: PartitionKey = PartitionKey::Day("kafka_timestamp");

    fn block(times_ms: &[i64]) -> RecordBatch {
        let times: ArrayRef = Arc::new(TimestampMillisecondArray::from(times_ms.to_vec()));
        let offsets: ArrayRef = Arc::new(Int64Array::from_iter_values((0..).take(times_ms.len())));
        RecordBatch::try_from_iter([("kafka_timestamp", times), ("kafka_offset", offsets)]).unwrap()
    }

    fn offsets(piece: &RecordBatch) -> Vec<i64> {
        piece.column(1).as_primitive::<Int64Type>().values().to_vec()
    }

    fn lengths(pieces: &[RecordBatch]) -> Vec<usize> {
        pieces.iter().map(RecordBatch::num_rows).collect()
    }

    #[test]
    fn a_block_within_both_bounds_stays_as_it_is() {
        let backwards: Vec<i64> = (0..50).rev().map(|day| day * DAY_MS).collect();
        let cut = pieces(KEY, &block(&backwards)).unwrap();
        assert_eq!(lengths(&cut), [50]);
        assert_eq!(offsets(&cut[0]), (0..50).collect::<Vec<i64>>());
    }

    #[test]
    fn the_51st_partition_starts_a_piece() {
        let backwards: Vec<i64> = (0..51).rev().map(|day| day * DAY_MS).collect();
        let cut = pieces(KEY, &block(&backwards)).unwrap();
        assert_eq!(lengths(&cut), [50, 1]);
        assert_eq!(offsets(&cut[1]), [0], "the newest day comes last");
    }

    #[test]
    fn few_partitions_far_apart_stay_one_piece_in_offset_order() {
        let cut = pieces(KEY, &block(&[9_000 * DAY_MS, 0, 9_000 * DAY_MS, 1])).unwrap();
        assert_eq!(offsets(&cut[0]), [0, 1, 2, 3]);
    }

    #[test]
    fn the_row_over_the_bound_starts_a_piece() {
        let full = block(&vec![0; PIECE_ROWS_MAX]);
        assert_eq!(lengths(&pieces(KEY, &full).unwrap()), [PIECE_ROWS_MAX]);
        let over = block(&vec![0; PIECE_ROWS_MAX * 2 + 1]);
        assert_eq!(
            lengths(&pieces(KEY, &over).unwrap()),
            [PIECE_ROWS_MAX, PIECE_ROWS_MAX, 1]
        );
    }

    #[test]
    fn months_are_calendar_months_in_utc() {
        let key = PartitionKey::Month("kafka_timestamp");
        let at = |text: &str| DateTime::parse_from_rfc3339(text).unwrap().timestamp();
        let months = [
            "1999-12-31T23:59:59Z",
            "2000-01-01T00:00:00Z",
            "2000-02-29T12:00:00Z",
            "2000-03-01T00:00:00Z",
        ];
        let first = key.partition(at(months[0]));
        assert_eq!(months.map(|month| key.partition(at(month)) - first), [0, 1, 2, 3]);
    }

    #[test]
    fn a_column_that_is_no_time_is_an_error() {
        assert!(pieces(PartitionKey::Day("kafka_offset"), &block(&[0])).is_err());
        assert!(pieces(PartitionKey::Day("time"), &block(&[0])).is_err());
    }

    proptest! {
        #[test]
        fn pieces_hold_each_row_once_within_the_bounds(days in prop::collection::vec(-200i64..200, 1..400)) {
            let times: Vec<i64> = days.iter().map(|day| day * DAY_MS + 5).collect();
            let whole = block(&times);
            let cut = pieces(KEY, &whole).unwrap();
            let mut next = i64::MIN;
            for piece in &cut {
                let days: Vec<i64> = partitions(KEY, piece).unwrap();
                prop_assert!(days.iter().collect::<BTreeSet<_>>().len() <= PIECE_PARTITIONS_MAX);
                if cut.len() > 1 {
                    prop_assert!(days.is_sorted() && days[0] >= next, "ascending through all pieces");
                    next = days[days.len() - 1];
                }
                for pair in offsets(piece).windows(2).zip(days.windows(2)) {
                    prop_assert!(pair.1[0] != pair.1[1] || pair.0[0] < pair.0[1], "offset order within a partition");
                }
            }
            let mut seen = offsets(&concat_batches(&whole.schema(), &cut).unwrap());
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..days.len() as i64).collect::<Vec<i64>>());
        }
    }
}
