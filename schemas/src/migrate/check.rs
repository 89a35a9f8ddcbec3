//! `check`: every difference between the live schema and what the migrations create.
//!
//! The migrations are applied to a scratch database on the same server, and the two are compared as the server itself
//! describes them, so we need no interpretation of our own of what a statement means. The scratch tables are plain even
//! if the real ones are replicated, so that no path in Keeper is touched. Guarantees: the scratch database is dropped,
//! also after an error; one left behind by a killed check is dropped by a later one. Never does: change the live
//! tables.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, Utc};
use uuid::Uuid;

use super::catalog::{HISTORY, MIGRATIONS};
use super::definition::Definition;
use super::diff::{Difference, differences};
use super::error::MigrateError;
use super::history::{self, State};
use super::layout::Engine;
use super::lock;
use super::retention::TableTtl;
use super::server::Server;
use super::sql;
use super::up::alter_ttl;

/// A scratch database of this age was left behind by a killed check.
const ABANDONED_AFTER: Duration = Duration::hours(1);

/// All differences; empty if the schema is as this release creates it.
pub async fn check(server: &Server) -> Result<Vec<Difference>, MigrateError> {
    let mut found = server.definitions(&server.database).await?;
    found.remove(lock::TABLE);
    let expected = expected(server).await?;
    let mut all = recorded(server).await?;
    all.extend(differences(&expected, &found));
    Ok(all)
}

/// Migrations whose record differs from this release.
async fn recorded(server: &Server) -> Result<Vec<Difference>, MigrateError> {
    let history = history::read(&server.session()).await?;
    let entries = history
        .entries
        .into_iter()
        .filter(|entry| entry.state != State::Applied);
    Ok(entries
        .map(|entry| {
            let (expected, found) = match entry.state {
                State::Pending => (Some("applied"), None),
                State::Unknown => (None, Some("applied")),
                State::Changed | State::Applied => (Some("applied as it is now"), Some("applied as it was before")),
            };
            Difference {
                object: format!("migration {}", entry.id),
                aspect: "state".to_owned(),
                expected: expected.map(str::to_owned),
                found: found.map(str::to_owned),
            }
        })
        .collect())
}

/// The tables as the migrations create them, with the configured retention.
async fn expected(server: &Server) -> Result<BTreeMap<String, Definition>, MigrateError> {
    drop_abandoned(server, Utc::now()).await?;
    let scratch = format!("{}{}", scratch_prefix(server), Uuid::new_v4().simple());
    let create = format!("create database `{scratch}` comment '{}'", Utc::now().timestamp());
    let doing = format!("create the scratch database {scratch}");
    server.root().execute(doing, &create).await?;
    let definitions = make(server, &scratch).await;
    let dropped = drop_database(server, &scratch).await;
    let definitions = definitions?;
    dropped.map(|()| definitions)
}

async fn make(server: &Server, scratch: &str) -> Result<BTreeMap<String, Definition>, MigrateError> {
    let session = server.session_in(scratch);
    let doing = format!("create the expected schema in {scratch}");
    let made = async |statement: &str| session.execute(doing.as_str(), statement).await;
    let steps = MIGRATIONS.iter().flat_map(|migration| migration.up());
    for statement in sql::statements(HISTORY).into_iter().chain(steps) {
        made(&server.layout.render_model(&statement)?).await?;
    }
    for TableTtl { table, ttl } in server.retention.ttls(server.has_cold_volume().await?) {
        if let Some(ttl) = ttl {
            made(&alter_ttl(table, "", Some(&ttl))).await?;
        }
    }
    let mut definitions = server.definitions(scratch).await?;
    if server.layout.engine == Engine::Replicated {
        for engine in definitions
            .values_mut()
            .filter_map(|table| table.pieces.get_mut("engine"))
        {
            engine.insert_str(0, "Replicated");
        }
    }
    Ok(definitions)
}

fn scratch_prefix(server: &Server) -> String {
    format!("{}_check_", server.database)
}

/// Drops what killed checks left behind. The comment of a scratch database is its creation time.
async fn drop_abandoned(server: &Server, now: DateTime<Utc>) -> Result<(), MigrateError> {
    let before = (now - ABANDONED_AFTER).timestamp();
    let sql = format!(
        "select name from system.databases where startsWith(name, {}) and toInt64OrZero(comment) between 1 and {before}",
        sql::literal(&scratch_prefix(server))
    );
    let doing = "look for old scratch databases";
    for name in server.root().rows::<String>(doing, &sql).await? {
        drop_database(server, &name).await?;
    }
    Ok(())
}

async fn drop_database(server: &Server, name: &str) -> Result<(), MigrateError> {
    let doing = format!("drop the scratch database {name}");
    let drop = format!("drop database if exists `{name}` sync");
    server.root().execute(doing, &drop).await
}
