//! Valid records to the rows of their table: one pure function a kind.
//!
//! In: what a batch was decoded to, its raw records and the log they come from. Out: the table's columns in the table's
//! order (`migrations/0001`, `migrations/0002`), in types that ClickHouse takes from an Arrow stream without guessing,
//! in offset order. `inserted_at` is left to the delivery, which alone knows its lease. This is the place where fields
//! will be encrypted and records hashed.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, FixedSizeBinaryArray, Int8Array, Int32Array, Int64Array, RecordBatch,
    StringArray, TimestampMillisecondArray, UInt32Array,
};
use arrow::datatypes::{Field, Schema};
use arrow::error::ArrowError;
use uuid::Uuid;

use crate::validate::column;
use crate::{Decoded, Kind, Origin, RawRecord};

/// The columns of `metrics` that are fields of the record.
const METRIC_FIELDS: [&str; 12] = [
    "tenant_id",
    "time",
    "metric_name",
    "metric_type",
    "service_id",
    "plugin_id",
    "user_id",
    "team_id",
    "environment",
    "value",
    "unit",
    "labels",
];

/// The columns of `audit_logs` that are fields of the record, after `event_id`.
const AUDIT_FIELDS: [&str; 20] = [
    "tenant_id",
    "occurred_at",
    "user_id",
    "team_id",
    "service_id",
    "plugin_id",
    "source",
    "action",
    "resource_type",
    "resource_id",
    "resource_name",
    "old_value",
    "new_value",
    "ip_address",
    "user_agent",
    "session_id",
    "request_id",
    "status",
    "error_message",
    "metadata",
];

/// The rows of a decoded batch: the columns of the kind's table but `inserted_at`.
pub fn rows(
    kind: Kind,
    decoded: &Decoded,
    records: &[RawRecord<'_>],
    origin: &Origin<'_>,
) -> Result<RecordBatch, ArrowError> {
    let mut columns = Columns::default();
    match kind {
        Kind::MetricSample => columns.copy(&decoded.columns, &METRIC_FIELDS)?,
        Kind::AuditEvent => {
            columns.add("event_id", event_ids(&decoded.columns)?);
            columns.copy(&decoded.columns, &AUDIT_FIELDS)?;
        }
    }
    let record = |position: &u32| &records[*position as usize];
    let offsets = decoded.positions.iter().map(|position| record(position).offset);
    let timestamps = decoded.positions.iter().map(|position| record(position).timestamp_ms);
    columns.coordinates(origin, offsets, timestamps)?;
    columns.finish()
}

/// The event ids as ClickHouse takes them: 16 bytes in the order of the text form.
fn event_ids(fields: &RecordBatch) -> Result<ArrayRef, ArrowError> {
    let texts: &StringArray = column(fields, "event_id", |array| array.as_string_opt())?;
    let mut bytes = Vec::with_capacity(texts.len() * 16);
    for text in texts.iter().flatten() {
        let id = Uuid::try_parse(text).map_err(|error| ArrowError::ExternalError(error.into()))?;
        bytes.extend_from_slice(id.as_bytes());
    }
    Ok(Arc::new(FixedSizeBinaryArray::try_new(16, bytes.into(), None)?))
}

/// The columns of a block, in the making.
#[derive(Default)]
pub(crate) struct Columns {
    fields: Vec<Field>,
    arrays: Vec<ArrayRef>,
}

impl Columns {
    pub(crate) fn add(&mut self, name: &str, array: ArrayRef) {
        self.fields.push(Field::new(name, array.data_type().clone(), false));
        self.arrays.push(array);
    }

    fn copy(&mut self, from: &RecordBatch, names: &[&str]) -> Result<(), ArrowError> {
        for name in names {
            let array = from
                .column_by_name(name)
                .ok_or_else(|| ArrowError::SchemaError(format!("no column {name}")))?;
            self.add(name, Arc::clone(array));
        }
        Ok(())
    }

    /// Where each row comes from.
    pub(crate) fn coordinates(
        &mut self,
        origin: &Origin<'_>,
        offsets: impl Iterator<Item = i64>,
        timestamps_ms: impl Iterator<Item = i64>,
    ) -> Result<(), ArrowError> {
        let offsets = Int64Array::from_iter_values(offsets);
        let rows = offsets.len();
        self.constant("kafka_topic", origin.topic, rows)?;
        self.add(
            "kafka_partition",
            Arc::new(Int32Array::from_value(origin.partition, rows)),
        );
        self.add("kafka_offset", Arc::new(offsets));
        let timestamps = TimestampMillisecondArray::from_iter_values(timestamps_ms).with_timezone("UTC");
        self.add("kafka_timestamp", Arc::new(timestamps));
        self.add("log_epoch", Arc::new(UInt32Array::from_value(origin.log_epoch, rows)));
        Ok(())
    }

    /// A column with the same text in every row.
    pub(crate) fn constant(&mut self, name: &str, text: &str, rows: usize) -> Result<(), ArrowError> {
        let values = Arc::new(StringArray::from_iter_values([text]));
        self.add(
            name,
            Arc::new(DictionaryArray::try_new(Int8Array::from_value(0, rows), values)?),
        );
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<RecordBatch, ArrowError> {
        RecordBatch::try_new(Arc::new(Schema::new(self.fields)), self.arrays)
    }
}
