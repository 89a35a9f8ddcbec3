//! A decoded chunk as the aggregation reads it: typed columns, and the offset of each row.
//!
//! In: what the schemas' decoder made of some records. Out: the same columns, with their types checked once, so that
//! the hot loop has no cast and no error in it. Shares the columns' memory. Only ever holds records that passed
//! validation.

use arrow::array::{AsArray, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{Float64Type, Int32Type, TimestampMicrosecondType};
use arrow::error::ArrowError;
use horolog_schemas::{Decoded, MetricType, RawRecord, column};

use crate::key::type_number;
use crate::time_frame::TimeFrame;

/// The decoder and the aggregation disagree about the columns of a sample: a bug, never a record's fault.
#[derive(Debug, thiserror::Error)]
pub enum SamplesError {
    /// A column is missing or of another type.
    #[error("the decoded samples are not as expected: {0}")]
    Columns(#[from] ArrowError),
    /// The schema has a symbol that the table does not know.
    #[error("the metric type {0:?} is not one of the table's")]
    MetricType(String),
}

/// Samples of one chunk, a row each.
#[derive(Clone, Debug)]
pub struct Samples {
    /// Who the sample belongs to.
    pub tenant_id: StringArray,
    /// What was measured.
    pub metric_name: StringArray,
    /// Kind of metric, as in a key.
    pub metric_type: Vec<u8>,
    /// The service that emitted it.
    pub service_id: StringArray,
    /// The plugin inside the service.
    pub plugin_id: StringArray,
    /// The team that owns the service.
    pub team_id: StringArray,
    /// Production, staging, …
    pub environment: StringArray,
    /// Unit of the value.
    pub unit: StringArray,
    /// When it was observed, microseconds since 1970.
    pub time: TimestampMicrosecondArray,
    /// What was observed; finite.
    pub value: Float64Array,
    /// Offset of the record in its partition; rises.
    pub offset: Vec<i64>,
    /// Kafka's timestamp of the record, ms since 1970.
    pub timestamp_ms: Vec<i64>,
    /// Records of the chunk that were rejected, and so have no row.
    pub rejected: u64,
    /// How their times are judged.
    pub frame: TimeFrame,
}

impl Samples {
    /// The samples that were decoded from `records`.
    pub fn new(decoded: &Decoded, records: &[RawRecord<'_>], frame: TimeFrame) -> Result<Self, SamplesError> {
        let columns = &decoded.columns;
        let record = |position: &u32| &records[*position as usize];
        Ok(Self {
            tenant_id: text(columns, "tenant_id")?,
            metric_name: text(columns, "metric_name")?,
            metric_type: metric_type(columns)?,
            service_id: text(columns, "service_id")?,
            plugin_id: text(columns, "plugin_id")?,
            team_id: text(columns, "team_id")?,
            environment: text(columns, "environment")?,
            unit: text(columns, "unit")?,
            time: column(columns, "time", |column| {
                column.as_primitive_opt::<TimestampMicrosecondType>()
            })?
            .clone(),
            value: column(columns, "value", |column| column.as_primitive_opt::<Float64Type>())?.clone(),
            offset: decoded
                .positions
                .iter()
                .map(|position| record(position).offset)
                .collect(),
            timestamp_ms: decoded
                .positions
                .iter()
                .map(|position| record(position).timestamp_ms)
                .collect(),
            rejected: decoded.rejected.len() as u64,
            frame,
        })
    }

    /// How many samples.
    pub fn len(&self) -> usize {
        self.offset.len()
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.offset.is_empty()
    }
}

/// A column of texts; shares its memory.
pub(crate) fn text(columns: &RecordBatch, name: &str) -> Result<StringArray, ArrowError> {
    column(columns, name, |column| column.as_string_opt::<i32>()).cloned()
}

/// By row: the number of its metric type. The names are looked up once, in the dictionary.
fn metric_type(columns: &RecordBatch) -> Result<Vec<u8>, SamplesError> {
    let dictionary = column(columns, "metric_type", |column| column.as_dictionary_opt::<Int32Type>())?;
    let symbols = dictionary.downcast_dict::<StringArray>();
    let symbols = symbols.ok_or_else(|| ArrowError::SchemaError("metric_type is not a column of texts".to_owned()))?;
    let number = |symbol: &str| {
        let known = MetricType::ALL.into_iter().find(|known| known.as_str() == symbol);
        known
            .map(type_number)
            .ok_or_else(|| SamplesError::MetricType(symbol.to_owned()))
    };
    let numbers = symbols
        .values()
        .iter()
        .flatten()
        .map(number)
        .collect::<Result<Vec<_>, _>>()?;
    Ok(dictionary
        .keys()
        .values()
        .iter()
        .map(|key| numbers[*key as usize])
        .collect())
}
