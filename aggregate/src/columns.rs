//! Columns as ClickHouse takes them in an Arrow stream: times in seconds, maps from a number to a count.

use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, MapBuilder, PrimitiveBuilder, TimestampSecondArray, UInt64Builder};
use arrow::datatypes::{DataType, Field};

/// A column of `DateTime`, from seconds since 1970.
pub fn seconds(times: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(TimestampSecondArray::from_iter_values(times).with_timezone("UTC"))
}

/// Builds a column of maps to counts.
pub type Maps<K> = MapBuilder<PrimitiveBuilder<K>, UInt64Builder>;

/// A column without rows; no count in it is null.
pub fn maps<K: ArrowPrimitiveType>() -> Maps<K> {
    MapBuilder::new(None, PrimitiveBuilder::new(), UInt64Builder::new()).with_values_field(Field::new(
        "value",
        DataType::UInt64,
        false,
    ))
}

/// Adds an entry to the map of the current row.
pub fn push<K: ArrowPrimitiveType>(to: &mut Maps<K>, key: K::Native, count: u64) {
    to.keys().append_value(key);
    to.values().append_value(count);
}
