//! Configuration of `horolog-ingest`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use horolog_schemas::Kind;
use horolog_stage::RunOptions;
use horolog_stage::config::{ClickHouseConfig, HttpConfig, KafkaConfig, SchemaRegistryConfig, TelemetryConfig};
use horolog_stage::settings::{BatchConfig, CompletenessConfig, DeliveryConfig};
use serde::{Deserialize, Serialize};

/// The whole configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Kafka.
    pub kafka: KafkaConfig,
    /// What to read from Kafka.
    pub source: SourceConfig,
    /// Where schemas are asked for that are not known.
    pub schema_registry: SchemaRegistryConfig,
    /// ClickHouse.
    pub clickhouse: ClickHouseConfig,
    /// When a batch is closed.
    pub batch: BatchConfig,
    /// How batches are delivered.
    pub delivery: DeliveryConfig,
    /// HTTP endpoints for health and metrics.
    pub http: HttpConfig,
    /// Logging.
    pub telemetry: TelemetryConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            kafka: KafkaConfig::default(),
            source: SourceConfig::default(),
            schema_registry: SchemaRegistryConfig::default(),
            clickhouse: ClickHouseConfig::default(),
            batch: BatchConfig::default(),
            delivery: DeliveryConfig::default(),
            http: HttpConfig {
                listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8081)),
            },
            telemetry: TelemetryConfig::default(),
        }
    }
}

/// `[source]`: what to read.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SourceConfig {
    /// Consumer group. Its name must contain `ingest` and the name of no other stage.
    pub group: String,
    /// Topic of metric samples.
    pub metrics_topic: String,
    /// Topic of audit events.
    pub audit_topic: String,
    /// Folder with `<id>.avsc`, the writer schemas of Confluent-framed records.
    pub schema_folder: Option<PathBuf>,
}

impl Default for SourceConfig {
    fn default() -> Self {
        Self {
            group: "horolog-ingest".to_owned(),
            metrics_topic: Kind::MetricSample.default_topic().to_owned(),
            audit_topic: Kind::AuditEvent.default_topic().to_owned(),
            schema_folder: None,
        }
    }
}

/// A topic to read.
#[derive(Debug, Clone, Copy)]
pub struct Topic<'a> {
    /// Its name.
    pub name: &'a str,
    /// The kind of its records.
    pub kind: Kind,
    /// The setting that names it.
    pub setting: &'static str,
}

impl SourceConfig {
    /// The topics, one for each kind.
    pub fn topics(&self) -> [Topic<'_>; Kind::ALL.len()] {
        Kind::ALL.map(|kind| {
            let (name, setting) = match kind {
                Kind::MetricSample => (&self.metrics_topic, "source.metrics_topic"),
                Kind::AuditEvent => (&self.audit_topic, "source.audit_topic"),
            };
            Topic { name, kind, setting }
        })
    }
}

impl Config {
    /// The options that the stage runs with.
    pub fn run_options(&self) -> RunOptions {
        RunOptions {
            kafka: self.kafka.clone(),
            clickhouse_url: self.clickhouse.url.clone(),
            schema_registry: self.schema_registry.clone(),
            listen: self.http.listen,
            group: self.source.group.clone(),
            topics: self
                .source
                .topics()
                .map(|topic| (topic.name.to_owned(), topic.setting))
                .into(),
            batch: self.batch.clone(),
            delivery: self.delivery.clone(),
            completeness: CompletenessConfig::default(),
        }
    }
}
