//! What was applied, according to the table `schema_migrations`, compared with what this release knows.
//!
//! Enters: rows of the table. Leaves: the state of every migration. Guarantees: an applied migration that reads
//! differently now, or that only a newer release knows, is never ignored. The comparison is pure; reading and recording
//! are thin.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use clickhouse::{Row, RowOwned, RowRead};
use serde::{Deserialize, Serialize};

use super::catalog::{HISTORY, MIGRATIONS, Migration};
use super::error::MigrateError;
use super::layout::Engine;
use super::lock::Runner;
use super::server::{Server, Session, code};
use super::sql;

/// The table.
pub(super) const TABLE: &str = "schema_migrations";

/// The newest row of each version that is applied.
const APPLIED: &str = "select version, argMax(name, sequence) as name, argMax(checksum, sequence) as checksum, \
     toUnixTimestamp64Milli(argMax(recorded_at, sequence)) as applied_at_ms from schema_migrations \
     group by version having argMax(action, sequence) = 'up' order by version";

/// The newest rows, the last one first.
const NEWEST: &str = "select version, action = 'down' as is_down from schema_migrations order by sequence desc limit 2";

/// A row, as far as it tells whether a migration was reverted to its end.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
struct Newest {
    version: u32,
    is_down: bool,
}

/// An applied migration, as recorded.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub(super) struct Applied {
    version: u32,
    name: String,
    checksum: String,
    applied_at_ms: i64,
}

/// The state of a migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Applied, as in this release.
    Applied,
    /// Not applied.
    Pending,
    /// Applied, but reads differently now.
    Changed,
    /// Applied by a newer release.
    Unknown,
}

/// A migration and its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Its number.
    pub version: u32,
    /// Its number and name: `0001_metrics`.
    pub id: String,
    /// Its state.
    pub state: State,
    /// When it was applied.
    pub applied_at: Option<DateTime<Utc>>,
}

/// The states of all migrations, by version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct History {
    /// Every migration known to this release or to the database.
    pub entries: Vec<Entry>,
}

impl History {
    /// Compares what was recorded with what this release knows.
    pub(super) fn compare(applied: Vec<Applied>, known: &[Migration]) -> Self {
        let mut applied: BTreeMap<u32, Applied> = applied.into_iter().map(|row| (row.version, row)).collect();
        let mut entries: Vec<Entry> = known
            .iter()
            .map(|migration| {
                let row = applied.remove(&migration.version());
                let state = match &row {
                    None => State::Pending,
                    Some(row) if row.checksum == migration.checksum() && row.name == migration.id => State::Applied,
                    Some(_) => State::Changed,
                };
                Entry {
                    version: migration.version(),
                    id: migration.id.to_owned(),
                    state,
                    applied_at: row.and_then(|row| DateTime::from_timestamp_millis(row.applied_at_ms)),
                }
            })
            .collect();
        entries.extend(applied.into_values().map(|row| Entry {
            version: row.version,
            id: row.name,
            state: State::Unknown,
            applied_at: DateTime::from_timestamp_millis(row.applied_at_ms),
        }));
        Self { entries }
    }

    /// Fails on a migration that was changed or that this release does not know.
    pub fn verify(&self) -> Result<(), MigrateError> {
        for entry in &self.entries {
            match entry.state {
                State::Changed => return Err(MigrateError::Changed { id: entry.id.clone() }),
                State::Unknown => return Err(MigrateError::Unknown { id: entry.id.clone() }),
                State::Applied | State::Pending => {}
            }
        }
        Ok(())
    }

    /// Migrations that only a newer release knows, if everything that this release knows is applied unchanged;
    /// otherwise empty.
    pub(super) fn newer(&self) -> Vec<String> {
        let is = |state: State| self.entries.iter().filter(move |entry| entry.state == state);
        if is(State::Pending).chain(is(State::Changed)).next().is_some() {
            return Vec::new();
        }
        is(State::Unknown).map(|entry| entry.id.clone()).collect()
    }

    /// Whether a version is applied.
    pub fn is_applied(&self, version: u32) -> bool {
        self.entries
            .iter()
            .any(|entry| entry.version == version && entry.state != State::Pending)
    }

    /// Whether everything that this release knows is applied, and nothing else.
    pub fn is_current(&self) -> bool {
        self.entries.iter().all(|entry| entry.state == State::Applied)
    }
}

