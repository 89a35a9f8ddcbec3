//! The columns of an export: what is selected for them, and what they are in Arrow.
//!
//! All three formats have the same columns, those of the record and its coordinates. Texts are as they were recorded: the
//! values before and after are not parsed, because evidence is what was written, not what a parser made of it.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};

/// What `select` gives, in the order of [`schema`], from `audit_logs as r`.
pub const SELECT: &str = "toString(r.event_id) as event_id, r.tenant_id as tenant_id, r.occurred_at as occurred_at, \
    r.user_id as user_id, r.team_id as team_id, r.service_id as service_id, r.plugin_id as plugin_id, \
    toString(r.source) as source, r.action as action, r.resource_type as resource_type, r.resource_id as resource_id, \
    r.resource_name as resource_name, r.old_value as old_value, r.new_value as new_value, r.ip_address as ip_address, \
    r.user_agent as user_agent, r.session_id as session_id, r.request_id as request_id, toString(r.status) as status, \
    r.error_message as error_message, r.metadata as metadata, r.kafka_topic as kafka_topic, r.log_epoch as log_epoch, \
    r.kafka_partition as kafka_partition, r.kafka_offset as kafka_offset, r.kafka_timestamp as kafka_timestamp, \
    r.inserted_at as inserted_at";

/// The total order of an export; the first two columns are the order of the table within a tenant.
pub const ORDER: &str =
    "order by r.occurred_at, r.event_id, r.kafka_topic, r.log_epoch, r.kafka_partition, r.kafka_offset";

/// Texts, up to `metadata`; `occurred_at` stands between the first two and the others.
const TEXTS: [&str; 17] = [
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
];

/// UTC as an offset: arrow knows no names of time zones without a database of them.
const UTC: &str = "+00:00";

/// The columns.
pub fn schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    let time = |name: &str, unit| Field::new(name, DataType::Timestamp(unit, Some(UTC.into())), false);
    let entries = Fields::from(vec![text("key"), text("value")]);
    let entries = Field::new("entries", DataType::Struct(entries), false);
    let mut fields = vec![
        text("event_id"),
        text("tenant_id"),
        time("occurred_at", TimeUnit::Microsecond),
    ];
    fields.extend(TEXTS.map(text));
    fields.extend([
        Field::new("metadata", DataType::Map(Arc::new(entries), false), false),
        text("kafka_topic"),
        Field::new("log_epoch", DataType::UInt32, false),
        Field::new("kafka_partition", DataType::Int32, false),
        Field::new("kafka_offset", DataType::Int64, false),
        time("kafka_timestamp", TimeUnit::Millisecond),
        time("inserted_at", TimeUnit::Millisecond),
    ]);
    Arc::new(Schema::new(fields))
}

/// The columns where a map cannot be one: `metadata` as JSON text.
pub fn flat_schema() -> SchemaRef {
    let flat = |field: &Arc<Field>| match field.data_type() {
        DataType::Map(..) => Arc::new(Field::new(field.name(), DataType::Utf8, false)),
        _ => Arc::clone(field),
    };
    Arc::new(Schema::new(schema().fields().iter().map(flat).collect::<Vec<_>>()))
}

/// The statement's rows as the schema has them: the engine names a map's entries its own way.
pub fn conform(
    batch: arrow::array::RecordBatch,
    schema: &SchemaRef,
) -> Result<arrow::array::RecordBatch, arrow::error::ArrowError> {
    let same = |index: usize| batch.column(index).data_type() == schema.field(index).data_type();
    let columns = (0..batch.num_columns()).map(|index| match same(index) {
        true => Ok(Arc::clone(batch.column(index))),
        false => arrow::compute::cast(batch.column(index), schema.field(index).data_type()),
    });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    arrow::array::RecordBatch::try_new(Arc::clone(schema), columns)
}
