//! Cache of merged rows that are still what the store would return.
//!
//! A question that fits one page is split into parts: days, or months if it is by month. A part's rows are kept with
//! the contents of its hours when they were read, from a look at the store that all requests share
//! ([`crate::metrics::look`]), and with their version: how many samples the part's hours have in all epochs, and which
//! rebuilds are visible. While the contents are the same, so are the rows. When they differ, the version tells whether
//! this part changed: partial aggregates are only ever added, so rows change only together with it. Contents are read
//! before the rows, and so is the version unless the rows themselves tell it, so rows are never kept under anything newer
//! than they are.
//!
//! Guarantees: rows are found only by the whole statement that made them, including tenant, teams and filters; memory
//! is bounded and the least recently used go first; of equal questions, one at a time merges. Never asks the store
//! itself. Like every claim of completeness, it relies on reads that see what earlier reads saw: with replicas, that
//! needs `clickhouse.quorum`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use clickhouse::Row;
use parking_lot::Mutex;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::api::instant::Span;
use crate::api::places::{Place, Places};
use crate::metrics::look::Contents;
use crate::metrics::points::{Account, Points};
use crate::store::TenantSelect;

/// A question, regardless of its span: a hash of its statement and parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct QuestionId([u8; 32]);

impl QuestionId {
    /// Lengths are hashed before their values, so that no two statements yield the same input.
    pub fn of(select: &TenantSelect) -> Self {
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
        Self(hash.finalize().into())
    }
}

/// A part of a question, by its span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PartId {
    question: QuestionId,
    span: Span,
}

impl PartId {
    /// Of a question.
    pub fn new(question: QuestionId, span: Span) -> Self {
        Self { question, span }
    }
}

/// A part's contents according to the store.
#[derive(Debug, Clone, Copy, Row, Deserialize)]
pub struct StoredPart {
    /// Start of the part, seconds since 1970.
    pub part: u32,
    /// Number of samples of its hours in all epochs.
    pub samples: u64,
    rebuilds: u64,
    /// Number of its partial aggregates, an upper bound of its merged rows. Merges of the engine change it.
    pub partials: u64,
}

impl StoredPart {
    /// The version of its rows.
    pub fn version(&self) -> PartVersion {
        PartVersion {
            samples: self.samples,
            rebuilds: self.rebuilds,
        }
    }
}

/// Changes whenever the rows of a part do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartVersion {
    samples: u64,
    rebuilds: u64,
}

/// What is known of the version of a part's rows, which is never newer than they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KnownVersion {
    /// Its version; `None` if it is empty.
    Of(Option<PartVersion>),
    /// Unknown: its rows are valid only while its contents are the same.
    NotAsked,
}

impl KnownVersion {
    /// That of rows merged where no rebuild is visible, by their own number of samples. A version that is asked for
    /// later is of all epochs: if it is the same, nothing was added in any of them.
    pub fn of_unrebuilt(samples: u64) -> Self {
        let version = PartVersion { samples, rebuilds: 0 };
        Self::Of((samples > 0).then_some(version))
    }
}

/// The rows of a part, and what they were made of.
#[derive(Debug, Clone)]
pub struct Known {
    /// The contents of its hours then.
    pub contents: Contents,
    /// Its version then.
    pub version: KnownVersion,
    /// Its rows.
    pub rows: Arc<Points>,
}

/// The cached rows of parts.
#[derive(Debug, Clone)]
pub struct Memory {
    kept: Arc<Mutex<Kept>>,
    turns: Places<QuestionId>,
    series: Account,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Kept {
    parts: HashMap<PartId, Part>,
    /// Parts by last use.
    order: BTreeMap<u64, PartId>,
    uses: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Part {
    known: Known,
    bytes: usize,
    used: u64,
}

impl Memory {
    /// At most about this many bytes; with 0 nothing is cached.
    pub fn new(bytes_max: usize) -> Self {
        Self {
            kept: Arc::default(),
            turns: Places::new(1),
            series: Account::default(),
            bytes_max,
        }
    }

    /// Whether it caches nothing.
    pub fn is_off(&self) -> bool {
        self.bytes_max == 0
    }

    /// The account for the memory of the cached rows' series.
    pub fn series_account(&self) -> Account {
        Arc::clone(&self.series)
    }

    /// The turn to merge what is not cached of a question, held until it is dropped; `None` while another request has
    /// it.
    pub fn try_turn(&self, question: QuestionId) -> Option<Place> {
        self.turns.try_take(question)
    }

    /// The same, waiting for the others.
    pub async fn turn(&self, question: QuestionId) -> Option<Place> {
        self.turns.take(question).await.ok()
    }

    /// What is cached of parts, in their order.
    pub fn get<'a>(&self, ids: impl IntoIterator<Item = &'a PartId>) -> Vec<Option<Known>> {
        let mut kept = self.kept.lock();
        ids.into_iter().map(|id| kept.touch(id)).collect()
    }

    /// Caches what is known of a part.
    pub fn put(&self, id: PartId, known: Known) {
        let bytes = size_of::<Part>() + size_of::<PartId>() + known.rows.bytes();
        if bytes > self.bytes_max {
            return;
        }
        let mut kept = self.kept.lock();
        kept.remove(&id);
        let room = |kept: &Kept| {
            let all = kept
                .bytes
                .saturating_add(bytes)
                .saturating_add(self.series.load(Ordering::Relaxed));
            all <= self.bytes_max
        };
        while !room(&kept) && kept.remove_oldest() {}
        if !room(&kept) {
            return;
        }
        kept.bytes += bytes;
        let part = Part { known, bytes, used: 0 };
        kept.parts.insert(id, part);
        kept.touch(&id);
    }
}

impl Kept {
    fn touch(&mut self, id: &PartId) -> Option<Known> {
        let part = self.parts.get_mut(id)?;
        self.uses += 1;
        self.order.remove(&part.used);
        part.used = self.uses;
        self.order.insert(self.uses, *id);
        Some(part.known.clone())
    }

