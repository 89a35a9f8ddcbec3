//! `up` and `down`: apply pending migrations, revert surplus ones.
//!
//! DDL has no transactions. So each step is idempotent and recorded after it is done (on the way back also before it),
//! and a run that was interrupted anywhere is completed by running it again. Guarantees: one runner at a time; nothing
//! runs if an applied migration was changed; `down` checks all tables before it drops the first, and `up` before it
//! changes anything. Never does: destroy rows, or let them be deleted sooner, unless told to.

use std::sync::atomic::{AtomicBool, Ordering};

use chrono::Utc;

use super::access;
use super::catalog::{MIGRATIONS, Migration, objects};
use super::error::MigrateError;
use super::history;
use super::lock::{Lock, Runner};
use super::retention::TableTtl;
use super::server::Server;
use super::shortening::loss;
use super::sql;

/// Options of a run.
#[derive(Debug)]
pub struct RunOptions<'a> {
    /// Who runs the command.
    pub runner: Runner,
    /// Take the lock even if another runner holds it.
    pub break_lock: bool,
    /// Set from outside to stop before the next step.
    pub interrupted: &'a AtomicBool,
}

/// What a run did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Migrations that were applied or reverted, in that order.
    pub migrations: Vec<&'static str>,
    /// Tables whose TTL was changed.
    pub retention: Vec<&'static str>,
    /// Whether roles and row policies were created or updated.
    pub row_policies: bool,
    /// Migrations of a newer release that ran here before; if there are any, nothing was changed.
    pub newer: Vec<String>,
}

/// Applies all pending migrations up to version `to`, then the retention, then the row policies. Does nothing if a
/// newer release has migrated the database and everything of this one is applied: neighbouring releases run side by
/// side.
pub async fn up(
    server: &Server,
    to: Option<u32>,
    shorten_retention: bool,
    options: &RunOptions<'_>,
) -> Result<Report, MigrateError> {
    let to = version(to.unwrap_or_else(last))?;
    server.require_one_shard().await?;
    let create = format!(
        "create database if not exists `{}`{}",
        server.database,
        server.layout.on_cluster()
    );
    let doing = format!("create database {}", server.database);
    server.root().execute(doing, &create).await?;
    history::create(server).await?;
    locked(server, options, async |lock| {
        let history = history::read_latest(server).await?;
        let mut report = Report {
            newer: history.newer(),
            ..Report::default()
        };
        if !report.newer.is_empty() {
            return Ok(report);
        }
        history.verify()?;
        if !shorten_retention {
            refuse_to_shorten(server).await?;
        }
        for migration in MIGRATIONS
            .iter()
            .filter(|m| m.version() <= to && !history.is_applied(m.version()))
        {
            run(server, migration, "up", migration.up(), lock, options).await?;
            history::record(server, migration, "up", &options.runner, Utc::now()).await?;
            report.migrations.push(migration.id);
        }
        report.retention = apply_retention(server, lock).await?;
        if server.layout.row_policies {
            apply_row_policies(server, lock).await?;
            report.row_policies = true;
        }
        Ok(report)
    })
    .await
}

/// Reverts all migrations above version `to`, the newest first.
pub async fn down(
    server: &Server,
    to: u32,
    destroy_data: bool,
    options: &RunOptions<'_>,
) -> Result<Report, MigrateError> {
    let to = version(to)?;
    let session = server.session();
    let is_none_applied = (history::read(&session).await?.entries.iter()).all(|entry| entry.applied_at.is_none());
    if is_none_applied && history::half_reverted(&session).await?.is_none() {
        return Ok(Report::default()); // there may not even be a database to hold the lock
    }
    locked(server, options, async |lock| {
        let history = history::read_latest(server).await?;
        history.verify()?;
        let half_reverted = history::half_reverted(&session).await?;
        let undone = undone(
            |version| history.is_applied(version) || half_reverted == Some(version),
            to,
        );
        if !destroy_data {
            refuse_to_destroy(server, &undone).await?;
        }
        let mut report = Report::default();
        for migration in undone {
            let record = async || history::record(server, migration, "down", &options.runner, Utc::now()).await;
            // Two records in a row say that it is done: a run that was killed has left the first one.
            if half_reverted != Some(migration.version()) {
                record().await?;
            }
            run(server, migration, "down", migration.down(), lock, options).await?;
            record().await?;
            report.migrations.push(migration.id);
        }
        Ok(report)
    })
    .await
}

fn last() -> u32 {
    MIGRATIONS.last().map_or(0, Migration::version)
}

fn version(to: u32) -> Result<u32, MigrateError> {
    if to <= last() {
        Ok(to)
    } else {
        Err(MigrateError::NoSuchVersion { to, last: last() })
    }
}

fn undone(is_there: impl Fn(u32) -> bool, to: u32) -> Vec<&'static Migration> {
    MIGRATIONS
        .iter()
        .rev()
        .filter(|m| m.version() > to && is_there(m.version()))
        .collect()
}

/// Does the work under the lock, which is released whatever the outcome. Refuses to start if statements would not reach
/// all servers that have the tables.
async fn locked<'a, T>(
    server: &'a Server,
    options: &RunOptions<'_>,
    work: impl AsyncFnOnce(&Lock<'a>) -> Result<T, MigrateError>,
) -> Result<T, MigrateError> {
    server.require_all_replicas().await?;
    let lock = Lock::acquire(server, &options.runner, Utc::now(), options.break_lock).await?;
    let outcome = work(&lock).await;
    let released = lock.release().await;
    let value = outcome?;
    released.map(|()| value)
}

