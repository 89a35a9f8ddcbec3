//! The columns of an export: how they are selected, and their Arrow types.
//!
//! All three formats have the same columns: those of the record and its coordinates. Texts are exported as recorded:
//! the values before and after are not parsed, because evidence is what was written, not what a parser made of it.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};

use crate::audit::event::StoredEvent;
use crate::store::Sql;

/// The total order of an export; the first two columns are the order of the table within a tenant.
pub const ORDER: &str =
    "order by r.occurred_at, r.event_id, r.kafka_topic, r.log_epoch, r.kafka_partition, r.kafka_offset";

/// UTC as an offset: without a time zone database, arrow knows no zone names.
const UTC: &str = "+00:00";

/// The names of the columns.
pub fn names() -> Vec<String> {
    StoredEvent::columns().map(str::to_owned).collect()
}

/// The columns with these names, in this order; none if this program does not know one of them.
pub fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<SchemaRef> {
    let fields = names.into_iter().map(|name| known(name).map(field));
    let fields = fields.collect::<Option<Vec<Field>>>()?;
    Some(Arc::new(Schema::new(fields)))
}

/// The column with this name, if this program knows it.
fn known(name: &str) -> Option<&'static str> {
    StoredEvent::columns().find(|column| *column == name)
}

/// Columns without a specific type are strings.
fn field(name: &str) -> Field {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    let time = |unit| DataType::Timestamp(unit, Some(UTC.into()));
    let form = match name {
        "occurred_at" => time(TimeUnit::Microsecond),
        "kafka_timestamp" | "inserted_at" => time(TimeUnit::Millisecond),
        "log_epoch" => DataType::UInt32,
        "kafka_partition" => DataType::Int32,
        "kafka_offset" => DataType::Int64,
        "metadata" => {
            let entries = Fields::from(vec![text("key"), text("value")]);
            DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false)
        }
        _ => DataType::Utf8,
    };
    Field::new(name, form, false)
}

/// The select list of these columns from `audit_logs as r`.
pub fn select(schema: &Schema) -> Sql {
    let columns = schema.fields().iter().filter_map(|field| known(field.name()));
    let selected = columns.map(|column| match column {
        "event_id" => Sql::from("toString(r.event_id) as event_id"),
        _ => StoredEvent::selected(column),
    });
    Sql::join(selected, ", ")
}

/// The columns for formats without maps: `metadata` as JSON text.
pub fn flat(schema: &Schema) -> SchemaRef {
    let flat = |field: &Arc<Field>| match field.data_type() {
        DataType::Map(..) => Arc::new(Field::new(field.name(), DataType::Utf8, false)),
        _ => Arc::clone(field),
    };
    Arc::new(Schema::new(schema.fields().iter().map(flat).collect::<Vec<_>>()))
}

/// Renames map entries, which the engine names differently, so that the rows fit the schema.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_selected_has_the_order_of_the_schema_whatever_columns_it_has() {
        let schema = of(["kafka_offset", "status", "tenant_id"]).unwrap();
        let selected = "r.kafka_offset as kafka_offset, toString(r.status) as status, r.tenant_id as tenant_id";
        assert_eq!(select(&schema).as_str(), selected);
        assert!(of(["status", "tomorrow"]).is_none());
        assert_eq!(of(names().iter().map(String::as_str)).unwrap().fields().len(), 27);
    }
}
