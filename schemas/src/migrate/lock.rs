//! One runner at a time, without a coordinator: the lock is a table, whose creation fails if it exists.
//!
//! `create table` without `if not exists` is atomic on a server, and with `on cluster` the distributed DDL queue puts
//! all runners in one order. The table's comment names the holder. Guarantees: a lock is released when its run ends,
//! even with an error; the lock of a killed run stays until `--break-lock`, because a dead runner cannot be told from a
//! slow one; a runner whose lock was broken notices before its next step. (Steps are idempotent, so the one step that
//! may overlap does no harm.)

use chrono::{DateTime, SecondsFormat, Utc};
use uuid::Uuid;

use super::error::MigrateError;
use super::server::{Server, code};
use super::sql;

/// The table that acts as the lock.
pub(super) const TABLE: &str = "schema_migrations_lock";

/// Who runs the command, for the lock and for the history.
#[derive(Debug, Clone)]
pub struct Runner {
    /// `host, process 123`.
    pub name: String,
    /// The command as given, for messages: `up`, `down --to 3`.
    pub command: String,
}

impl Runner {
    /// This process.
    pub fn this_process(command: &str) -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname")
            .map(|name| name.trim().to_owned())
            .or_else(|_| std::env::var("HOSTNAME"))
            .unwrap_or_else(|_| "unknown host".to_owned());
        Self {
            name: format!("{host}, process {}", std::process::id()),
            command: command.to_owned(),
        }
    }
}

/// A held lock. Call [`Lock::release`]: a dropped lock stays until `--break-lock`.
pub(super) struct Lock<'a> {
    server: &'a Server,
    holder: String,
}

impl<'a> Lock<'a> {
    /// Takes the lock; with `break_lock`, even if another runner holds it.
    pub async fn acquire(
        server: &'a Server,
        runner: &Runner,
        now: DateTime<Utc>,
        break_lock: bool,
    ) -> Result<Self, MigrateError> {
        let lock = Self {
            server,
            holder: format!(
                "{}, {}, since {}, {}",
                runner.name,
                runner.command,
                now.to_rfc3339_opts(SecondsFormat::Secs, true),
                Uuid::new_v4().simple()
            ),
        };
        if break_lock {
            lock.drop_table().await?;
        }
        let on_cluster = server.layout.on_cluster();
        let comment = sql::literal(&lock.holder);
        let create = format!("create table {TABLE}{on_cluster} (holder String) engine = Memory comment {comment}");
        match server.session().execute("take the lock", &create).await {
            Ok(()) => Ok(lock),
            Err(error) if error.code() == Some(code::TABLE_ALREADY_EXISTS) => Err(MigrateError::Locked {
                holder: holder(server).await?.unwrap_or_else(|| "released just now".to_owned()),
                command: runner.command.clone(),
            }),
            Err(error) => Err(error),
        }
    }

    /// Fails if another runner has broken the lock.
    pub async fn confirm(&self) -> Result<(), MigrateError> {
        match holder(self.server).await? {
            Some(holder) if holder == self.holder => Ok(()),
            now => Err(MigrateError::LockLost {
                now: now.unwrap_or_else(|| "nobody holds it now".to_owned()),
            }),
        }
    }

    /// Releases the lock if it is still ours.
    pub async fn release(self) -> Result<(), MigrateError> {
        match self.confirm().await {
            Ok(()) => self.drop_table().await,
            Err(MigrateError::LockLost { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn drop_table(&self) -> Result<(), MigrateError> {
        let drop = format!("drop table if exists {TABLE}{} sync", self.server.layout.on_cluster());
        self.server.session().execute("release the lock", &drop).await
    }
}

/// Who holds the lock.
pub(super) async fn holder(server: &Server) -> Result<Option<String>, MigrateError> {
    let sql = format!(
        "select comment from system.tables where database = {} and name = '{TABLE}'",
        sql::literal(&server.database)
    );
    Ok(server.root().rows("read the lock", &sql).await?.pop())
}
