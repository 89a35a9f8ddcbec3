//! `horolog-ingest replay-rejected`: sends rejected records to their topic again, once the cause of the rejection is
//! fixed.
//!
//! They arrive as new records and take the same path as all others. Only records that would be accepted now are sent.
//! Each replay is one Kafka transaction that also commits the replay's identifier ([`log`]), and it is recorded in
//! `replayed_records` beforehand ([`marks`]). After a crash the next run can therefore tell whether it was sent, and
//! each record is sent at most once. Rows of `rejected_records` stay where they are. See ARCHITECTURE.md, "Replays".

mod counted;
mod log;
mod marks;
mod rejected;
mod run;

use chrono::{DateTime, Utc};
use clap::builder::PossibleValuesParser;
use clickhouse::Row;
use horolog_schemas::{Reason, SchemaError};
use horolog_stage::config::ConfigError;
use horolog_stage::stage::PrepareError;
use horolog_stage::store::StoreError;
use rdkafka::error::KafkaError;
use serde::Deserialize;

pub use run::run;

/// What to replay.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The topic that the records came from and are sent to.
    #[arg(long)]
    topic: String,
    /// Only records that were rejected for this reason. Can be repeated.
    #[arg(long, value_name = "REASON", value_parser = PossibleValuesParser::new(Reason::ALL.iter().map(|reason| reason.as_str())))]
    reason: Vec<String>,
    /// Only records from this time on, by Kafka's timestamp: 2026-01-31T14:00:00Z.
    #[arg(long, value_name = "TIME")]
    from: Option<DateTime<Utc>>,
    /// Only records before this time.
    #[arg(long, value_name = "TIME")]
    to: Option<DateTime<Utc>>,
    /// Include samples that may already be in the hourly aggregates because the aggregate stage did not reject them.
    /// Rebuild their hours afterwards with `horolog-aggregate rebuild`.
    #[arg(long)]
    counted: bool,
    /// Send nothing; print what would be sent.
    #[arg(long)]
    dry_run: bool,
    /// The outcome to assume for a replay that was interrupted so long ago that Kafka has forgotten it. To find out,
    /// look for the header `horolog-replay` in the topic.
    #[arg(long, value_enum, value_name = "OUTCOME")]
    interrupted: Option<Outcome>,
}

/// The outcome of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Outcome {
    /// Its records are in the topic.
    Sent,
    /// Its records are not in the topic and never will be.
    Abandoned,
}

/// A rejected record, by its place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Row, Deserialize)]
pub struct Place {
    /// Partition.
    #[serde(rename = "kafka_partition")]
    pub partition: i32,
    /// Life of the log.
    pub log_epoch: u32,
    /// Offset.
    #[serde(rename = "kafka_offset")]
    pub offset: i64,
}

/// Why a replay ended early. Records sent before that are not sent again.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The configuration is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The schemas cannot be loaded.
    #[error(transparent)]
    Schemas(#[from] SchemaError),
    /// A request to ClickHouse failed.
    #[error("clickhouse: {0}")]
    Store(#[from] StoreError),
    /// A request to Kafka failed.
    #[error("kafka: {what}: {source}")]
    Kafka {
        /// What was being done.
        what: &'static str,
        /// The client's error.
        source: KafkaError,
    },
    /// The records cannot be judged.
    #[error(transparent)]
    Decode(#[from] PrepareError),
    /// The columns of the marks do not fit together: a bug.
    #[error("invariant: the columns of the marks fit together: {0}")]
    Columns(#[from] arrow::error::ArrowError),
    /// One of our own threads panicked: a bug.
    #[error("a thread panicked: {0}")]
    Panicked(#[from] tokio::task::JoinError),
    /// The run was refused; the message says why and what to do.
    #[error("{0}")]
    Refused(String),
}

impl From<clickhouse::error::Error> for ReplayError {
    fn from(error: clickhouse::error::Error) -> Self {
        Self::Store(error.into())
    }
}
