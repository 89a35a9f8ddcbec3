//! One merged hour of one key: as the view gives it, and as a caller sees it.
//!
//! Enters: a row of `metrics_hourly_view`. Leaves: JSON, and the key that orders the answer. A number beyond what a double
//! can hold (a sum of very large samples) is JSON `null`. Pure.

use clickhouse::Row;
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

use crate::api::Instant;

/// The key of an hour, in the order of the answer. Written into cursors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Column.
    pub metric_name: String,
    /// Column.
    pub hour: u32,
    /// Column.
    pub service_id: String,
    /// Column.
    pub plugin_id: String,
    /// Column.
    pub environment: String,
    /// Column.
    pub team_id: String,
    /// Column.
    pub metric_type: String,
    /// Column.
    pub unit: String,
}

/// One hour of one key.
#[derive(Debug, Clone, PartialEq, Row, Serialize, Deserialize, ToSchema)]
pub struct Hour {
    /// Its start, seconds since 1970.
    #[serde(serialize_with = "rfc3339")]
    #[schema(value_type = Instant)]
    pub hour: u32,
    /// Key.
    pub tenant_id: String,
    /// Key.
    pub metric_name: String,
    /// Key.
    pub service_id: String,
    /// Key.
    pub plugin_id: String,
    /// Key.
    pub environment: String,
    /// Key.
    pub team_id: String,
    /// Key: counter, gauge or histogram.
    pub metric_type: String,
    /// Key.
    pub unit: String,
    /// Samples.
    pub count: u64,
    /// Those among them that came when the hour was complete already.
    pub late_count: u64,
    /// Their sum; JSON `null` where it is beyond what a double can hold.
    pub sum: f64,
    /// Their mean; `null` likewise.
    pub avg: f64,
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
    /// That of the latest time.
    pub last: f64,
    /// Median, off by less than 0.6 %.
    pub p50: f64,
    /// 95th percentile, likewise.
    pub p95: f64,
    /// 99th percentile, likewise.
    pub p99: f64,
}

impl Hour {
    /// What to select for it from `metrics_hourly_view as r`.
    pub const COLUMNS: &str = "r.hour as hour, r.tenant_id as tenant_id, r.metric_name as metric_name, r.service_id as service_id, \
    r.plugin_id as plugin_id, r.environment as environment, r.team_id as team_id, toString(r.metric_type) as metric_type, \
    r.unit as unit, r.count as count, r.late_count as late_count, r.sum as sum, r.avg as avg, r.min as min, r.max as max, \
    r.last as last, r.p50 as p50, r.p95 as p95, r.p99 as p99";

    /// Its place in the order of the answer.
    pub fn key(&self) -> Key {
        Key {
            metric_name: self.metric_name.clone(),
            hour: self.hour,
            service_id: self.service_id.clone(),
            plugin_id: self.plugin_id.clone(),
            environment: self.environment.clone(),
            team_id: self.team_id.clone(),
            metric_type: self.metric_type.clone(),
            unit: self.unit.clone(),
        }
    }

    /// About what it takes in memory.
    pub fn bytes(&self) -> usize {
        let texts = [
            &self.tenant_id,
            &self.metric_name,
            &self.service_id,
            &self.plugin_id,
            &self.environment,
            &self.team_id,
            &self.metric_type,
            &self.unit,
        ];
        size_of::<Self>() + texts.iter().map(|text| text.len()).sum::<usize>()
    }
}

fn rfc3339<S: Serializer>(seconds: &u32, serializer: S) -> Result<S::Ok, S::Error> {
    Instant::from_seconds(*seconds).serialize(serializer)
}
