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
use crate::metrics::selection::PointKey;

/// A merged row.
#[derive(Debug, Clone, Default, PartialEq, Row, Deserialize)]
pub struct StoredPoint {
    metric_name: String,
    start: u32,
    groups: Vec<String>,
    metric_type: String,
    unit: String,
    counts: Vec<u64>,
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

    /// Its place in the order of the answer, to compare by.
    pub fn order(&self) -> impl Ord + '_ {
        (
            &self.metric_name,
            self.start,
            &self.groups,
            &self.metric_type,
            &self.unit,
        )
    }

    /// Its numbers, in the order of their names.
    pub fn numbers_mut(&mut self) -> &mut [f64] {
        &mut self.numbers
    }

    /// About what it takes in memory.
    pub fn bytes(&self) -> usize {
        let texts = self
            .groups
            .iter()
            .map(|text| size_of::<String>() + text.len())
            .sum::<usize>();
        let names = self.metric_name.len() + self.metric_type.len() + self.unit.len();
        let numbers = self.counts.len() * size_of::<u64>() + self.numbers.len() * size_of::<f64>();
        size_of::<Self>() + names + texts + numbers
    }
}

/// The names of what differs from question to question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PointNames {
    /// Of the columns that are not merged over.
    pub groups: Vec<&'static str>,
    /// Of the counts.
    pub counts: &'static [&'static str],
    /// Of the numbers.
    pub numbers: Vec<&'static str>,
}

/// When a row is; many rows of an answer share it.
#[derive(Debug)]
pub struct When {
    start: Instant,
    end: Instant,
    complete: bool,
    start_text: String,
    end_text: String,
}

impl When {
    /// From `start` until `end`.
    pub fn new(start: Instant, end: Instant, complete: bool) -> Self {
        Self {
            start,
            end,
            complete,
            start_text: start.to_rfc3339(),
            end_text: end.to_rfc3339(),
        }
    }

    /// When it begins.
    pub fn start(&self) -> Instant {
        self.start
    }
}

/// A row as a caller sees it.
#[derive(Debug)]
pub struct Point {
    stored: Arc<StoredPoint>,
    when: Arc<When>,
    names: Arc<PointNames>,
}

impl Point {
    /// A row with what is known of its time.
    pub fn new(stored: Arc<StoredPoint>, when: &Arc<When>, names: &Arc<PointNames>) -> Self {
        Self {
            stored,
            when: Arc::clone(when),
            names: Arc::clone(names),
        }
    }
}

impl Serialize for Point {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (stored, when) = (&*self.stored, &*self.when);
        let mut row = serializer.serialize_map(None)?;
        row.serialize_entry("start", &when.start_text)?;
        row.serialize_entry("end", &when.end_text)?;
        row.serialize_entry("complete", &when.complete)?;
        row.serialize_entry("metric_name", &stored.metric_name)?;
        for (name, value) in self.names.groups.iter().zip(&stored.groups) {
            row.serialize_entry(name, value)?;
        }
        row.serialize_entry("metric_type", &stored.metric_type)?;
        row.serialize_entry("unit", &stored.unit)?;
        for (name, value) in self.names.counts.iter().zip(&stored.counts) {
            row.serialize_entry(name, value)?;
        }
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
    add("start", moment.clone(), false, moments(|point| point.when.start));
    add("end", moment, false, moments(|point| point.when.end));
    let complete: BooleanArray = points.iter().map(|point| Some(point.when.complete)).collect();
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
    for (index, name) in names.counts.iter().enumerate() {
        let count = |point: &Point| point.stored.counts.get(index).copied().unwrap_or_default();
        let counts = UInt64Array::from_iter_values(points.iter().map(count));
        add(name, DataType::UInt64, false, Arc::new(counts));
    }
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
