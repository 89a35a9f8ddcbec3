//! Late records to rows of `hour_revisions`: one row per tenant and hour.
//!
//! The block is inserted with the batch, under its token. Pure; no block if nothing is late.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, UInt32Array, UInt64Array};
use arrow::datatypes::UInt8Type;
use horolog_schemas::{PartitionKey, pieces};
use horolog_stage::range::Range;
use horolog_stage::stage::Block;

use crate::block::BlockError;
use crate::columns::{maps, push, seconds};
use crate::late::{LateHours, LateRecords};
use crate::time_frame::TimeFrame;

/// The table of the revisions; partitioned by the month of the hours.
const REVISIONS_TABLE: &str = "hour_revisions";
const REVISIONS_PARTITION: PartitionKey = PartitionKey::Month("hour");

/// The block of `hour_revisions`: one row per tenant and late hour.
pub fn hour_revisions(range: &Range, late: &LateHours, frame: TimeFrame) -> Result<Option<Block>, BlockError> {
    if late.is_empty() {
        return Ok(None);
    }
    let mut lateness = maps::<UInt8Type>();
    for records in late.values() {
        for (class, records) in &records.classes {
            push(&mut lateness, *class, *records);
        }
        lateness.append(true)?;
    }
    let offsets = |of: fn(&LateRecords) -> i64| Arc::new(Int64Array::from_iter_values(late.values().map(of)));
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        (
            "tenant_id",
            Arc::new(StringArray::from_iter_values(late.keys().map(|(tenant, _)| tenant))),
        ),
        ("hour", seconds(late.keys().map(|(_, hour)| i64::from(*hour)))),
        (
            "revised_at",
            seconds(late.keys().map(|(_, hour)| frame.revised_at(*hour))),
        ),
        ("first_offset", offsets(|late| late.first_offset)),
        ("last_offset", offsets(|late| late.last_offset)),
        (
            "records",
            Arc::new(UInt64Array::from_iter_values(late.values().map(|late| late.records))),
        ),
        (
            "lateness_max_s",
            Arc::new(UInt32Array::from_iter_values(
                late.values().map(|late| late.lateness_max_s),
            )),
        ),
        ("lateness", Arc::new(lateness.finish())),
    ];
    columns.extend(coordinates(range, late.len()));
    Ok(Some(Block {
        table: REVISIONS_TABLE,
        pieces: pieces(REVISIONS_PARTITION, &RecordBatch::try_from_iter(columns)?)?,
    }))
}

/// Where the records are from.
pub(crate) fn coordinates(range: &Range, rows: usize) -> [(&'static str, ArrayRef); 3] {
    let topic = std::iter::repeat_n(&*range.id.topic, rows);
    [
        ("kafka_topic", Arc::new(StringArray::from_iter_values(topic))),
        (
            "kafka_partition",
            Arc::new(Int32Array::from_value(range.id.partition, rows)),
        ),
        ("log_epoch", Arc::new(UInt32Array::from_value(range.log_epoch, rows))),
    ]
}
