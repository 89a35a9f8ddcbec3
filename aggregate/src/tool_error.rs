//! Why an operator's command (`rebuild`, `verify`) could not do its work.

use arrow::error::ArrowError;
use horolog_schemas::{DecodeError, SchemaError};
use horolog_stage::config::ConfigError;
use horolog_stage::probe::ProbeError;
use horolog_stage::store::StoreError;
use rdkafka::error::KafkaError;

use crate::block::BlockError;
use crate::samples::SamplesError;
use crate::upkeep::UpkeepError;
use crate::workers::WorkersError;

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// The configuration is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The schemas of the records cannot be loaded.
    #[error(transparent)]
    Schemas(#[from] SchemaError),
    /// A request to ClickHouse failed.
    #[error("clickhouse: {0}")]
    Store(#[from] StoreError),
    /// A request to the broker failed.
    #[error("kafka: {0}")]
    Kafka(#[from] KafkaError),
    /// A question to the broker has no answer.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// The dataflow failed.
    #[error(transparent)]
    Workers(#[from] WorkersError),
    /// The block could not be made.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// The rows read are not the ones requested.
    #[error(transparent)]
    Samples(#[from] SamplesError),
    /// Likewise.
    #[error("the rows read do not fit together: {0}")]
    Columns(#[from] ArrowError),
    /// A batch of the log is too large.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The progress of a task could not be read or written.
    #[error(transparent)]
    Progress(#[from] UpkeepError),
    /// One of our own threads panicked: a bug.
    #[error("a thread panicked: {0}")]
    Panicked(#[from] tokio::task::JoinError),
    /// The result would be wrong; the message says why, and what to do.
    #[error("{0}")]
    Refused(String),
}

impl From<clickhouse::error::Error> for ToolError {
    fn from(error: clickhouse::error::Error) -> Self {
        Self::Store(error.into())
    }
}
