//! The columns of a batch that say which rows they are.

use arrow::array::{AsArray, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType, UInt32Type};
use arrow::error::ArrowError;

use crate::audit::exports::job::Key;
use crate::audit::exports::repeats::Place;

/// Typed views of them.
pub struct Rows<'a> {
    /// The event.
    pub event_id: &'a StringArray,
    /// When it happened.
    pub occurred_at: &'a TimestampMicrosecondArray,
    /// Life of the log.
    pub log_epoch: &'a UInt32Array,
    /// The partition.
    pub partition: &'a Int32Array,
    /// The offset.
    pub offset: &'a Int64Array,
}

impl<'a> Rows<'a> {
    /// Of a batch with the columns of an export.
    pub fn of(batch: &'a RecordBatch) -> Result<Self, ArrowError> {
        let column = |name: &str| {
            let missing = || ArrowError::SchemaError(format!("no column {name}"));
            batch.column_by_name(name).ok_or_else(missing)
        };
        let other = |name: &str| ArrowError::SchemaError(format!("column {name} is of another type"));
        Ok(Self {
            event_id: column("event_id")?.as_string_opt().ok_or_else(|| other("event_id"))?,
            occurred_at: column("occurred_at")?
                .as_primitive_opt::<TimestampMicrosecondType>()
                .ok_or_else(|| other("occurred_at"))?,
            log_epoch: column("log_epoch")?
                .as_primitive_opt::<UInt32Type>()
                .ok_or_else(|| other("log_epoch"))?,
            partition: column("kafka_partition")?
                .as_primitive_opt::<Int32Type>()
                .ok_or_else(|| other("kafka_partition"))?,
            offset: column("kafka_offset")?
                .as_primitive_opt::<Int64Type>()
                .ok_or_else(|| other("kafka_offset"))?,
        })
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.offset.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where a row is in its topic.
    pub fn place(&self, row: usize) -> Place {
        (
            self.log_epoch.value(row),
            self.partition.value(row),
            self.offset.value(row),
        )
    }

    /// Where a row is in the order of an export.
    pub fn key(&self, row: usize) -> Key {
        Key {
            occurred_at: self.occurred_at.value(row),
            event_id: self.event_id.value(row).to_owned(),
            log_epoch: self.log_epoch.value(row),
            partition: self.partition.value(row),
            offset: self.offset.value(row),
        }
    }
}
