//! ClickHouse, for reading.
//!
//! Enters: a [`TenantSelect`], and the id of the request it is for. Leaves: rows one by one, or an error in one of a
//! few classes. Guarantees: read only except for [`Store::write`], bounded in time and memory by the engine, cancelled
//! when the caller disconnects, and identifiable in the engine by the request id (`log_comment`). No other module has
//! the client.

mod arrow_stream;
mod bounds;
mod error;
mod select;
mod sql;

use std::ops::ControlFlow;
use std::time::Duration;

use clickhouse::query::Query;
use clickhouse::{Client, RowOwned, RowRead, RowWrite};
use horolog_stage::completeness::{FROZEN_SQL, Frozen, PROGRESS_SQL, PartitionProgress, progress_then};
use horolog_stage::config::{ClickHouseConfig, ConfigError};
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use crate::access::KeyLimits;
use crate::api::{Instant, RequestId};
use crate::audit::exports::config::ExportsConfig;
use crate::config::LimitsConfig;

use bounds::Bounds;
pub use error::StoreError;
#[cfg(test)]
pub(crate) use error::classified;
use error::classify;
pub use select::{Parameter, Relation, TenantSelect};
pub use sql::Sql;

/// How much longer than the engine's own limit to wait for an answer: after that, the connection is dead.
const GRACE: Duration = Duration::from_secs(5);
/// Timeout of an insert of a few rows.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Timeout of the schema check.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);

/// The database.
#[derive(Clone)]
pub struct Store {
    client: Client,
    schema: Client,
    bounds: Bounds,
    has_replicas: bool,
}

impl Store {
    /// A store as configured; does not connect.
    pub fn new(config: &ClickHouseConfig, limits: &LimitsConfig) -> Result<Self, ConfigError> {
        let schema = config.client()?;
        let mut client = schema
            .clone()
            .with_setting("readonly", "1")
            .with_setting("cancel_http_readonly_queries_on_client_close", "1");
        if config.quorum {
            // Otherwise progress read from one replica could be claimed for rows read from another that lags behind.
            client = client.with_setting("select_sequential_consistency", "1");
        }
        Ok(Self {
            client,
            schema,
            bounds: Bounds::of_service(limits),
            has_replicas: config.quorum,
        })
    }

    /// Whether there are several servers, some of which may lag behind: `clickhouse.quorum` then makes reads of tables
    /// wait.
    pub fn has_replicas(&self) -> bool {
        self.has_replicas
    }

    /// The same store with the limits of exports: long statements on one thread, which spill to disk instead of
    /// failing.
    pub fn for_exports(&self, limits: &ExportsConfig) -> Self {
        let spill = (limits.statement_memory_bytes_max / 2).to_string();
        let client = self
            .client
            .clone()
            .with_setting("optimize_aggregation_in_order", "1")
            .with_setting("max_bytes_before_external_group_by", spill.clone())
            .with_setting("max_bytes_before_external_sort", spill)
            .with_setting("max_threads", "1")
            .with_compression(clickhouse::Compression::None);
        Self {
            client,
            schema: self.schema.clone(),
            bounds: Bounds::of_exports(limits),
            has_replicas: self.has_replicas,
        }
    }

    /// Passes the rows of `select` to `take`, until it breaks.
    pub async fn rows<T: RowOwned + RowRead + Send>(
        &self,
        request: &RequestId,
        select: &TenantSelect,
        take: impl FnMut(T) -> ControlFlow<()> + Send,
    ) -> Result<(), StoreError> {
        let (query, bounds) = self.ask(select);
        self.run(request, query, bounds, take).await
    }

    /// The first row of `select`, which returns at most one.
    pub async fn first<T: RowOwned + RowRead + Send>(
        &self,
        request: &RequestId,
        select: &TenantSelect,
    ) -> Result<Option<T>, StoreError> {
        let mut first = None;
        let take = |row| {
            first.get_or_insert(row);
            ControlFlow::Continue(())
        };
        self.rows(request, select, take).await?;
        Ok(first)
    }

    /// The newest progress of each partition of a topic, now or as of a moment.
    pub async fn progress(
        &self,
        request: &RequestId,
        topic: &str,
        as_of: Option<Instant>,
    ) -> Result<Vec<PartitionProgress>, StoreError> {
        let query = self.client.query(PROGRESS_SQL).param("topic", topic);
        let now = self.all(request, query, self.bounds).await?;
        let Some(as_of) = as_of.map(Instant::datetime64_bound) else {
            return Ok(now);
        };
        let query = self
            .client
            .query(FROZEN_SQL)
            .param("topic", topic)
            .param("as_of", as_of);
        let ledger: Vec<Frozen> = self.all(request, query, self.bounds).await?;
        Ok(progress_then(now, &ledger, as_of.div_euclid(1_000)))
    }

