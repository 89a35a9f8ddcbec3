//! ClickHouse as the delivery sees it: one block inserted under one token, and every failure in one of four classes.
//!
//! Settings that the protocol depends on are pinned on each insert and cannot be overridden: no asynchronous inserts
//! (their tokens are not checked by default), deduplication by token, one insert thread (the block must not be cut
//! arbitrarily), both timeouts.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;
use clickhouse::error::Error as ClientError;
use clickhouse::{Client, RowOwned, RowWrite};
use horolog_schemas::clickhouse_code;
use horolog_schemas::migrate::require_current;
use horolog_schemas::migrate::stated::{DAYS_KEPT, MONTHS_KEPT};

use crate::clock::now_ms;
use crate::config::{ClickHouseConfig, ConfigError};
use crate::constraint;
use crate::retry::Backoff;

/// Bytes of an Arrow stream that are handed to the connection at a time.
const SEND_CHUNK_BYTES: usize = 1 << 20;

/// Why an insert did not succeed, by what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// ClickHouse is away or overloaded, or its answer was lost. The block may be stored: only repeating the same token
    /// tells.
    #[error("unknown outcome: {0}")]
    Unknown(String),
    /// The table refused rows whose lease was over (or the clocks differ).
    #[error("the lease had expired, or the clocks of this host and of clickhouse differ: {0}")]
    Lease(String),
    /// The content of the block was refused.
    #[error("content refused: {0}")]
    Content(String),
    /// Neither a retry nor leaving out records can help.
    #[error("{0}")]
    Fatal(String),
}

impl StoreError {
    /// Nothing came back.
    pub fn no_answer() -> Self {
        Self::Unknown("no answer in time".to_owned())
    }
}

/// Timeout of a query that is repeated periodically.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// The result of a query, or [`StoreError::no_answer`]: the system reports a server that vanished silently only minutes
/// later.
pub async fn answered<T>(question: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, question).await;
    answer.unwrap_or_else(|_| Err(StoreError::no_answer()))
}

/// The database.
#[derive(Clone)]
pub struct Store {
    /// A client for queries.
    pub client: Client,
    inserts: Client,
    send_timeout: Duration,
    insert_timeout: Duration,
    /// Whether an insert waits for most of the replicas.
    pub(crate) quorum: bool,
}

impl Store {
    /// A store as configured; does not connect.
    pub fn new(config: &ClickHouseConfig) -> Result<Self, ConfigError> {
        // A query that nobody waits for any more would only delay the next one.
        let client = config
            .client()?
            .with_setting("cancel_http_readonly_queries_on_client_close", "1");
        let mut inserts = client
            .clone()
            .with_setting("async_insert", "0")
            .with_setting("max_insert_threads", "1")
            // `insert_deduplicate` is ignored once this one is set, even in a profile.
            .with_setting("deduplicate_insert", "enable")
            .with_setting("max_partitions_per_insert_block", "100")
            .with_setting("input_format_arrow_allow_missing_columns", "0");
        if config.quorum {
            inserts = inserts.with_setting("insert_quorum", "auto");
        }
        let (send_timeout, insert_timeout) = (config.send_timeout(), config.insert_timeout());
        Ok(Self {
            client,
            inserts,
            send_timeout,
            insert_timeout,
            quorum: config.quorum,
        })
    }

    /// A store whose tables are of this release; an error if they are not.
    pub async fn with_current_tables(config: &ClickHouseConfig) -> Result<Self, ConfigError> {
        let store = Self::new(config)?;
        let current = require_current(&store.client).await;
        let setting = || format!("clickhouse.url = {}", config.url);
        current.map_err(|error| ConfigError::invalid(setting(), error.to_string()))?;
        Ok(store)
    }

    /// Makes the replica that answers us catch up with what others acknowledged: otherwise it could answer as of before
    /// the last batch, and the batch would be stored again. Sequentially consistent selects would need inserts one at a
    /// time.
    pub async fn catch_up(&self, tables: &[&str]) -> Result<(), StoreError> {
        for table in tables.iter().filter(|_| self.quorum) {
            let statement = format!("system sync replica {table} lightweight");
            self.client.query(&statement).execute().await?;
        }
        Ok(())
    }

    /// After how many days `table` deletes rows by age; `None` if never. TTL rules that recompress or move do not
    /// count.
    pub async fn days_kept(&self, table: &str) -> Result<Option<u32>, StoreError> {
        self.stated(table, DAYS_KEPT).await
    }

