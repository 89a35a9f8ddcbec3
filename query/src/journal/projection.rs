//! The journal's state as tables in ClickHouse, for SQL users.
//!
//! Enters: entities of the journal, at startup and whenever it changes. Leaves: a row for each version of an entity
//! that this process has not written yet. Each process writes all of them, and the newest version wins: so a table is
//! complete again after a restore, without coordination. No service reads it; while the store is unavailable it waits.

use std::collections::HashMap;
use std::time::Duration;

use clickhouse::{RowOwned, RowWrite};
use serde::Serialize;

use super::Journal;
use crate::store::Store;

/// Pause between attempts while the store is unavailable.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Entities of one kind in the journal, and their table, a `ReplacingMergeTree` by version.
pub trait Projected: Send + Sync {
    /// A row of the table.
    type Row: RowOwned + RowWrite + Serialize + Send + Sync;
    /// Name of the table.
    const TABLE: &'static str;

    /// Their ids, each with the offset of the last record about it, which increases with every change.
    fn versions(&self) -> Vec<(String, i64)>;

    /// One entity in its current state, labelled with this version; `None` if this release cannot read it.
    fn row(&self, id: &str, version: i64) -> Option<Self::Row>;
}

/// Keeps the table in sync with the journal, forever.
pub async fn project<P: Projected>(projected: P, journal: Journal, store: Store) {
    let mut changes = journal.changes();
    let mut written = HashMap::new();
    loop {
        changes.mark_unchanged();
        // Versions are read first: a change meanwhile is written again, never missed.
        let mut due = projected.versions();
        due.retain(|(id, version)| written.get(id) != Some(version));
        let rows: Vec<P::Row> = due
            .iter()
            .filter_map(|(id, version)| projected.row(id, *version))
            .collect();
        if let Err(error) = store.write(P::TABLE, &rows).await {
            tracing::warn!(%error, table = P::TABLE, "the table of the journal cannot be written and is out of date; trying again");
            tokio::time::sleep(RETRY_AFTER).await;
            continue;
        }
        written.extend(due);
        if changes.changed().await.is_err() {
            return;
        }
    }
}
