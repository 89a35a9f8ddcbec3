//! `status`, and the question every service asks at its start: is the schema new enough?
//!
//! Enters: a client. Leaves: how each migration stands. Never does: take the lock, or change anything.

use clickhouse::Client;
use serde::Serialize;

use super::error::MigrateError;
use super::history::{self, History, State};
use super::lock;
use super::server::{Server, Session};

/// How a database stands.
#[derive(Debug, Serialize)]
pub struct Status {
    /// The database.
    pub database: String,
    /// Whether everything that this release knows is applied, and nothing else.
    pub current: bool,
    /// Who holds the lock.
    pub lock: Option<String>,
    /// Every migration.
    pub migrations: History,
}

/// Reads how the database stands.
pub async fn status(server: &Server) -> Result<Status, MigrateError> {
    let migrations = history::read(&server.session()).await?;
    Ok(Status {
        database: server.database.clone(),
        current: migrations.is_current(),
        lock: lock::holder(server).await?,
        migrations,
    })
}

/// Fails unless all migrations of this release are applied to the client's database, as they are here. A database that a
/// newer release has migrated is good: releases that are neighbours run side by side.
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