async fn run(
    server: &Server,
    migration: &Migration,
    action: &str,
    statements: Vec<String>,
    lock: &Lock<'_>,
    options: &RunOptions<'_>,
) -> Result<(), MigrateError> {
    for statement in statements {
        if options.interrupted.load(Ordering::Relaxed) {
            return Err(MigrateError::Interrupted);
        }
        lock.confirm().await?;
        let doing = format!("apply {action} of {}", migration.id);
        let statement = server.layout.render(&statement)?;
        server.session().execute(doing, &statement).await?;
    }
    Ok(())
}

/// Sets the TTL of every table that does not have the configured one. Equal ones are skipped, because setting a TTL
/// makes the server read every part.
async fn apply_retention(server: &Server, lock: &Lock<'_>) -> Result<Vec<&'static str>, MigrateError> {
    let mut changed = Vec::new();
    for (TableTtl { table, ttl }, found) in ttls(server).await? {
        if formatted(server, found.as_deref()).await? == formatted(server, ttl.as_deref()).await? {
            continue;
        }
        lock.confirm().await?;
        let alter = alter_ttl(table, &server.layout.on_cluster(), ttl.as_deref());
        let doing = format!("set the retention of {table}");
        server.session().execute(doing, &alter).await?;
        changed.push(table);
    }
    Ok(changed)
}

/// Refuses if a table would delete its rows sooner than now, or no longer move them: a run without the settings of the
/// installation uses the defaults. An empty table without a TTL is exempt: it was created by a run that was interrupted
/// before the retention was set.
async fn refuse_to_shorten(server: &Server) -> Result<(), MigrateError> {
    let mut tables = Vec::new();
    for (TableTtl { table, ttl }, found) in ttls(server).await? {
        let Some(loss) = loss(found.as_deref(), ttl.as_deref()) else {
            continue;
        };
        if found.is_some() || count(server, table).await? > 0 {
            tables.push(format!("{table} {loss}"));
        }
    }
    if tables.is_empty() {
        Ok(())
    } else {
        Err(MigrateError::WouldShorten {
            tables: tables.join(", "),
        })
    }
}

/// The wanted and the current TTL of each existing table.
async fn ttls(server: &Server) -> Result<Vec<(TableTtl, Option<String>)>, MigrateError> {
    let definitions = server.definitions(&server.database).await?;
    let wanted = server.retention.ttls(server.has_cold_volume().await?).into_iter();
    let of_table = |wanted: TableTtl| {
        let found = definitions.get(wanted.table)?.pieces.get("ttl").cloned();
        Some((wanted, found))
    };
    Ok(wanted.filter_map(of_table).collect())
}

/// Creates or updates the roles and row policies of all existing tables and views.
async fn apply_row_policies(server: &Server, lock: &Lock<'_>) -> Result<(), MigrateError> {
    let definitions = server.definitions(&server.database).await?;
    let there = definitions.keys().map(String::as_str).collect();
    for statement in access::statements(&server.database, &server.layout.on_cluster(), &there) {
        lock.confirm().await?;
        let doing = "create roles and row policies";
        server.session().execute(doing, &statement).await?;
    }
    Ok(())
}

/// The statement that sets this TTL on a table, or removes the current one.
pub(super) fn alter_ttl(table: &str, on_cluster: &str, ttl: Option<&str>) -> String {
    match ttl {
        Some(ttl) => format!("alter table {table}{on_cluster} modify ttl {ttl}"),
        None => format!("alter table {table}{on_cluster} remove ttl"),
    }
}

/// A TTL in the server's formatting, so that two of them can be compared.
async fn formatted(server: &Server, ttl: Option<&str>) -> Result<Option<String>, MigrateError> {
    let Some(ttl) = ttl else { return Ok(None) };
    let statement = sql::literal(&alter_ttl("t", "", Some(ttl)));
    let format = format!("select formatQuerySingleLine({statement})");
    Ok(server.root().rows("format a ttl", &format).await?.pop())
}

/// Refuses if a table with rows would be dropped or lose a column.
async fn refuse_to_destroy(server: &Server, undone: &[&'static Migration]) -> Result<(), MigrateError> {
    let definitions = server.definitions(&server.database).await?;
    let mut tables = Vec::new();
    for object in objects(undone.iter().copied()) {
        let is_table = definitions
            .get(object)
            .is_some_and(|table| table.pieces.contains_key("engine"));
        if is_table {
            let rows = count(server, object).await?;
            if rows > 0 {
                tables.push(format!("{object} has {rows} rows"));
            }
        }
    }
    if tables.is_empty() {
        Ok(())
    } else {
        Err(MigrateError::WouldDestroy {
            tables: tables.join(", "),
        })
    }
}

/// Rows of a table, on all shards of the cluster if there is one.
async fn count(server: &Server, table: &str) -> Result<u64, MigrateError> {
    let source = if server.layout.cluster.is_empty() {
        table.to_owned()
    } else {
        format!(
            "cluster({}, `{}`, {table})",
            sql::literal(&server.layout.cluster),
            server.database
        )
    };
    let doing = format!("count the rows of {table}");
    let count = format!("select count() from {source}");
    Ok(server.session().rows(doing, &count).await?.pop().unwrap_or(0))
}