    /// Likewise for a table whose TTL is in months.
    pub async fn months_kept(&self, table: &str) -> Result<Option<u32>, StoreError> {
        self.stated(table, MONTHS_KEPT).await
    }

    async fn stated(&self, table: &str, kept: &str) -> Result<Option<u32>, StoreError> {
        let query = format!("select {kept} from system.tables where database = currentDatabase() and name = ?");
        let kept = self.client.query(&query).bind(table).fetch_optional::<u32>();
        let kept = answered(async { kept.await.map_err(StoreError::from) }).await?;
        let kept = kept.ok_or_else(|| StoreError::Unknown(format!("the table {table} is missing")))?;
        Ok(Some(kept).filter(|&kept| kept > 0))
    }

    /// Inserts `rows` under `token`. `lease_ms` becomes `inserted_at` of every row (see ARCHITECTURE.md, "The lease").
    pub async fn insert(&self, table: &str, rows: &RecordBatch, token: &str, lease_ms: i64) -> Result<(), StoreError> {
        let body = Bytes::from(encode(rows, lease_ms).map_err(|error| StoreError::Fatal(error.to_string()))?);
        let mut insert = self
            .inserts
            .insert_formatted_with(insert_statement(table, rows))
            .with_setting("insert_deduplication_token", token)
            .with_setting("log_comment", token)
            .with_timeouts(Some(self.send_timeout), Some(self.insert_timeout));
        for start in (0..body.len()).step_by(SEND_CHUNK_BYTES) {
            let chunk = body.slice(start..body.len().min(start + SEND_CHUNK_BYTES));
            insert.send(chunk).await?;
        }
        insert.end().await.map_err(StoreError::from)
    }

    /// Inserts for an operator's command, repeated until the outcome is known or the attempts are used up. The lease is
    /// taken at each attempt, so a process that paused cannot add rows after it was given up.
    pub async fn insert_until_known(
        &self,
        table: &str,
        rows: &RecordBatch,
        token: &str,
        attempts_max: u32,
    ) -> Result<(), StoreError> {
        let mut backoff = Backoff::default();
        let mut attempt = 1;
        loop {
            match self.insert(table, rows, token, now_ms()).await {
                Err(error @ (StoreError::Unknown(_) | StoreError::Lease(_))) if attempt < attempts_max => {
                    tracing::warn!(%error, attempt, "clickhouse did not accept the rows, retrying");
                    attempt += 1;
                    tokio::time::sleep(backoff.next_wait()).await;
                }
                outcome => return outcome,
            }
        }
    }

    /// Inserts one row under `token`; its lease is one of its own columns.
    pub async fn insert_row<T: RowOwned + RowWrite>(
        &self,
        table: &str,
        row: &T,
        token: &str,
    ) -> Result<(), StoreError> {
        self.insert_rows(table, std::slice::from_ref(row), token).await
    }

    /// Likewise for several rows: all or none, if they are in one partition of the table.
    pub async fn insert_rows<T: RowOwned + RowWrite>(
        &self,
        table: &str,
        rows: &[T],
        token: &str,
    ) -> Result<(), StoreError> {
        let client = self
            .inserts
            .clone()
            .with_setting("insert_deduplication_token", token)
            .with_setting("log_comment", token);
        let insert = client.insert::<T>(table).await?;
        let mut insert = insert.with_timeouts(Some(self.send_timeout), Some(self.insert_timeout));
        for row in rows {
            insert.write(row).await?;
        }
        insert.end().await.map_err(StoreError::from)
    }
}

/// Names the columns that [`encode`] sends: a table of the next release may have more, which get their defaults.
fn insert_statement(table: &str, rows: &RecordBatch) -> String {
    let schema = rows.schema();
    let columns: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    format!(
        "insert into {table} ({}, inserted_at) format ArrowStream",
        columns.join(", ")
    )
}

/// An Arrow stream of `rows` with the column `inserted_at` after the others. IPC Streaming Format,
/// <https://arrow.apache.org/docs/format/Columnar.html#ipc-streaming-format>.
fn encode(rows: &RecordBatch, lease_ms: i64) -> Result<Vec<u8>, ArrowError> {
    let lease: ArrayRef =
        Arc::new(TimestampMillisecondArray::from_value(lease_ms, rows.num_rows()).with_timezone("UTC"));
    let mut fields = rows.schema().fields().to_vec();
    let data_type = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    fields.push(Arc::new(Field::new("inserted_at", data_type, false)));
    let mut columns = rows.columns().to_vec();
    columns.push(lease);
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
    let mut writer = StreamWriter::try_new(Vec::with_capacity(batch.get_array_memory_size()), &batch.schema())?;
    writer.write(&batch)?;
    writer.into_inner()
}

