//! What a batch shows to be out of order: revisions of complete hours, and clocks that are ahead.
//!
//! In: the late records by tenant and hour, and those whose clock was ahead. Out: a block of `hour_revisions` and one of
//! `incidents`, which are inserted with the batch under its token. Pure; no block where there is nothing to tell.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, UInt32Array, UInt64Array};
use arrow::datatypes::UInt8Type;
use chrono::DateTime;
use horolog_schemas::{PartitionKey, pieces};
use horolog_stage::range::Range;
use horolog_stage::stage::Block;

use crate::block::BlockError;
use crate::columns::{Maps, seconds};
use crate::key::HOUR_S;
use crate::late::{LateHours, LateRecords};
use crate::partial::Ahead;
use crate::time_frame::TimeFrame;

/// The table of the revisions; partitioned by the month of the hours.
const REVISIONS_TABLE: &str = "hour_revisions";
const REVISIONS_PARTITION: PartitionKey = PartitionKey::Month("hour");
/// The table of what was wrong.
const INCIDENTS_TABLE: &str = "incidents";

/// The block of `hour_revisions`: a row a tenant and late hour.
pub fn hour_revisions(range: &Range, late: &LateHours, frame: TimeFrame) -> Result<Option<Block>, BlockError> {
    if late.is_empty() {
        return Ok(None);
    }
    let mut lateness = Maps::<UInt8Type>::default();
    for records in late.values() {
        for (class, records) in &records.classes {
            lateness.push(*class, *records);
        }
        lateness.end_row();
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
        ("lateness", Arc::new(lateness.finish()?)),
    ];
    columns.extend(coordinates(range, late.len()));
    Ok(Some(Block {
        table: REVISIONS_TABLE,
        pieces: pieces(REVISIONS_PARTITION, &RecordBatch::try_from_iter(columns)?)?,
    }))
}

/// The block of `incidents` for records whose clock was ahead: one row a batch.
pub fn clock_ahead(range: &Range, ahead: Option<Ahead>) -> Result<Option<Block>, BlockError> {
    let Some(ahead) = ahead else { return Ok(None) };
    let latest = DateTime::from_timestamp_millis(ahead.latest_ms).unwrap_or_default();
    let detail = format!(
        "the clocks of {} records are ahead, the furthest says {}: they are counted in their hours and do not move the watermark",
        ahead.records,
        latest.to_rfc3339(),
    );
    let text = |text: &str| Arc::new(StringArray::from_iter_values([text])) as ArrayRef;
    let hour = latest.timestamp().div_euclid(i64::from(HOUR_S)) * i64::from(HOUR_S);
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        ("stage", text("aggregate")),
        ("reason", text("clock_ahead")),
        ("start_offset", Arc::new(Int64Array::from_value(ahead.first_offset, 1))),
        ("end_offset", Arc::new(Int64Array::from_value(ahead.last_offset + 1, 1))),
        ("hour", seconds([hour.clamp(0, u32::MAX.into())].into_iter())),
        ("tenant_id", text("")),
        ("metric_name", text("")),
        ("records", Arc::new(UInt64Array::from_value(ahead.records, 1))),
        ("detail", text(&detail)),
    ];
    columns.extend(coordinates(range, 1));
    Ok(Some(Block {
        table: INCIDENTS_TABLE,
        pieces: vec![RecordBatch::try_from_iter(columns)?],
    }))
}

/// Where the records are from.
fn coordinates(range: &Range, rows: usize) -> [(&'static str, ArrayRef); 3] {
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
