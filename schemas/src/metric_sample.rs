//! A metric sample as a producer creates it, and its encoding with the current schema.
//!
//! In: owned values. Out: a Kafka key and a payload in either framing. Does not validate: a record that breaks a rule
//! can be sent, and will be rejected with a reason.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::avro_writer::{confluent_header, double, long, map, single_object_header, text};

/// Rabin fingerprint of `avro/metric_sample.avsc`. When a schema change alters it, move the old schema to
/// `avro/history/`.
pub(crate) const FINGERPRINT: u64 = 0x83db_cca2_c42b_6351;

/// What kind of series a sample belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MetricType {
    /// A cumulative count of events.
    Counter,
    /// A value that goes up and down.
    #[default]
    Gauge,
    /// One observation of a distribution.
    Histogram,
}

impl MetricType {
    /// All, in the order of the schema's symbols.
    pub const ALL: [Self; 3] = [Self::Counter, Self::Gauge, Self::Histogram];

    /// Its symbol in the schema and in the tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One observation of a metric.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MetricSample {
    /// The tenant that the sample belongs to; never empty.
    pub tenant_id: String,
    /// When it was observed, microseconds since 1970, UTC.
    pub time: i64,
    /// What was measured; never empty.
    pub metric_name: String,
    /// The type of its series.
    pub metric_type: MetricType,
    /// The service that emitted it.
    #[serde(default)]
    pub service_id: String,
    /// The plugin inside the service.
    #[serde(default)]
    pub plugin_id: String,
    /// The user on whose behalf it was emitted.
    #[serde(default)]
    pub user_id: String,
    /// The team that owns the service.
    #[serde(default)]
    pub team_id: String,
    /// production, staging, …
    #[serde(default)]
    pub environment: String,
    /// The observed value, in `unit`; finite.
    pub value: f64,
    /// UCUM or plain text.
    #[serde(default)]
    pub unit: String,
    /// Additional dimensions.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

impl MetricSample {
    /// The Kafka key: one per service, so that its samples keep their order.
    pub fn key(&self) -> String {
        format!("{}/{}", self.tenant_id, self.service_id)
    }

    /// Appends the payload in Avro's single-object encoding.
    pub fn encode_single_object(&self, out: &mut Vec<u8>) {
        single_object_header(FINGERPRINT, out);
        self.encode_datum(out);
    }

    /// Appends the payload in Confluent's framing; `id` is the schema registry's id of the current schema.
    pub fn encode_confluent(&self, id: u32, out: &mut Vec<u8>) {
        confluent_header(id, out);
        self.encode_datum(out);
    }

    /// The fields in the order of the schema.
    fn encode_datum(&self, out: &mut Vec<u8>) {
        text(&self.tenant_id, out);
        long(self.time, out);
        text(&self.metric_name, out);
        long(self.metric_type as i64, out);
        text(&self.service_id, out);
        text(&self.plugin_id, out);
        text(&self.user_id, out);
        text(&self.team_id, out);
        text(&self.environment, out);
        double(self.value, out);
        text(&self.unit, out);
        map(&self.labels, out);
    }
}
