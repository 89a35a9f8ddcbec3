//! One row of an answer about metrics: as the store gives it, and as a caller sees it.
//!
//! Enters: a merged row, with a text for each column that is not merged over and a number for each measure. Leaves: JSON, or
//! a column of CSV and Arrow, by name. A number beyond what a double can hold (a sum of very large samples) is `null`. Pure.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, StringArray, TimestampSecondArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use clickhouse::Row;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

use crate::api::Instant;
use crate::metrics::question::PointKey;

/// A merged row.
#[derive(Debug, Clone, PartialEq, Row, Deserialize)]
pub struct StoredPoint {
    metric_name: String,
    start: u32,
    groups: Vec<String>,
    metric_type: String,
    unit: String,
    count: u64,
    late_count: u64,
    fresh_count: u64,
    numbers: Vec<f64>,
}

impl StoredPoint {
    /// Its start.
    pub fn start(&self) -> Instant {
        Instant::from_seconds(self.start)
    }

    /// Its place in the order of the answer.
    pub fn key(&self) -> PointKey {
        PointKey {
            metric_name: self.metric_name.clone(),
            start: self.start,
            groups: self.groups.clone(),
            metric_type: self.metric_type.clone(),
            unit: self.unit.clone(),
        }
    }

    /// About what it takes in memory.
    pub fn bytes(&self) -> usize {
        let texts = self
            .groups
            .iter()
            .map(|text| size_of::<String>() + text.len())
            .sum::<usize>();
        size_of::<Self>() + self.metric_name.len() + self.unit.len() + texts + self.numbers.len() * size_of::<f64>()
    }
}

/// The names of what differs from question to question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PointNames {
    /// Of the columns that are not merged over.
    pub groups: Vec<&'static str>,
    /// Of the numbers.
    pub numbers: Vec<&'static str>,
}

/// A row as a caller sees it.
#[derive(Debug)]
pub struct Point {
    stored: StoredPoint,
    end: Instant,
    complete: bool,
    names: Arc<PointNames>,
}

impl Point {
    /// A row with what is known of its time.
    pub fn new(stored: StoredPoint, end: Instant, complete: bool, names: &Arc<PointNames>) -> Self {
        Self {
            stored,
            end,
            complete,
            names: Arc::clone(names),
        }
    }
}

impl Serialize for Point {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let stored = &self.stored;
        let mut row = serializer.serialize_map(None)?;
        row.serialize_entry("start", &stored.start())?;
        row.serialize_entry("end", &self.end)?;
        row.serialize_entry("complete", &self.complete)?;
        row.serialize_entry("metric_name", &stored.metric_name)?;
        for (name, value) in self.names.groups.iter().zip(&stored.groups) {
            row.serialize_entry(name, value)?;
        }
        row.serialize_entry("metric_type", &stored.metric_type)?;
        row.serialize_entry("unit", &stored.unit)?;
        row.serialize_entry("count", &stored.count)?;
        row.serialize_entry("late_count", &stored.late_count)?;
        row.serialize_entry("fresh_count", &stored.fresh_count)?;
        for (name, value) in self.names.numbers.iter().zip(&stored.numbers) {
            row.serialize_entry(name, &value.is_finite().then_some(value))?;
        }
        row.end()
    }
}

