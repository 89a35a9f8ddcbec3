//! Turns valid records into rows of their table: one pure function per kind.
//!
//! In: a decoded batch, its raw records and the log they come from. Out: the table's columns in the table's order
//! (`migrations/0001`, `migrations/0002`), in types that ClickHouse reads from an Arrow stream without conversion, in
//! offset order. `inserted_at` is added by the delivery, which alone knows its lease.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, FixedSizeBinaryArray, Int8Array, Int32Array, Int64Array, MapArray,
    RecordBatch, StringArray, StructArray, TimestampMillisecondArray, UInt32Array,
};
use arrow::datatypes::{DataType, Field, Fields, Schema};
use arrow::error::ArrowError;
use uuid::Uuid;

use crate::dictionary::dictionary;
use crate::validate::{column, map};
use crate::{Decoded, Kind, Origin, RawRecord};

/// How a field of the record becomes a column.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As decoded.
    Plain,
    /// As a dictionary: the table's column is `LowCardinality`.
    Dictionary,
    /// A map with dictionary-encoded keys, which are `LowCardinality` in the table.
    Labels,
}

use Form::{Dictionary, Labels, Plain};

/// The columns of `metrics` that are fields of the record.
const METRIC_FIELDS: [(&str, Form); 12] = [
    ("tenant_id", Dictionary),
    ("time", Plain),
    ("metric_name", Dictionary),
    ("metric_type", Plain),
    ("service_id", Dictionary),
    ("plugin_id", Dictionary),
    ("user_id", Plain),
    ("team_id", Dictionary),
    ("environment", Dictionary),
    ("value", Plain),
    ("unit", Dictionary),
    ("labels", Labels),
];

/// The columns of `audit_logs` that are fields of the record, after `event_id`.
const AUDIT_FIELDS: [(&str, Form); 20] = [
    ("tenant_id", Dictionary),
    ("occurred_at", Plain),
    ("user_id", Plain),
    ("team_id", Dictionary),
    ("service_id", Dictionary),
    ("plugin_id", Dictionary),
    ("source", Plain),
    ("action", Dictionary),
    ("resource_type", Dictionary),
    ("resource_id", Plain),
    ("resource_name", Plain),
    ("old_value", Plain),
    ("new_value", Plain),
    ("ip_address", Plain),
    ("user_agent", Plain),
    ("session_id", Plain),
    ("request_id", Plain),
    ("status", Plain),
    ("error_message", Plain),
    ("metadata", Labels),
];

/// The rows of a decoded batch: the columns of the kind's table without `inserted_at`.
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

/// The table of audit event ids, whose rows are stored before those of the events.
pub const EVENT_IDS_TABLE: &str = "audit_event_ids";

/// The rows of [`EVENT_IDS_TABLE`] for rows of audit events, without `inserted_at`.
pub fn event_id_rows(events: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let schema = events.schema_ref();
    let columns = ["tenant_id", "event_id", "occurred_at"].map(|name| schema.index_of(name));
    events.project(&columns.into_iter().collect::<Result<Vec<_>, _>>()?)
}

/// The event ids in ClickHouse's form: 16 bytes in the order of the text form.
fn event_ids(fields: &RecordBatch) -> Result<ArrayRef, ArrowError> {
    let texts: &StringArray = column(fields, "event_id", |array| array.as_string_opt())?;
    let mut bytes = Vec::with_capacity(texts.len() * 16);
    for text in texts.iter().flatten() {
        let id = Uuid::try_parse(text).map_err(|error| ArrowError::ExternalError(error.into()))?;
        bytes.extend_from_slice(id.as_bytes());
    }
    Ok(Arc::new(FixedSizeBinaryArray::try_new(16, bytes.into(), None)?))
}

/// The map of this name, with dictionary-encoded keys.
fn labels(fields: &RecordBatch, name: &str) -> Result<MapArray, ArrowError> {
    let (maps, keys) = map(fields, name)?;
    let keys = dictionary(keys)?;
    let entries = vec![Arc::new(keys) as ArrayRef, Arc::clone(maps.values())];
    let fields: Fields = ["key", "value"]
        .iter()
        .zip(&entries)
        .map(|(name, array)| Field::new(*name, array.data_type().clone(), false))
        .collect();
    let entry = Field::new("entries", DataType::Struct(fields.clone()), false);
    let entries = StructArray::try_new(fields, entries, None)?;
    MapArray::try_new(Arc::new(entry), maps.offsets().clone(), entries, None, false)
}

/// The columns of a block under construction.
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

    fn copy(&mut self, from: &RecordBatch, fields: &[(&'static str, Form)]) -> Result<(), ArrowError> {
        for &(name, form) in fields {
            let array: ArrayRef = match form {
                Plain => match from.column_by_name(name) {
                    Some(array) => Arc::clone(array),
                    None => return Err(ArrowError::SchemaError(format!("no column {name}"))),
                },
                Labels => Arc::new(labels(from, name)?),
                Dictionary => Arc::new(dictionary(column(from, name, |array| array.as_string_opt())?)?),
            };
            self.add(name, array);
        }
        Ok(())
    }

    /// The coordinates of each row in the log.
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
