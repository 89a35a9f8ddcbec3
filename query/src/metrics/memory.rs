//! Rows that were merged before, and are still what the store would give.
//!
//! A question about one page is cut into parts: days of hours, months of days and months. A part's rows are kept with the part's version, which
//! the store tells without merging anything: how many samples its hours have in all epochs, and which rebuilds are visible. Partial aggregates
//! are only ever added, so that rows change only together with the version. The version is read before the rows, so that rows are never
//! kept under a version that is newer than they are. What has another version is asked for anew; of a dashboard that is looked
//! at while records arrive, that is the last day or month.
//!
//! Guarantees: rows are found by the whole statement that made them, tenant, teams and filters included; memory is bounded, what was not
//! used for longest goes first. Never asks the store itself. Like every claim of completeness it relies on reads that see what reads before
//! them saw: with replicas, that is `clickhouse.quorum`.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use clickhouse::Row;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::metrics::point::StoredPoint;
use crate::store::TenantSelect;

/// What rows are kept by: a hash of a statement and its values.
type Key = [u8; 32];

/// Rows of a part, in order.
pub type KeptRows = Arc<[Arc<StoredPoint>]>;

/// How the store tells what a part holds.
#[derive(Debug, Clone, Copy, Row, Deserialize)]
pub struct StoredPart {
    /// Start of the part, seconds since 1970.
    pub part: u32,
    samples: u64,
    rebuilds: u64,
    /// Rows that its partial aggregates take, which is no fewer than they make. Merges of the engine change it.
    pub partials: u64,
}

impl StoredPart {
    /// What changes with its rows.
    pub fn version(&self) -> PartVersion {
        PartVersion {
            samples: self.samples,
            rebuilds: self.rebuilds,
        }
    }
}

/// What changes when the rows of a part do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartVersion {
    samples: u64,
    rebuilds: u64,
}

/// The rows of parts.
#[derive(Debug, Clone)]
pub struct Memory {
    kept: Arc<Mutex<Kept>>,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Kept {
    parts: HashMap<Key, Part>,
    /// By when they were last used.
    order: BTreeMap<u64, Key>,
    uses: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Part {
    version: PartVersion,
    rows: KeptRows,
    bytes: usize,
    used: u64,
}

impl Memory {
    /// Of at most about so many bytes; of none at all it remembers nothing.
    pub fn new(bytes_max: usize) -> Self {
        Self {
            kept: Arc::default(),
            bytes_max,
        }
    }

    /// Whether it can hold anything.
    pub fn is_off(&self) -> bool {
        self.bytes_max == 0
    }

    /// The rows that a statement gave when its part had this version.
    pub fn get(&self, select: &TenantSelect, version: PartVersion) -> Option<KeptRows> {
        let key = key(select);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.touch(&key);
        let part = kept.parts.get(&key).filter(|part| part.version == version)?;
        Some(Arc::clone(&part.rows))
    }

    /// Keeps the rows that a statement gave after its part had this version.
    pub fn put(&self, select: &TenantSelect, version: PartVersion, rows: KeptRows) {
        let bytes = size_of::<Part>() + size_of::<Key>() + rows.iter().map(|row| row.bytes()).sum::<usize>();
        if bytes > self.bytes_max {
            return;
        }
        let key = key(select);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.remove(&key);
        while kept.bytes.saturating_add(bytes) > self.bytes_max && kept.remove_oldest() {}
        kept.bytes += bytes;
        let part = Part {
            version,
            rows,
            bytes,
            used: 0,
        };
        kept.parts.insert(key, part);
        kept.touch(&key);
    }
}

impl Kept {
    fn touch(&mut self, key: &Key) {
        let Some(part) = self.parts.get_mut(key) else { return };
        self.uses += 1;
        self.order.remove(&part.used);
        part.used = self.uses;
        self.order.insert(self.uses, *key);
    }

    fn remove(&mut self, key: &Key) {
        if let Some(part) = self.parts.remove(key) {
            self.order.remove(&part.used);
            self.bytes -= part.bytes;
        }
    }

    fn remove_oldest(&mut self) -> bool {
        let oldest = self.order.first_key_value().map(|(_, key)| *key);
        oldest.inspect(|key| self.remove(key)).is_some()
    }
}

/// Lengths stand before what they are of, so that no two statements have the same text.
fn key(select: &TenantSelect) -> Key {
    let mut hash = Sha256::new();
    let mut add = |text: &str| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    };
    add(select.sql());
    for (name, value) in select.parameters() {
        add(name);
        add(&format!("{value:?}"));
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::access::{Caller, TenantId};
    use crate::store::Relation;

    const VERSION: PartVersion = PartVersion {
        samples: 10,
        rebuilds: 1,
    };

    fn statement(tenant: &str) -> TenantSelect {
        let caller = Caller::of(TenantId::new(tenant).unwrap());
        TenantSelect::new(&caller, Relation::PartialHours, "r.hour")
    }

    fn rows(count: usize) -> KeptRows {
        (0..count).map(|_| Arc::default()).collect()
    }

    #[test]
    fn rows_are_those_of_the_version_and_of_the_tenant() {
        let memory = Memory::new(1 << 20);
        memory.put(&statement("red"), VERSION, rows(3));
        assert_eq!(memory.get(&statement("red"), VERSION).unwrap().len(), 3);
        assert_eq!(memory.get(&statement("blue"), VERSION), None);
        for other in [
            PartVersion { samples: 11, ..VERSION },
            PartVersion { rebuilds: 2, ..VERSION },
        ] {
            assert_eq!(memory.get(&statement("red"), other), None);
        }
        let newer = PartVersion { samples: 11, ..VERSION };
        memory.put(&statement("red"), newer, rows(4));
        assert_eq!(memory.get(&statement("red"), newer).unwrap().len(), 4);
        assert_eq!(
            memory.get(&statement("red"), VERSION),
            None,
            "there is one version of a part"
        );
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let memory = Memory::new(3 * (size_of::<Part>() + size_of::<Key>() + 10 * StoredPoint::default().bytes()));
        for tenant in ["a", "b", "c"] {
            memory.put(&statement(tenant), VERSION, rows(10));
        }
        assert!(memory.get(&statement("a"), VERSION).is_some());
        memory.put(&statement("d"), VERSION, rows(10));
        let left = ["a", "b", "c", "d"].map(|tenant| memory.get(&statement(tenant), VERSION).is_some());
        assert_eq!(left, [true, false, true, true]);
    }

    proptest! {
        #[test]
        fn memory_is_bounded_and_accounted_for(puts in prop::collection::vec((0u32..20, 0usize..30), 0..200)) {
            let memory = Memory::new(20_000);
            for (tenant, count) in puts {
                memory.put(&statement(&format!("t{tenant}")), VERSION, rows(count));
                let kept = memory.kept.lock().unwrap();
                prop_assert!(kept.bytes <= 20_000);
                prop_assert_eq!(kept.bytes, kept.parts.values().map(|part| part.bytes).sum::<usize>());
                prop_assert_eq!(kept.order.len(), kept.parts.len());
            }
        }
    }
}
