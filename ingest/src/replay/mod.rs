//! `horolog-ingest replay-rejected`: sends rejected records to their topic again, once what they were rejected for is mended.
//!
//! They arrive as new records and take the one way that all records take. Only those are sent that would be accepted now. Each
//! replay is one transaction of Kafka that also commits its own identifier ([`log`]), and is entered in `replayed_records` before it
//! ([`marks`]): so whoever comes after a crash knows whether it was sent, and a record is sent once however often the
//! command runs. What is rejected stays where it is. See ARCHITECTURE.md, "Replays".

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
    /// The topic that the records came from, and are sent to.
    #[arg(long)]
    topic: String,
    /// Only records that were rejected for this reason. Can be repeated.
    #[arg(long, value_name = "REASON", value_parser = PossibleValuesParser::new(Reason::ALL.iter().map(|reason| reason.as_str())))]
    reason: Vec<String>,
    /// Only records of this moment or later, by Kafka's timestamp: 2026-01-31T14:00:00Z.
    #[arg(long, value_name = "TIME")]
    from: Option<DateTime<Utc>>,
    /// Only records before this moment.
    #[arg(long, value_name = "TIME")]
    to: Option<DateTime<Utc>>,
    /// Also samples that the hours may have already, because the aggregate stage did not reject them. Rebuild their hours afterwards, with
    /// `horolog-aggregate rebuild`.
    #[arg(long)]
    counted: bool,
    /// Send nothing, and say what would be sent.
    #[arg(long)]
    dry_run: bool,
    /// What to take a replay for that was interrupted so long ago that Kafka has forgotten its outcome. Look for the header
    /// `horolog-replay` in the topic.
    #[arg(long, value_enum, value_name = "OUTCOME")]
    interrupted: Option<Outcome>,
}

/// What became of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Outcome {
    /// Its records are in the topic.
    Sent,
    /// They are not, and never will be.
    Abandoned,
}

/// A record, by the place where it was rejected.
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

/// Why a replay ended early. What was sent until then is not sent again.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The schemas of the records.
    #[error(transparent)]
    Schemas(#[from] SchemaError),
    /// ClickHouse did not do what it was asked for.
    #[error("clickhouse: {0}")]
    Store(#[from] StoreError),
    /// Kafka did not.
    #[error("kafka: {what}: {source}")]
    Kafka {
        /// What was being done.
        what: &'static str,
        /// What the client says.
        source: KafkaError,
    },
    /// The records cannot be judged.
    #[error(transparent)]
    Decode(#[from] PrepareError),
    /// Marks that do not fit together: a bug of ours.
    #[error("invariant: the columns of the marks fit together: {0}")]
    Columns(#[from] arrow::error::ArrowError),
    /// A bug: one of our own threads.
    #[error("a thread panicked: {0}")]
    Panicked(#[from] tokio::task::JoinError),
    /// It would not be right; the words say why, and what to do.
    #[error("{0}")]
    Refused(String),
}

impl From<clickhouse::error::Error> for ReplayError {
    fn from(error: clickhouse::error::Error) -> Self {
        Self::Store(error.into())
    }
}
