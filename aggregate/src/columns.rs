//! Columns as ClickHouse takes them in an Arrow stream: times in seconds, maps from a number to a count.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, MapArray, PrimitiveArray, StructArray, TimestampSecondArray, UInt64Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields};
use arrow::error::ArrowError;

/// A column of `DateTime`, from seconds since 1970.
pub fn seconds(times: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(TimestampSecondArray::from_iter_values(times).with_timezone("UTC"))
}

/// Builds a column of maps to counts.
#[derive(Debug)]
pub struct Maps<K: ArrowPrimitiveType> {
    keys: Vec<K::Native>,
    counts: Vec<u64>,
    lengths: Vec<usize>,
    ended: usize,
}

impl<K: ArrowPrimitiveType> Default for Maps<K> {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            counts: Vec::new(),
            lengths: Vec::new(),
            ended: 0,
        }
    }
}

impl<K: ArrowPrimitiveType> Maps<K> {
    /// Adds an entry to the map of the current row.
    pub fn push(&mut self, key: K::Native, count: u64) {
        self.keys.push(key);
        self.counts.push(count);
    }

    /// Ends the current row.
    pub fn end_row(&mut self) {
        self.lengths.push(self.keys.len() - self.ended);
        self.ended = self.keys.len();
    }

    /// The column.
    pub fn finish(self) -> Result<MapArray, ArrowError> {
        let fields = Fields::from(vec![
            Field::new("key", K::DATA_TYPE, false),
            Field::new("value", DataType::UInt64, false),
        ]);
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(PrimitiveArray::<K>::from_iter_values(self.keys)),
            Arc::new(UInt64Array::from(self.counts)),
        ];
        let entries = Field::new("entries", DataType::Struct(fields.clone()), false);
        let offsets = OffsetBuffer::from_lengths(self.lengths);
        MapArray::try_new(
            Arc::new(entries),
            offsets,
            StructArray::try_new(fields, arrays, None)?,
            None,
            false,
        )
    }
}
