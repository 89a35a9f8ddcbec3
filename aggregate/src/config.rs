//! Configuration of `horolog-aggregate`.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;

use horolog_schemas::{Kind, PIECE_ROWS_MAX};
use horolog_stage::RunOptions;
use horolog_stage::config::{
    ClickHouseConfig, ConfigError, HttpConfig, KafkaConfig, SchemaRegistryConfig, TelemetryConfig,
};
use horolog_stage::settings::{BatchConfig, CompletenessConfig, DeliveryConfig};
use serde::{Deserialize, Serialize};

use crate::upkeep::UpkeepConfig;
use crate::verify::VerifyConfig;

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
    /// How to aggregate it.
    pub aggregate: AggregateConfig,
    /// When an hour is complete.
    pub completeness: CompletenessConfig,
    /// ClickHouse.
    pub clickhouse: ClickHouseConfig,
    /// The command `rebuild`.
    pub rebuild: RebuildConfig,
    /// Verification of the newest complete hours.
    pub verify: VerifyConfig,
    /// When a batch is closed. Later than ingest's, so that many samples of a key meet in one partial aggregate.
    pub batch: BatchConfig,
    /// How batches are delivered.
    pub delivery: DeliveryConfig,
    /// What is derived in the background.
    pub upkeep: UpkeepConfig,
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
            aggregate: AggregateConfig::default(),
            completeness: CompletenessConfig::default(),
            clickhouse: ClickHouseConfig::default(),
            rebuild: RebuildConfig::default(),
            verify: VerifyConfig::default(),
            batch: BatchConfig {
                rows_max: 500_000,
                age_max_ms: 10_000,
                ..BatchConfig::default()
            },
            delivery: DeliveryConfig::default(),
            upkeep: UpkeepConfig::default(),
            http: HttpConfig {
                listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8082)),
            },
            telemetry: TelemetryConfig::default(),
        }
    }
}

/// `[source]`: what to read.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SourceConfig {
    /// Consumer group. Its name must contain `aggregate` and the name of no other stage.
    pub group: String,
    /// Topic of metric samples.
    pub metrics_topic: String,
    /// Folder with `<id>.avsc`, the writer schemas of Confluent-framed records.
    pub schema_folder: Option<PathBuf>,
}

impl Default for SourceConfig {
    fn default() -> Self {
        Self {
            group: "horolog-aggregate".to_owned(),
            metrics_topic: Kind::MetricSample.default_topic().to_owned(),
            schema_folder: None,
        }
    }
}

/// `[aggregate]`: the dataflow.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AggregateConfig {
    /// Threads of the dataflow; 0: one per core. Does not affect results.
    pub workers: usize,
    /// Maximum number of keys of a tenant's hour in a batch; those beyond are added up under one overflow key, and
    /// counted.
    pub keys_per_tenant_max: usize,
}

impl Default for AggregateConfig {
    fn default() -> Self {
        Self {
            workers: 0,
            keys_per_tenant_max: 100_000,
        }
    }
}

impl AggregateConfig {
    /// The number of workers to start.
    pub fn worker_count(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
            workers => workers,
        }
    }
}

/// `[rebuild]`: how `horolog-aggregate rebuild` divides its work. Do not change it while a rebuild is unfinished.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RebuildConfig {
    /// Records of a part, the most that is done again after an interruption; of the log at most 250,000, which are held
    /// in memory. An hour of raw rows, or a batch of the log, is never divided.
    pub part_records_max: u64,
}

impl Default for RebuildConfig {
    fn default() -> Self {
        Self {
            part_records_max: 1_000_000,
        }
    }
}

impl Config {
    /// Refuses batches that may have more keys than fit into one block: a batch of several, repeated with another
    /// `aggregate.keys_per_tenant_max`, would be cut elsewhere, and what is stored of it would not be found again.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.batch.rows_max <= PIECE_ROWS_MAX {
            return Ok(());
        }
        let reason = format!(
            "{} is more than the {PIECE_ROWS_MAX} rows of a block",
            self.batch.rows_max
        );
        Err(ConfigError::invalid("batch.rows_max", reason))
    }

    /// The options that the stage runs with.
    pub fn run_options(&self) -> RunOptions {
        RunOptions {
            kafka: self.kafka.clone(),
            clickhouse_url: self.clickhouse.url.clone(),
            schema_registry: self.schema_registry.clone(),
            listen: self.http.listen,
            group: self.source.group.clone(),
            topics: vec![(self.source.metrics_topic.clone(), "source.metrics_topic")],
            batch: self.batch.clone(),
            delivery: self.delivery.clone(),
            completeness: self.completeness.clone(),
        }
    }
}
