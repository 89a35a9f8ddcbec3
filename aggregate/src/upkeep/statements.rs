//! The statements of the upkeep, and the client that runs them.
//!
//! In: a span of hours and its parameters. Out: rows, or ClickHouse's error. Every statement is bounded in memory and
//! time, and spills to disk before it reaches the bound. Inserts are not repeated: one with an unknown outcome is left,
//! and its work done again as another revision.

use std::collections::BTreeMap;
use std::time::Duration;

use clickhouse::query::Query;
use clickhouse::{Client, RowOwned, RowRead, RowWrite};
use horolog_schemas::migrate::expand;
use horolog_stage::completeness::{PROGRESS_SQL, PartitionProgress};
use horolog_stage::config::{ClickHouseConfig, ConfigError};
use horolog_stage::incident::Reason;

use super::config::UpkeepConfig;
use super::plan::Job;

/// How much longer than the engine's own limit to wait for an answer: after that, the connection is dead.
const GRACE: Duration = Duration::from_secs(10);
/// Maximum bytes of names in one parameter of a statement: escaping may double them, and a server accepts 128 KiB of a
/// parameter (`http_max_field_value_size`).
pub(super) const NAMES_BYTES_MAX: usize = 64_000;
/// Maximum number of rows in `incidents` per job.
const INCIDENTS_MAX: u64 = 1_000;

/// How far a stage is, by partition.
const ENDS: &str = "select kafka_partition, tupleElement(max((log_epoch, end_offset)) as reached, 1), tupleElement(reached, 2) from batch_ledger \
    where stage = {stage:String} and kafka_topic = {topic:String} group by kafka_partition";

/// The first hour of the table from a moment on. Months are its partitions, and the engine knows the first and last
/// hour of each without reading a row.
const NEXT_HOUR: &str = "\
    select toUInt32(min(greatest(first, toDateTime({after:UInt32}, 'UTC')))) as hour from \
    (select toYYYYMM(h.hour) as month, min(h.hour) as first, max(h.hour) as last from metrics_hourly as h group by month) \
    where last >= toDateTime({after:UInt32}, 'UTC')";

/// Life of a log, and an offset in it, exclusive.
pub type End = (u32, i64);

/// Why a round ended early.
#[derive(Debug, thiserror::Error)]
pub enum UpkeepError {
    /// ClickHouse refused, or is away.
    #[error("{what}: {source}")]
    ClickHouse {
        /// What was being done.
        what: &'static str,
        /// The client's error.
        source: clickhouse::error::Error,
    },
    /// No answer in time.
    #[error("{0}: no answer in time (upkeep.statement_timeout_s)")]
    Timeout(&'static str),
}

/// The database, as the upkeep uses it.
#[derive(Clone)]
pub struct Statements {
    client: Client,
    timeout: Duration,
    pub(super) topic: String,
}

impl Statements {
    /// As configured; does not connect.
    pub fn new(clickhouse: &ClickHouseConfig, config: &UpkeepConfig, topic: &str) -> Result<Self, ConfigError> {
        let memory = config.statement_memory_bytes_max;
        let mut client = clickhouse
            .client()?
            .with_setting("async_insert", "0")
            .with_setting("max_memory_usage", memory.to_string())
            .with_setting("max_bytes_before_external_group_by", (memory / 2).to_string())
            .with_setting("max_bytes_before_external_sort", (memory / 2).to_string())
            .with_setting("max_execution_time", config.statement_timeout_s.to_string())
            .with_setting("log_comment", "horolog-aggregate upkeep");
        if clickhouse.quorum {
            client = client
                .with_setting("insert_quorum", "auto")
                .with_setting("select_sequential_consistency", "1");
        }
        Ok(Self {
            client,
            timeout: Duration::from_secs(config.statement_timeout_s) + GRACE,
            topic: topic.to_owned(),
        })
    }

    /// A statement about the topic, with its fragments in place.
    pub fn query(&self, sql: &str) -> Query {
        // The client reads `?` as a placeholder of its own.
        let query = self.client.query(&expand(sql).replace('?', "??"));
        query.param("topic", &self.topic)
    }

    /// A statement about the hours of a job.
    pub fn about(&self, sql: &str, job: &Job) -> Query {
        self.query(sql)
            .param("tenant", &job.tenant_id)
            .param("from", job.from())
            .param("to", job.to())
    }

    /// A statement that may write incidents of this reason.
    pub fn incidents(&self, query: Query, reason: Reason) -> Query {
        query
            .param("reason", reason.code())
            .param("incidents_max", INCIDENTS_MAX)
    }

    /// The time by the server's clock, ms since 1970.
    pub async fn now_ms(&self) -> Result<i64, UpkeepError> {
        let query = self.query("select toUnixTimestamp64Milli(now64(3)) as now_ms");
        self.in_time("ask for the time", query.fetch_one::<i64>()).await
    }

    /// Runs a statement to its end.
    pub async fn execute(&self, what: &'static str, query: Query) -> Result<(), UpkeepError> {
        self.in_time(what, query.execute()).await
    }

    /// All rows.
    pub async fn rows<T: RowOwned + RowRead>(&self, what: &'static str, query: Query) -> Result<Vec<T>, UpkeepError> {
        self.in_time(what, query.fetch_all::<T>()).await
    }

    /// The first row.
    pub async fn first<T: RowOwned + RowRead>(
        &self,
        what: &'static str,
        query: Query,
    ) -> Result<Option<T>, UpkeepError> {
        self.in_time(what, query.fetch_optional::<T>()).await
    }

    /// Inserts rows.
    pub async fn insert<T: RowOwned + RowWrite>(
        &self,
        what: &'static str,
        table: &str,
        rows: &[T],
    ) -> Result<(), UpkeepError> {
        self.in_time(what, async {
            let mut insert = self.client.insert::<T>(table).await?;
            for row in rows {
                insert.write(row).await?;
            }
            insert.end().await
        })
        .await
    }

    /// The newest progress of each partition of the topic.
    pub async fn progress(&self) -> Result<Vec<PartitionProgress>, UpkeepError> {
        let query = self.query(PROGRESS_SQL);
        self.rows("read the progress of the partitions", query).await
    }

    /// The first hour from `after` on that may have aggregates, seconds since 1970.
    pub async fn next_hour(&self, after: u32) -> Result<Option<u32>, UpkeepError> {
        let query = self.query(NEXT_HOUR).param("after", after);
        let next: Option<u32> = self.first("look for hours", query).await?;
        // The minimum of no rows is the first hour of all.
        Ok(next.filter(|&hour| hour >= after.max(1)))
    }

    /// How far a stage is in each partition that the topic has had. Reads the ledger, so call it only when needed.
    pub async fn ends(&self, stage: &str) -> Result<BTreeMap<i32, End>, UpkeepError> {
        let query = self.query(ENDS).param("stage", stage);
        let ends: Vec<(i32, u32, i64)> = self.rows("ask how far the stages are", query).await?;
        let ends = ends.into_iter().map(|(partition, life, end)| (partition, (life, end)));
        Ok(ends.collect())
    }

    async fn in_time<T>(
        &self,
        what: &'static str,
        answer: impl Future<Output = Result<T, clickhouse::error::Error>>,
    ) -> Result<T, UpkeepError> {
        match tokio::time::timeout(self.timeout, answer).await {
            Ok(answer) => answer.map_err(|source| UpkeepError::ClickHouse { what, source }),
            Err(_) => Err(UpkeepError::Timeout(what)),
        }
    }
}