/// The class of a client's error.
impl From<ClientError> for StoreError {
    fn from(error: ClientError) -> Self {
        match &error {
            ClientError::BadResponse(message) => by_code(clickhouse_code(message), message.trim().to_owned()),
            ClientError::Network(_) | ClientError::TimedOut | ClientError::Decompression(_) | ClientError::Other(_) => {
                Self::Unknown(error.to_string())
            }
            _ => Self::Fatal(error.to_string()),
        }
    }
}

/// ClickHouse's error codes, <https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp>.
fn by_code(code: Option<u32>, message: String) -> StoreError {
    match code {
        // A constraint that somebody added says of a row what its type could say.
        Some(469) => match constraint::foreign(&message) {
            Some(said) => StoreError::Content(said.to_owned()),
            None => StoreError::Lease(message),
        },
        // Values that cannot be parsed, converted or held.
        Some(6 | 26 | 27 | 38 | 41 | 69 | 72 | 131 | 321 | 349 | 376 | 441 | 675 | 676 | 691) => {
            StoreError::Content(message)
        }
        // What only another release or table can fix: unknown column, setting, function; syntax; a stream that cannot be
        // read (117); types that no value would fit (53, 70, 169). No record is at fault, so none is rejected.
        Some(10 | 16 | 47 | 53 | 62 | 70 | 115 | 117 | 169 | 452) => StoreError::Fatal(message),
        // Overload, memory, too many parts, a full disk, Keeper, replicas, shutdown, a stream that was cut (33), a table
        // that is away, a password or permission that is being changed, unknown codes: they pass, or an operator fixes
        // them, and repeating an insert under the same token does no harm.
        _ => StoreError::Unknown(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(message: &str) -> &'static str {
        match StoreError::from(ClientError::BadResponse(message.to_owned())) {
            StoreError::Unknown(_) => "unknown",
            StoreError::Lease(_) => "lease",
            StoreError::Content(_) => "content",
            StoreError::Fatal(_) => "fatal",
        }
    }

    #[test]
    fn classes_follow_the_code_and_not_the_words_except_whose_constraint_it_is() {
        for (name, expected) in [("lease", "lease"), ("known", "content")] {
            let violated =
                format!("Code: 469. DB::Exception: Constraint `{name}` for table h.metrics is violated at row 1");
            assert_eq!(class(&violated), expected);
        }
        assert_eq!(class("Code: 469. DB::Exception: Constraint"), "lease");
        assert_eq!(class("Code: 27. DB::Exception: Cannot parse input"), "content");
        assert_eq!(class("Code: 117. DB::Exception: Incorrect data"), "fatal");
        assert_eq!(class("Code: 16. DB::Exception: No such column"), "fatal");
        assert_eq!(class("Code: 33. DB::Exception: Cannot read all data"), "unknown");
        assert_eq!(class("Code: 60. DB::Exception: Unknown table"), "unknown");
        assert_eq!(class("Code: 252. DB::Exception: Too many parts"), "unknown");
        assert_eq!(class("502 Bad Gateway"), "unknown");
    }

    #[test]
    fn the_lease_is_the_last_of_the_columns_that_are_named_and_sent() {
        let ids: ArrayRef = Arc::new(arrow::array::Int32Array::from(vec![1, 2]));
        let rows = RecordBatch::try_from_iter([("id", ids)]).unwrap();
        assert_eq!(
            insert_statement("t", &rows),
            "insert into t (id, inserted_at) format ArrowStream"
        );
        let stream = encode(&rows, 1_700_000_000_123).unwrap();
        let mut reader = arrow::ipc::reader::StreamReader::try_new(&stream[..], None).unwrap();
        let batch = reader.next().unwrap().unwrap();
        assert_eq!(batch.schema().field(1).name(), "inserted_at");
        let lease = batch
            .column(1)
            .as_any()
            .downcast_ref::<TimestampMillisecondArray>()
            .unwrap();
        assert_eq!(lease.values(), &[1_700_000_000_123, 1_700_000_000_123]);
    }
}