/// An hour, day or month of a metric. Columns that were merged over and measures that were not asked for are not there.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MetricPoint)]
pub struct PointSchema {
    /// When it begins.
    start: Instant,
    /// When it ends.
    end: Instant,
    /// Whether no more samples in time will be added; late ones always may.
    complete: bool,
    /// Metric.
    metric_name: String,
    /// Service.
    #[schema(required = false)]
    service_id: String,
    /// Plugin.
    #[schema(required = false)]
    plugin_id: String,
    /// Environment.
    #[schema(required = false)]
    environment: String,
    /// Team.
    #[schema(required = false)]
    team_id: String,
    /// Counter, gauge or histogram.
    metric_type: String,
    /// Unit.
    unit: String,
    /// Samples.
    count: u64,
    /// Those among them that came when the hour was complete already.
    late_count: u64,
    /// Those among them that are stored and not aggregated yet; only with `fresh`.
    fresh_count: u64,
    /// Sum; `null`, as all numbers, where it is beyond what a double can hold.
    #[schema(required = false)]
    sum: Option<f64>,
    /// Mean.
    #[schema(required = false)]
    avg: Option<f64>,
    /// Smallest.
    #[schema(required = false)]
    min: Option<f64>,
    /// Largest.
    #[schema(required = false)]
    max: Option<f64>,
    /// That of the latest time.
    #[schema(required = false)]
    last: Option<f64>,
    /// Median; quantiles are off by less than 0.6 %.
    #[schema(required = false)]
    p50: Option<f64>,
    /// 90th percentile.
    #[schema(required = false)]
    p90: Option<f64>,
    /// 95th percentile.
    #[schema(required = false)]
    p95: Option<f64>,
    /// 99th percentile.
    #[schema(required = false)]
    p99: Option<f64>,
    /// 99.9th percentile.
    #[schema(required = false)]
    p999: Option<f64>,
    /// Share of samples at or under `threshold`, 0 to 1.
    #[schema(required = false)]
    share_under: Option<f64>,
}

/// UTC as an offset: arrow knows no names of time zones without a database of them.
const UTC: &str = "+00:00";

/// The columns of rows, for CSV and Arrow.
pub fn columns(points: &[Point], names: &PointNames) -> (Schema, Vec<ArrayRef>) {
    let mut fields = Vec::new();
    let mut arrays: Vec<ArrayRef> = Vec::new();
    let mut add = |name: &str, kind: DataType, nullable: bool, array: ArrayRef| {
        fields.push(Field::new(name, kind, nullable));
        arrays.push(array);
    };
    let moment = DataType::Timestamp(TimeUnit::Second, Some(UTC.into()));
    let moments = |of: fn(&Point) -> Instant| {
        let seconds = points.iter().map(|point| of(point).micros().div_euclid(1_000_000));
        Arc::new(TimestampSecondArray::from_iter_values(seconds).with_timezone(UTC))
    };
    let texts = |of: &dyn Fn(&Point) -> String| Arc::new(StringArray::from_iter_values(points.iter().map(of)));
    let counts = |of: fn(&Point) -> u64| Arc::new(UInt64Array::from_iter_values(points.iter().map(of)));
    add("start", moment.clone(), false, moments(|point| point.stored.start()));
    add("end", moment, false, moments(|point| point.end));
    let complete: BooleanArray = points.iter().map(|point| Some(point.complete)).collect();
    add("complete", DataType::Boolean, false, Arc::new(complete));
    add(
        "metric_name",
        DataType::Utf8,
        false,
        texts(&|point| point.stored.metric_name.clone()),
    );
    for (index, name) in names.groups.iter().enumerate() {
        let group = |point: &Point| point.stored.groups.get(index).cloned().unwrap_or_default();
        add(name, DataType::Utf8, false, texts(&group));
    }
    add(
        "metric_type",
        DataType::Utf8,
        false,
        texts(&|point| point.stored.metric_type.clone()),
    );
    add("unit", DataType::Utf8, false, texts(&|point| point.stored.unit.clone()));
    add("count", DataType::UInt64, false, counts(|point| point.stored.count));
    add(
        "late_count",
        DataType::UInt64,
        false,
        counts(|point| point.stored.late_count),
    );
    add(
        "fresh_count",
        DataType::UInt64,
        false,
        counts(|point| point.stored.fresh_count),
    );
    for (index, name) in names.numbers.iter().enumerate() {
        let number = |point: &Point| {
            point
                .stored
                .numbers
                .get(index)
                .copied()
                .filter(|number| number.is_finite())
        };
        let numbers: Float64Array = points.iter().map(number).collect();
        add(name, DataType::Float64, true, Arc::new(numbers));
    }
    (Schema::new(fields), arrays)
}
