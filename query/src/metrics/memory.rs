//! Rows that were merged before, and are still what the store would give.
//!
//! A question about one page is cut into parts: days, or months of months. A part's rows are kept with what its hours were made of when they
//! were asked for, which is told by one look at the store for all requests ([`crate::metrics::look`]), and with their version: how many samples the
//! part's hours have in all epochs, and which rebuilds are visible. While the contents are the same, so are the rows. When they are not, the version
//! tells whether this part is among what changed: partial aggregates are only ever added, so that rows change only together with it. Contents
//! and version are read before the rows, so that rows are never kept under anything that is newer than they are.
//!
//! Guarantees: rows are found by the whole statement that made them, tenant, teams and filters included; memory is bounded, what was not
//! used for longest goes first; of equal questions one at a time merges. Never asks the store itself. Like every claim of completeness it relies
//! on reads that see what reads before them saw: with replicas, that is `clickhouse.quorum`.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use clickhouse::Row;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::api::instant::Span;
use crate::api::places::{Place, Places};
use crate::metrics::look::Contents;
use crate::metrics::points::{Account, Points};
use crate::store::TenantSelect;

/// A question: a hash of the statement that asks for rows of any span, and its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct QuestionId([u8; 32]);

impl QuestionId {
    /// Lengths stand before what they are of, so that no two statements have the same text.
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

/// A part of a question: its span.
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

/// How the store tells what a part holds.
#[derive(Debug, Clone, Copy, Row, Deserialize)]
pub struct StoredPart {
    /// Start of the part, seconds since 1970.
    pub part: u32,
    /// How many samples its hours have, in all epochs.
    pub samples: u64,
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

/// What was asked about a part before its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KnownVersion {
    /// Its version; `None` where there is nothing in it.
    Of(Option<PartVersion>),
    /// Nothing: its rows are right for as long as its contents are the same.
    NotAsked,
}

/// The rows of a part, and what they are rows of.
#[derive(Debug, Clone)]
pub struct Known {
    /// What its hours were made of.
    pub contents: Contents,
    /// Its version then.
    pub version: KnownVersion,
    /// Its rows.
    pub rows: Arc<Points>,
}

/// The rows of parts.
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
    /// By when they were last used.
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
    /// Of at most about so many bytes; of none at all it remembers nothing.
    pub fn new(bytes_max: usize) -> Self {
        Self {
            kept: Arc::default(),
            turns: Places::new(1),
            series: Account::default(),
            bytes_max,
        }
    }

    /// Whether it can hold anything.
    pub fn is_off(&self) -> bool {
        self.bytes_max == 0
    }

    /// What the series of rows are accounted for in that may be kept.
    pub fn series_account(&self) -> Account {
        Arc::clone(&self.series)
    }

    /// The turn of merging what is not remembered of a question, held until it is dropped; `None` while another has it.
    pub fn try_turn(&self, question: QuestionId) -> Option<Place> {
        self.turns.try_take(question)
    }

    /// The same, once the others had theirs.
    pub async fn turn(&self, question: QuestionId) -> Option<Place> {
        self.turns.take(question).await.ok()
    }

    /// What is known of parts, in their order.
    pub fn get<'a>(&self, ids: impl IntoIterator<Item = &'a PartId>) -> Vec<Option<Known>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        ids.into_iter().map(|id| kept.touch(id)).collect()
    }

    /// Keeps what is known of a part.
    pub fn put(&self, id: PartId, known: Known) {
        let bytes = size_of::<Part>() + size_of::<PartId>() + known.rows.bytes();
        if bytes > self.bytes_max {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
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
        let one = measure.kept.lock().unwrap().bytes + measure.series.load(Ordering::Relaxed);
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
                let kept = memory.kept.lock().unwrap();
                prop_assert!(kept.bytes + memory.series.load(Ordering::Relaxed) <= 20_000);
                prop_assert_eq!(kept.bytes, kept.parts.values().map(|part| part.bytes).sum::<usize>());
                prop_assert_eq!(kept.order.len(), kept.parts.len());
            }
        }
    }
}
