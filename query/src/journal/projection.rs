//! What the journal says, in ClickHouse, for those who ask in SQL.
//!
//! Enters: things as the journal has them, at the start and whenever it changes. Leaves: a row for each version of a thing that
//! this process has not written yet. Each process writes all of them, and the newest version counts: so a table is whole again
//! after a restore, and nothing has to be agreed on. No service reads it; while the store is away it waits.

use std::collections::HashMap;
use std::time::Duration;

use clickhouse::{RowOwned, RowWrite};
use serde::Serialize;

use super::Journal;
use crate::store::Store;

/// Between two tries while the store is away.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Things of one kind in the journal, and their table, a `ReplacingMergeTree` by version.
pub trait Projected: Send + Sync {
    /// A row of the table.
    type Row: RowOwned + RowWrite + Serialize + Send + Sync;
    /// The table.
    const TABLE: &'static str;

    /// Their ids, each with the offset of the last record that says something of it: rises with every change.
    fn versions(&self) -> Vec<(String, i64)>;

    /// One of them as it is now, as of that version; `None` where this release cannot read it.
    fn row(&self, id: &str, version: i64) -> Option<Self::Row>;
}

/// Keeps the table true to the journal, for ever.
pub async fn project<P: Projected>(projected: P, journal: Journal, store: Store) {
    let mut changes = journal.changes();
    let mut written = HashMap::new();
    loop {
        changes.mark_unchanged();
        // The version is looked up first: what comes meanwhile is written again, never missed.
        let mut due = projected.versions();
        due.retain(|(id, version)| written.get(id) != Some(version));
        let rows: Vec<P::Row> = due
            .iter()
            .filter_map(|(id, version)| projected.row(id, *version))
            .collect();
        if let Err(error) = store.write(P::TABLE, &rows).await {
            tracing::warn!(%error, table = P::TABLE, "what the journal says is not in its table yet");
            tokio::time::sleep(RETRY_AFTER).await;
            continue;
        }
        written.extend(due);
        if changes.changed().await.is_err() {
            return;
        }
    }
}