    /// All rows of a statement on tables without rows of tenants, within the limits of the caller's key.
    pub async fn system<T: RowOwned + RowRead + Send>(
        &self,
        request: &RequestId,
        limits: &KeyLimits,
        statement: &'static str,
    ) -> Result<Vec<T>, StoreError> {
        let bounds = self.bounds.narrowed(limits);
        self.all(request, self.client.query(statement), bounds).await
    }

    /// All rows of `select`, which must be few.
    pub async fn collect<T: RowOwned + RowRead + Send>(
        &self,
        request: &RequestId,
        select: &TenantSelect,
    ) -> Result<Vec<T>, StoreError> {
        let (query, bounds) = self.ask(select);
        self.all(request, query, bounds).await
    }

    /// The rows of a statement about the log or about tables as a whole, which names no tenant and returns only counts
    /// and hashes.
    pub async fn log_rows<T: RowOwned + RowRead + Send>(
        &self,
        request: &RequestId,
        sql: impl Into<Sql>,
        parameters: &[(&'static str, Parameter)],
    ) -> Result<Vec<T>, StoreError> {
        let query = self.client.query(sql.into().as_str());
        let query = parameters
            .iter()
            .fold(query, |query, (name, value)| query.param(name, value));
        self.all(request, query, self.bounds).await
    }

    /// A query with its parameters and bounds, which are at most those of the caller's key.
    fn ask(&self, select: &TenantSelect) -> (Query, Bounds) {
        let query = self.client.query(select.sql());
        let parameters = select.parameters().iter();
        let query = parameters.fold(query, |query, (name, value)| query.param(name, value));
        (query, self.bounds.narrowed(select.limits()))
    }

    async fn all<T: RowOwned + RowRead + Send>(
        &self,
        request: &RequestId,
        query: Query,
        bounds: Bounds,
    ) -> Result<Vec<T>, StoreError> {
        let mut rows = Vec::new();
        let take = |row| {
            rows.push(row);
            ControlFlow::Continue(())
        };
        self.run(request, query, bounds, take).await?;
        Ok(rows)
    }

    /// Adds rows to a table of this service's own, in one insert; not for tables of records.
    pub async fn write<T: RowOwned + RowWrite + Sync>(
        &self,
        table: &'static str,
        rows: &[T],
    ) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let write = async {
            let mut insert = self.schema.insert::<T>(table).await?;
            for row in rows {
                insert.write(row).await?;
            }
            insert.end().await
        };
        timeout(WRITE_TIMEOUT, write)
            .await
            .map_err(|_| StoreError::Unavailable("no answer in time from clickhouse.url".to_owned()))?
            .map_err(|error| classify(error, &self.bounds))
    }

    /// Whether ClickHouse answers and has the schema of this release.
    pub async fn check(&self) -> Result<(), StoreError> {
        timeout(CHECK_TIMEOUT, horolog_schemas::migrate::require_current(&self.schema))
            .await
            .map_err(|_| StoreError::Unavailable("no answer in time from clickhouse.url".to_owned()))?
            .map_err(|error| StoreError::Unavailable(error.to_string()))
    }

    async fn run<T: RowOwned + RowRead + Send>(
        &self,
        request: &RequestId,
        query: Query,
        bounds: Bounds,
        mut take: impl FnMut(T) -> ControlFlow<()> + Send,
    ) -> Result<(), StoreError> {
        let classify = |error| classify(error, &bounds);
        let mut rows = prepared(query, request, &bounds).fetch::<T>().map_err(classify)?;
        let read = async {
            while let Some(row) = rows.next().await? {
                if take(row).is_break() {
                    break;
                }
            }
            Ok(())
        };
        let late = |_: Elapsed| StoreError::Unavailable("no answer in time".to_owned());
        timeout(bounds.timeout() + GRACE, read)
            .await
            .map_err(late)?
            .map_err(classify)
    }
}

/// A statement with its bounds, and with the request id that operators look for in the engine's query and process
/// lists.
fn prepared(query: Query, request: &RequestId, bounds: &Bounds) -> Query {
    let query = query.with_setting("log_comment", format!("horolog-query {request}"));
    let settings = bounds.settings().into_iter();
    settings.fold(query, |query, (name, max)| query.with_setting(name, max.to_string()))
}
