//! Turns rejected records into rows of `rejected_records`, with their bytes, so that they can be replayed after a fix.
//!
//! In: the rejections, the raw records they refer to, and the log they come from. Out: the table's columns in
//! the table's order (`migrations/0003`) without `inserted_at`, in the order of the rejections. A pure function.

use std::sync::Arc;

use arrow::array::{LargeBinaryArray, RecordBatch, StringArray, UInt32Array};
use arrow::error::ArrowError;

use crate::rows::Columns;
use crate::validate::{KAFKA_TIMESTAMP_END_MS, RULES_VERSION};
use crate::{Kind, Origin, RawRecord, Rejected};

/// The table of rejected records, of all kinds.
pub const REJECTED_TABLE: &str = "rejected_records";

/// A Kafka timestamp, ms since 1970, as tables store it: clamped to what ClickHouse can hold.
pub fn held_timestamp_ms(timestamp_ms: i64) -> i64 {
    timestamp_ms.clamp(0, KAFKA_TIMESTAMP_END_MS - 1)
}

/// The rows for the rejections of a batch.
///
/// A missing key or payload becomes an empty string. A Kafka timestamp that ClickHouse cannot hold is clamped; the
/// detail of such a rejection has the original.
pub fn rejected_rows(
    kind: Kind,
    rejected: &[Rejected],
    records: &[RawRecord<'_>],
    origin: &Origin<'_>,
) -> Result<RecordBatch, ArrowError> {
    let records: Vec<&RawRecord<'_>> = rejected
        .iter()
        .map(|rejected| &records[rejected.position as usize])
        .collect();
    let mut columns = Columns::default();
    let timestamps = records.iter().map(|record| held_timestamp_ms(record.timestamp_ms));
    columns.coordinates(origin, records.iter().map(|record| record.offset), timestamps)?;
    columns.constant("kind", kind.name(), rejected.len())?;
    let texts = |text: fn(&Rejected) -> &str| Arc::new(StringArray::from_iter_values(rejected.iter().map(text)));
    columns.add("step", texts(|rejected| rejected.reason.step().as_str()));
    columns.add("reason", texts(|rejected| rejected.reason.as_str()));
    columns.add("detail", texts(|rejected| &rejected.detail));
    columns.add(
        "rules_version",
        Arc::new(UInt32Array::from_value(RULES_VERSION, rejected.len())),
    );
    // Large offsets: keys and payloads rejected for their size may together exceed Arrow's 32-bit offsets.
    let keys = LargeBinaryArray::from_iter_values(records.iter().map(|record| record.key.unwrap_or_default()));
    let payloads = LargeBinaryArray::from_iter_values(records.iter().map(|record| record.payload.unwrap_or_default()));
    columns.add("record_key", Arc::new(keys));
    columns.add("payload", Arc::new(payloads));
    columns.finish()
}
