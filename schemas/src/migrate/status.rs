//! `status`, and the check that every service makes at its start: is the schema new enough?
//!
//! Enters: a client. Leaves: the state of each migration. Never does: take the lock, or change anything.

use clickhouse::Client;
use serde::Serialize;

use super::error::MigrateError;
use super::history::{self, History, State};
use super::lock;
use super::server::{Server, Session};

/// The state of a database.
#[derive(Debug, Serialize)]
pub struct Status {
    /// The database.
    pub database: String,
    /// Whether exactly the migrations of this release are applied.
    pub current: bool,
    /// Who holds the lock.
    pub lock: Option<String>,
    /// Every migration.
    pub migrations: History,
}

/// Reads the state of the database.
pub async fn status(server: &Server) -> Result<Status, MigrateError> {
    let migrations = history::read(&server.session()).await?;
    Ok(Status {
        database: server.database.clone(),
        current: migrations.is_current(),
        lock: lock::holder(server).await?,
        migrations,
    })
}

/// Fails unless all migrations of this release are applied, unchanged, to the client's database. A database migrated by
/// a newer release passes: neighbouring releases run side by side.
pub async fn require_current(client: &Client) -> Result<(), MigrateError> {
    let history = history::read(&Session::of(client.clone())).await?;
    let with = |state: State| {
        history
            .entries
            .iter()
            .filter(move |entry| entry.state == state)
            .map(|entry| entry.id.clone())
    };
    if let Some(id) = with(State::Changed).next() {
        return Err(MigrateError::Changed { id });
    }
    let missing: Vec<String> = with(State::Pending).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(MigrateError::Pending {
        database: client.database().unwrap_or("default").to_owned(),
        missing,
    })
}
