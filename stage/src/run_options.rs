//! What a stage runs with, and why it cannot. Each error names the setting to change.

use std::net::SocketAddr;

use crate::config::{ConfigError, KafkaConfig, SchemaRegistryConfig};
use crate::settings::{BatchConfig, CompletenessConfig, DeliveryConfig, check_group};

/// What a stage runs with.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// The log.
    pub kafka: KafkaConfig,
    /// `clickhouse.url`, for errors.
    pub clickhouse_url: String,
    /// Where schemas are asked for that are not known.
    pub schema_registry: SchemaRegistryConfig,
    /// Where health and metrics are served.
    pub listen: SocketAddr,
    /// Consumer group, `source.group`.
    pub group: String,
    /// Topics with the settings that name them.
    pub topics: Vec<(String, &'static str)>,
    /// Batches.
    pub batch: BatchConfig,
    /// Delivery.
    pub delivery: DeliveryConfig,
    /// When an hour is complete.
    pub completeness: CompletenessConfig,
}

impl RunOptions {
    /// Refuses what cannot be right, whatever the servers say.
    pub(crate) fn check(&self, stage: &str) -> Result<(), ConfigError> {
        self.batch.check()?;
        self.delivery.check()?;
        check_group(&self.group, stage)?;
        for (number, (topic, setting)) in self.topics.iter().enumerate() {
            let same = self.topics[..number].iter().find(|(other, _)| other == topic);
            if let Some((_, other)) = same {
                let reason = format!("{topic} is also {other}: a topic must hold records of one kind");
                return Err(ConfigError::invalid(*setting, reason));
            }
        }
        Ok(())
    }
}

/// Why a stage cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The broker does not answer.
    #[error("kafka.bootstrap = {bootstrap}: {why}")]
    Kafka {
        /// The setting's value.
        bootstrap: String,
        /// What the client says.
        why: String,
    },
    /// A topic does not exist.
    #[error(
        "{setting} = {topic}: the topic does not exist at kafka.bootstrap = {bootstrap}: create it, or name another"
    )]
    Topic {
        /// The setting.
        setting: &'static str,
        /// Its value.
        topic: String,
        /// Where it was looked for.
        bootstrap: String,
    },
    /// A compacted topic loses records before they are read.
    #[error(
        "{setting} = {topic}: its cleanup.policy is {policy}, so records are deleted before they are read: set the \
         topic's cleanup.policy to delete, or name another topic"
    )]
    Compacted {
        /// The setting.
        setting: &'static str,
        /// Its value.
        topic: String,
        /// The topic's own setting.
        policy: String,
    },
    /// The broker does not say which cluster it belongs to.
    #[error("kafka.bootstrap = {bootstrap}: the broker does not report the cluster's id")]
    ClusterId {
        /// The setting's value.
        bootstrap: String,
    },
    /// The tables are not there, or ClickHouse does not answer.
    #[error("clickhouse.url = {url}: {reason}")]
    ClickHouse {
        /// The setting's value.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// Replicated tables need a quorum, others have none.
    #[error("clickhouse.quorum: set it to true where the tables are replicated, and to false where they are not")]
    Quorum,
    /// The HTTP port.
    #[error(transparent)]
    Http(#[from] std::io::Error),
    /// A thread ended in a panic.
    #[error("the polling thread panicked")]
    Panic,
}
