//! The parts of the tables over a run: how many were created, and the most that existed at once.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::watch::Receiver;

use crate::results::TableFigures;
use crate::store::{Parts, Store};

/// Time between two samples: merges remove parts within seconds.
const INTERVAL: Duration = Duration::from_secs(2);

/// Timeout of a sample: the target is down.
const LOOK_DEADLINE: Duration = Duration::from_secs(10);

/// Samples until the run is over; returns the figures.
pub async fn watch(store: Store, mut over: Receiver<bool>) -> Vec<TableFigures> {
    let mut tables: BTreeMap<String, Table> = BTreeMap::new();
    let mut interval = tokio::time::interval(INTERVAL);
    let mut last = false;
    while !last {
        last = tokio::select! {
            _ = interval.tick() => false,
            _ = over.wait_for(|over| *over) => true,
        };
        // A target that is down is asked again at the next sample.
        let looking = tokio::time::timeout(LOOK_DEADLINE, store.parts());
        let parts = tokio::select! {
            parts = looking => parts,
            // The last sample follows, which a target that hangs holds up for the deadline at most.
            _ = over.wait_for(|over| *over), if !last => continue,
        };
        for parts in parts.ok().and_then(Result::ok).unwrap_or_default() {
            tables
                .entry(parts.table.clone())
                .or_insert_with(|| Table::new(&parts))
                .look(&parts);
        }
    }
    tables.into_iter().map(|(name, table)| table.figures(name)).collect()
}

struct Table {
    made_before: i64,
    now: Parts,
    active_max: u64,
}

impl Table {
    fn new(parts: &Parts) -> Self {
        Self {
            made_before: parts.made,
            now: parts.clone(),
            active_max: parts.active,
        }
    }

    fn look(&mut self, parts: &Parts) {
        self.active_max = self.active_max.max(parts.active);
        self.now = parts.clone();
    }

    fn figures(self, table: String) -> TableFigures {
        TableFigures {
            table,
            parts_made: self.now.made - self.made_before,
            parts_active_max: self.active_max,
            rows: self.now.rows,
            bytes: self.now.bytes,
        }
    }
}