/// Creates the table if it does not exist.
pub(super) async fn create(server: &Server) -> Result<(), MigrateError> {
    for statement in sql::statements(HISTORY) {
        let statement = server.layout.render(&statement)?;
        server.session().execute(format!("create {TABLE}"), &statement).await?;
    }
    Ok(())
}

/// Reads the table. If it or its database does not exist, nothing is applied.
pub(super) async fn read(session: &Session) -> Result<History, MigrateError> {
    Ok(History::compare(rows(session, APPLIED).await?, MIGRATIONS))
}

/// Rows of the table; none if it or its database does not exist.
async fn rows<T>(session: &Session, query: &str) -> Result<Vec<T>, MigrateError>
where
    T: RowOwned + RowRead,
{
    match session.rows(format!("read {TABLE}"), query).await {
        Err(error) if matches!(error.code(), Some(code::UNKNOWN_TABLE | code::UNKNOWN_DATABASE)) => Ok(Vec::new()),
        rows => rows,
    }
}

/// Reads the table under the lock, once this server has replicated what others recorded.
pub(super) async fn read_latest(server: &Server) -> Result<History, MigrateError> {
    if server.layout.engine == Engine::Replicated {
        let catch_up = format!("system sync replica {TABLE}");
        server
            .session()
            .execute(format!("catch up with {TABLE}"), &catch_up)
            .await?;
    }
    read(&server.session()).await
}

/// The migration that may have been reverted in part: it is recorded before its statements run, and again after them.
/// So `up` applies it anew after a run that was interrupted in between, and `down` reverts it once more.
pub(super) async fn half_reverted(session: &Session) -> Result<Option<u32>, MigrateError> {
    let newest: Vec<Newest> = rows(session, NEWEST).await?;
    Ok(match &newest[..] {
        [last, before @ ..] if last.is_down && before.first() != Some(last) => Some(last.version),
        _ => None,
    })
}

/// Records that a migration was applied (`up`) or is reverted (`down`).
pub(super) async fn record(
    server: &Server,
    migration: &Migration,
    action: &str,
    runner: &Runner,
    now: DateTime<Utc>,
) -> Result<(), MigrateError> {
    let insert = format!(
        "insert into {TABLE} select (select max(sequence) from {TABLE}) + 1, {}, '{}', '{action}', '{}', \
         fromUnixTimestamp64Milli(toInt64({}), 'UTC'), {} settings async_insert = 0, insert_deduplicate = 0",
        migration.version(),
        migration.id,
        migration.checksum(),
        now.timestamp_millis(),
        sql::literal(&runner.name)
    );
    let doing = format!("record {action} of {}", migration.id);
    server.session().execute(doing, &insert).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(migration: &Migration) -> Applied {
        Applied {
            version: migration.version(),
            name: migration.id.to_owned(),
            checksum: migration.checksum(),
            applied_at_ms: 1_700_000_000_000,
        }
    }

    fn states(history: &History) -> Vec<State> {
        history.entries.iter().map(|entry| entry.state).collect()
    }

    #[test]
    fn what_was_not_recorded_is_pending() {
        let known = &MIGRATIONS[..2];
        let history = History::compare(vec![applied(&known[0])], known);
        assert_eq!(states(&history), [State::Applied, State::Pending]);
        assert!(history.verify().is_ok() && !history.is_current());
    }

    #[test]
    fn a_changed_migration_is_named() {
        let known = &MIGRATIONS[..2];
        let mut row = applied(&known[1]);
        row.checksum.replace_range(..1, "x");
        let history = History::compare(vec![applied(&known[0]), row], known);
        let error = history.verify().unwrap_err().to_string();
        assert!(error.starts_with("migration 0002_audit_logs was changed"), "{error}");
    }

    #[test]
    fn a_migration_of_a_newer_release_is_named() {
        let history = History::compare(MIGRATIONS[..3].iter().map(applied).collect(), &MIGRATIONS[..2]);
        assert_eq!(states(&history), [State::Applied, State::Applied, State::Unknown]);
        assert!(history.verify().unwrap_err().to_string().contains(MIGRATIONS[2].id));
        assert_eq!(history.newer(), [MIGRATIONS[2].id]);
        let gap = [0, 2].map(|at| applied(&MIGRATIONS[at])).into();
        assert_eq!(
            History::compare(gap, &MIGRATIONS[..2]).newer(),
            [""; 0],
            "one of its own is missing"
        );
    }
}
