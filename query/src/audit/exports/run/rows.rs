//! The columns of a batch that identify its rows, and the positions of rows.

use std::io::{self, Read, Write};

use arrow::array::{AsArray, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array};
use arrow::error::ArrowError;
use horolog_schemas::column;
use uuid::Uuid;

use crate::audit::exports::job::Key;

/// Position of a row in its topic: log epoch, partition, offset.
pub type Place = (u32, i32, i64);

/// Position of a row in the order of the table. The engine compares UUIDs by their second half first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Standing {
    /// Microseconds since 1970.
    pub occurred_at: i64,
    id: (u64, u64),
    place: Place,
}

impl Standing {
    /// Length of what [`Self::write`] writes.
    pub const BYTES: u64 = 40;

    /// For a copy of an event.
    pub fn new(occurred_at: i64, id: Uuid, place: Place) -> Self {
        let (first, second) = id.as_u64_pair();
        Self {
            occurred_at,
            id: (second, first),
            place,
        }
    }

    /// The event.
    pub fn event_id(&self) -> Uuid {
        Uuid::from_u64_pair(self.id.1, self.id.0)
    }

    /// Writes it with a fixed length.
    pub fn write(&self, to: &mut impl Write) -> io::Result<()> {
        to.write_all(&self.occurred_at.to_le_bytes())?;
        to.write_all(&self.id.0.to_le_bytes())?;
        to.write_all(&self.id.1.to_le_bytes())?;
        to.write_all(&self.place.0.to_le_bytes())?;
        to.write_all(&self.place.1.to_le_bytes())?;
        to.write_all(&self.place.2.to_le_bytes())
    }

    /// Reads what was written.
    pub fn read(from: &mut impl Read) -> io::Result<Self> {
        fn next<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
            let mut bytes = [0; N];
            from.read_exact(&mut bytes)?;
            Ok(bytes)
        }
        Ok(Self {
            occurred_at: i64::from_le_bytes(next(from)?),
            id: (u64::from_le_bytes(next(from)?), u64::from_le_bytes(next(from)?)),
            place: (
                u32::from_le_bytes(next(from)?),
                i32::from_le_bytes(next(from)?),
                i64::from_le_bytes(next(from)?),
            ),
        })
    }
}

/// Typed views of these columns.
pub struct Rows<'a> {
    /// The event.
    pub event_id: &'a StringArray,
    /// Time of the event.
    pub occurred_at: &'a TimestampMicrosecondArray,
    /// Life of the log.
    pub log_epoch: &'a UInt32Array,
    /// The partition.
    pub partition: &'a Int32Array,
    /// The offset.
    pub offset: &'a Int64Array,
}

impl<'a> Rows<'a> {
    /// For a batch with the columns of an export.
    pub fn of(batch: &'a RecordBatch) -> Result<Self, ArrowError> {
        Ok(Self {
            event_id: column(batch, "event_id", |column| column.as_string_opt())?,
            occurred_at: column(batch, "occurred_at", |column| column.as_primitive_opt())?,
            log_epoch: column(batch, "log_epoch", |column| column.as_primitive_opt())?,
            partition: column(batch, "kafka_partition", |column| column.as_primitive_opt())?,
            offset: column(batch, "kafka_offset", |column| column.as_primitive_opt())?,
        })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.offset.len()
    }

    /// Position of a row in its topic.
    pub fn place(&self, row: usize) -> Place {
        (
            self.log_epoch.value(row),
            self.partition.value(row),
            self.offset.value(row),
        )
    }

    /// Position of a row in the order of the table.
    pub fn standing(&self, row: usize) -> Result<Standing, ArrowError> {
        let id = self.event_id.value(row).parse();
        let id = id.map_err(|_| ArrowError::ParseError("an event_id that is not a UUID".to_owned()))?;
        Ok(Standing::new(self.occurred_at.value(row), id, self.place(row)))
    }

    /// Position of a row in the order of an export.
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
