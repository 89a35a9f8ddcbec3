//! One row of an answer about metrics: as the store returns it, and as the API describes it. Pure.

use clickhouse::Row;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::Instant;
use crate::metrics::merging::value_of;
use crate::metrics::points::SeriesKey;
use crate::metrics::selection::PointKey;

/// A row as [`crate::metrics::merging::row`] returns it.
#[derive(Debug, Clone, Row, Deserialize)]
pub struct MergedPoint {
    metric_name: String,
    start: u32,
    groups: Vec<String>,
    metric_type: String,
    unit: String,
    counts: Vec<u64>,
    numbers: Vec<f64>,
    /// The smallest and the largest value; only with quantiles.
    bounds: Vec<f64>,
    /// The buckets of the quantiles.
    quantile_codes: Vec<i32>,
    /// The share at or below the threshold; only with a threshold.
    shares: Vec<f64>,
}

impl From<MergedPoint> for StoredPoint {
    fn from(merged: MergedPoint) -> Self {
        let mut numbers = merged.numbers;
        if let [min, max] = *merged.bounds {
            // Exact if all values are equal.
            let quantiles = merged
                .quantile_codes
                .into_iter()
                .map(|code| value_of(code).min(max).max(min));
            numbers.extend(quantiles);
        }
        numbers.extend(merged.shares);
        Self {
            metric_name: merged.metric_name,
            start: merged.start,
            groups: merged.groups,
            metric_type: merged.metric_type,
            unit: merged.unit,
            counts: merged.counts,
            numbers,
        }
    }
}

/// A row with its numbers in the order of their names.
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
    /// Its start. Seconds since 1970.
    pub fn start_s(&self) -> u32 {
        self.start
    }

    /// Its position in the order of the answer.
    pub fn key(&self) -> PointKey {
        PointKey {
            metric_name: self.metric_name.clone(),
            start: self.start,
            groups: self.groups.clone(),
            metric_type: self.metric_type.clone(),
            unit: self.unit.clone(),
        }
    }

    /// Its series, counts and numbers.
    pub fn into_columns(self) -> (SeriesKey, Vec<u64>, Vec<f64>) {
        let key = SeriesKey {
            metric_name: self.metric_name,
            groups: self.groups,
            metric_type: self.metric_type,
            unit: self.unit,
        };
        (key, self.counts, self.numbers)
    }

    /// Approximate size in memory.
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

    /// A gauge in milliseconds.
    #[cfg(test)]
    pub fn of(metric_name: &str, start: u32, groups: &[&str], counts: &[u64], numbers: &[f64]) -> Self {
        Self {
            metric_name: metric_name.to_owned(),
            start,
            groups: groups.iter().map(|&group| group.to_owned()).collect(),
            metric_type: "gauge".to_owned(),
            unit: "ms".to_owned(),
            counts: counts.to_vec(),
            numbers: numbers.to_vec(),
        }
    }
}

/// An hour, day or month of a metric. Columns that were merged over and measures that were not requested are absent.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MetricPoint)]
pub struct PointSchema {
    /// Start of the row.
    start: Instant,
    /// End of the row.
    end: Instant,
    /// Whether all samples that arrive in time have been added; late ones may still follow.
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
    /// Number of samples.
    count: u64,
    /// Of these, samples that arrived when the hour was already complete.
    late_count: u64,
    /// Of these, samples that are stored but not aggregated yet; only with `fresh`.
    fresh_count: u64,
    /// Sum of the values. Like all numbers, `null` if it exceeds the range of a double.
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
    /// Value with the latest time.
    #[schema(required = false)]
    last: Option<f64>,
    /// Median; quantiles have an error below 0.6 %.
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
    /// Share of samples at or below `threshold`, 0 to 1.
    #[schema(required = false)]
    share_under: Option<f64>,
}
