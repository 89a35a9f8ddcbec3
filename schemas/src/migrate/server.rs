//! The server to migrate: a client, a database on it, and the layout of its tables.
//!
//! Enters: statements. Leaves: their results, or errors that say what was being done and which setting to check. Never
//! does: decide what to run.

use std::collections::BTreeMap;
use std::time::Duration;

use clickhouse::error::Error as ClientError;
use clickhouse::{Client, RowOwned, RowRead};

use super::definition::Definition;
use super::error::MigrateError;
use super::history;
use super::layout::{Layout, is_name};
use super::retention::Retention;
use crate::clickhouse_code;

/// Timeout of a statement. Dropping a table that is large or still being read takes a while.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(600);

/// The ClickHouse error codes that are handled here.
pub(super) mod code {
    pub const TABLE_ALREADY_EXISTS: u32 = 57;
    pub const UNKNOWN_TABLE: u32 = 60;
    pub const UNKNOWN_DATABASE: u32 = 81;
}

/// Where the tables are, and what they should look like.
#[derive(Clone)]
pub struct Server {
    /// Its current database is `system`, which exists before ours does.
    root: Client,
    pub(super) database: String,
    pub(super) layout: Layout,
    pub(super) retention: Retention,
}

impl Server {
    /// Checks the parameters; connects to nothing yet.
    pub fn new(client: Client, database: &str, layout: Layout, retention: Retention) -> Result<Self, MigrateError> {
        is_name("clickhouse.database", database)?;
        layout.validate()?;
        retention.validate()?;
        Ok(Self {
            root: client.with_database("system"),
            database: database.to_owned(),
            layout,
            retention,
        })
    }

    /// A client without our database, for statements that run before it exists.
    pub(super) fn root(&self) -> Session {
        Session(self.root.clone())
    }

    /// A client with our database.
    pub(super) fn session(&self) -> Session {
        self.session_in(&self.database)
    }

    /// A client with another database.
    pub(super) fn session_in(&self, database: &str) -> Session {
        Session(self.root.clone().with_database(database))
    }

    /// Whether the storage policy of the tables has a volume `cold`.
    pub(super) async fn has_cold_volume(&self) -> Result<bool, MigrateError> {
        let sql = "select count() > 0 from system.storage_policies \
                   where policy_name = {policy: String} and volume_name = 'cold'";
        let query = self.root.query_raw(sql).param("policy", &self.layout.storage_policy);
        query
            .fetch_one::<bool>()
            .await
            .map_err(|source| MigrateError::server("read the storage policies", source))
    }

    /// Fails if the tables' cluster has several shards: each would have rows of its own.
    pub(super) async fn require_one_shard(&self) -> Result<(), MigrateError> {
        let sql = "select uniqExact(shard_num) from system.clusters where cluster = {cluster: String}";
        let query = self.root.query_raw(sql).param("cluster", &self.layout.cluster);
        let shards: u64 = query
            .fetch_one()
            .await
            .map_err(|source| MigrateError::server("read the clusters", source))?;
        if shards > 1 {
            let cluster = self.layout.cluster.clone();
            return Err(MigrateError::Shards { cluster, shards });
        }
        Ok(())
    }

    /// Fails if the existing tables are replicated but a statement would reach only one server: what it changes there
    /// would be recorded for all of them.
    pub(super) async fn require_all_replicas(&self) -> Result<(), MigrateError> {
        let sql = "select engine like 'Replicated%' from system.tables \
                   where database = {database: String} and name = {table: String}";
        let query = self.root.query_raw(sql).param("database", &self.database);
        let replicated = query.param("table", history::TABLE).fetch_one::<bool>().await;
        let replicated = replicated
            .map_err(|source| MigrateError::server(format!("read the engine of {}", history::TABLE), source))?;
        let replicas = if replicated { Some(self.replicas().await?) } else { None };
        Ok(self.layout.require_all_of(replicas)?)
    }

    /// How many servers have the tables, according to Keeper. Called only if they are replicated.
    async fn replicas(&self) -> Result<u32, MigrateError> {
        let sql = "select toUInt32(max(total_replicas)) from system.replicas where database = {database: String}";
        let query = self.root.query_raw(sql).param("database", &self.database);
        let replicas = query.fetch_one::<u32>().await;
        replicas.map_err(|source| MigrateError::server("count the replicas", source))
    }

    /// The current definitions of all tables and views of a database, by name.
    pub(super) async fn definitions(&self, database: &str) -> Result<BTreeMap<String, Definition>, MigrateError> {
        let sql = "select name, create_table_query from system.tables where database = {database: String}";
        let query = self.root.query_raw(sql).param("database", database);
        let rows: Vec<(String, String)> = query
            .fetch_all()
            .await
            .map_err(|source| MigrateError::server("read the tables", source))?;
        Ok(rows
            .into_iter()
            .map(|(name, query)| (name, Definition::parse(&query, database)))
            .collect())
    }
}

/// A client with a current database.
pub(super) struct Session(Client);

impl Session {
    /// With the database that the client has.
    pub fn of(client: Client) -> Self {
        Self(client)
    }

    /// Runs a statement to completion; an error says what was being done.
    pub async fn execute(&self, doing: impl Into<String>, sql: &str) -> Result<(), MigrateError> {
        in_time(doing, self.0.query_raw(sql).execute()).await
    }

    /// Reads all rows; an error says what was being done.
    pub async fn rows<T: RowOwned + RowRead>(
        &self,
        doing: impl Into<String>,
        sql: &str,
    ) -> Result<Vec<T>, MigrateError> {
        in_time(doing, self.0.query_raw(sql).fetch_all()).await
    }
}

async fn in_time<T>(
    doing: impl Into<String>,
    answer: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, MigrateError> {
    let answer = tokio::time::timeout(STATEMENT_TIMEOUT, answer).await;
    answer
        .unwrap_or(Err(ClientError::TimedOut))
        .map_err(|cause| MigrateError::server(doing, cause))
}

/// The error code in a response of the server.
pub(super) fn code_of(error: &ClientError) -> Option<u32> {
    match error {
        ClientError::BadResponse(text) => clickhouse_code(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_parameters_are_refused_before_anything_is_sent() {
        let retention = Retention {
            audit_days: 1,
            ..Retention::default()
        };
        let server = Server::new(Client::default(), "horolog", Layout::default(), retention);
        assert_eq!(
            server.err().unwrap().to_string(),
            "retention.audit_days = 1 is below its minimum of 731"
        );
        let server = Server::new(Client::default(), "a;b", Layout::default(), Retention::default());
        assert!(server.err().unwrap().to_string().starts_with("clickhouse.database = "));
    }
}