    fn remove(&mut self, id: &PartId) {
        if let Some(part) = self.parts.remove(id) {
            self.order.remove(&part.used);
            self.bytes -= part.bytes;
        }
    }

    fn remove_oldest(&mut self) -> bool {
        let oldest = self.order.first_key_value().map(|(_, id)| *id);
        oldest.inspect(|id| self.remove(id)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::access::{Caller, TenantId};
    use crate::api::Instant;
    use crate::metrics::point::StoredPoint;
    use crate::metrics::points::SeriesSet;
    use crate::store::Relation;

    fn part(tenant: &str, day: u32) -> PartId {
        let caller = Caller::of(TenantId::new(tenant).unwrap());
        let select = TenantSelect::new(&caller, Relation::PartialHours, "r.hour");
        let edge = |day: u32| Some(Instant::from_seconds(86_400 * day));
        let span = Span {
            from: edge(day),
            to: edge(day + 1),
        };
        PartId::new(QuestionId::of(&select), span)
    }

    fn known(memory: &Memory, count: u32) -> Known {
        let mut series = SeriesSet::new(vec!["service_id"], memory.series_account());
        let rows = (0..count)
            .map(|row| StoredPoint::of("latency", row / 3, &[["x", "y", "z"][row as usize % 3]], &[1], &[2.0]));
        Known {
            contents: Contents::numbered(count.into()),
            version: KnownVersion::NotAsked,
            rows: Arc::new(Points::new(rows, &mut series)),
        }
    }

    fn rows(memory: &Memory, id: PartId) -> Option<usize> {
        memory.get([&id]).remove(0).map(|known| known.rows.len())
    }

    #[test]
    fn rows_are_those_of_the_question_and_of_the_part() {
        let memory = Memory::new(1 << 20);
        memory.put(part("red", 1), known(&memory, 3));
        assert_eq!(rows(&memory, part("red", 1)), Some(3));
        assert_eq!(rows(&memory, part("blue", 1)), None);
        assert_eq!(rows(&memory, part("red", 2)), None);
        memory.put(part("red", 1), known(&memory, 4));
        assert_eq!(rows(&memory, part("red", 1)), Some(4), "of a part there is one state");
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let measure = Memory::new(1 << 20);
        measure.put(part("a", 0), known(&measure, 10));
        let one = measure.kept.lock().bytes + measure.series.load(Ordering::Relaxed);
        let memory = Memory::new(3 * one + one / 2);
        for tenant in ["a", "b", "c"] {
            memory.put(part(tenant, 0), known(&memory, 10));
        }
        assert!(rows(&memory, part("a", 0)).is_some());
        memory.put(part("d", 0), known(&memory, 10));
        let left = ["a", "b", "c", "d"].map(|tenant| rows(&memory, part(tenant, 0)).is_some());
        assert_eq!(left, [true, false, true, true]);
    }

    proptest! {
        #[test]
        fn memory_is_bounded_and_accounted_for(puts in prop::collection::vec((0u32..20, 0u32..30), 0..200)) {
            let memory = Memory::new(20_000);
            for (day, count) in puts {
                memory.put(part("red", day), known(&memory, count));
                let kept = memory.kept.lock();
                prop_assert!(kept.bytes + memory.series.load(Ordering::Relaxed) <= 20_000);
                prop_assert_eq!(kept.bytes, kept.parts.values().map(|part| part.bytes).sum::<usize>());
                prop_assert_eq!(kept.order.len(), kept.parts.len());
            }
        }
    }
}
