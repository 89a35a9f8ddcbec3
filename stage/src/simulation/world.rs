//! Kafka and ClickHouse as the simulation models them: a log with holes and retention, one commit, tables that remember
//! tokens, a ledger.

use std::collections::{BTreeMap, HashMap};

use rand::RngExt;
use rand::rngs::StdRng;

use crate::delivery::Job;
use crate::intent::{CommitMetadata, Committed};
use crate::plan::{Begun, Facts, Gap, LedgerEnd};

/// How far a writer's clock may be from that of the tables, in both directions, ms.
pub(super) const LEASE_MS: i64 = 60_000;

/// A stale commit is at most this many commits old.
const STALE_MAX: usize = 4;

/// The content of a piece of a batch: its offsets, and what its intent froze.
pub(super) type Content = (Vec<i64>, i64, i64, u32);

/// Kafka and ClickHouse.
#[derive(Default)]
pub(super) struct World {
    /// Offsets of all records that were produced; transactions leave holes.
    pub(super) produced: Vec<i64>,
    /// First offset that retention has left.
    pub(super) log_start: i64,
    pub(super) committed: Option<(i64, String)>,
    /// What members committed, in order, since an operator last stopped them all.
    commits: Vec<(i64, String)>,
    tokens: HashMap<String, Content>,
    pub(super) rows: BTreeMap<i64, u32>,
    /// Where the ledger says that it begins.
    pub(super) begin: Option<i64>,
    pub(super) ledger: Vec<(i64, i64)>,
    /// Ranges that were reported as lost unread.
    pub(super) lost: Vec<Gap>,
    /// Epoch of each batch of the ledger.
    pub(super) epochs: BTreeMap<i64, u32>,
    /// Rebuilds that found nobody at work: where the ledger ended, and their epoch of what is stored from there on.
    pub(super) rebuilt: Vec<(i64, u32)>,
    /// Whether rows know their records.
    pub(super) by_offset: bool,
    pub(super) begun: Vec<Begun>,
    /// The epoch of new batches.
    pub(super) write_epoch: u32,
    /// Steps so far: the clock of the tables.
    pub(super) now_ms: i64,
    /// Whether clocks are right from now on.
    pub(super) is_calm: bool,
    /// The largest watermark that the tables have.
    pub(super) stated_ms: i64,
    /// By the end of a batch in the ledger: what it froze, and what was stated after it.
    watermarks: BTreeMap<i64, (i64, i64)>,
    /// By the time of a batch, what was stated before it was begun: its records are on time for no hour before that.
    floors: HashMap<i64, i64>,
}

impl World {
    /// An empty world; `by_offset`: whether rows know their records.
    pub(super) fn new(by_offset: bool) -> Self {
        Self {
            by_offset,
            ..Self::default()
        }
    }

    pub(super) fn append(&mut self, random: &mut StdRng) {
        let hole = i64::from(random.random_bool(0.05));
        self.produced.push(self.log_end() + hole);
    }

    pub(super) fn log_end(&self) -> i64 {
        self.produced.last().map_or(0, |last| last + 1)
    }

    /// The first record that the log has from an offset on.
    pub(super) fn record_from(&self, offset: i64) -> Option<i64> {
        let from = offset.max(self.log_start);
        self.produced.iter().copied().find(|&produced| produced >= from)
    }

    /// Whether the tables take what was confirmed then.
    pub(super) fn accepts(&self, confirmed_ms: i64) -> bool {
        (confirmed_ms - self.now_ms).abs() <= LEASE_MS
    }

    /// A member commits.
    pub(super) fn commit(&mut self, offset: i64, metadata: String) {
        if let Some(intent) = CommitMetadata::decode(&metadata)
            .unwrap()
            .and_then(|metadata| metadata.intent)
        {
            self.floors.entry(intent.at_ms).or_insert(self.stated_ms);
        }
        self.commits.push((offset, metadata.clone()));
        self.committed = Some((offset, metadata));
    }

    /// An operator sets the group's offset, with nobody in it.
    pub(super) fn reset(&mut self, offset: i64) {
        self.commits.clear();
        self.committed = Some((offset, String::new()));
    }

    /// One of the last commits, sent again under a newer generation, overwrites what is there.
    pub(super) fn commit_stale(&mut self, random: &mut StdRng) {
        let back = random.random_range(1..=STALE_MAX);
        if let Some(stale) = self.commits.iter().rev().nth(back) {
            self.committed = Some(stale.clone());
        }
    }

    /// Retention deletes records, whether they were read or not.
    pub(super) fn retain(&mut self, random: &mut StdRng) {
        self.log_start = random.random_range(self.log_start..=self.log_end());
    }

    /// A token is used for one content only, unless the log lost a part of it in between.
    pub(super) fn insert(&mut self, token: String, content: Content, is_whole: bool) {
        match self.tokens.get(&token) {
            Some(known) => assert!(!is_whole || *known == content, "{token} was used for two contents"),
            None => {
                self.check_watermark(&token, &content);
                for &offset in &content.0 {
                    *self.rows.entry(offset).or_default() += 1;
                }
                self.tokens.insert(token, content);
            }
        }
    }

    /// The watermark of rows is of no clock that was ahead, and nothing was stated beyond it before they were begun.
    fn check_watermark(&self, token: &str, (_, watermark_ms, at_ms, _): &Content) {
        let latest_ms = self.now_ms + 2 * LEASE_MS;
        assert!(*at_ms <= latest_ms, "{token} is of a clock that was ahead");
        assert!(
            *watermark_ms <= latest_ms,
            "{token} froze the watermark of a clock that was ahead"
        );
        let floor_ms = self.floors.get(at_ms).copied().unwrap_or(0);
        assert!(
            *watermark_ms >= floor_ms,
            "{token} froze {watermark_ms}, though {floor_ms} was stated"
        );
    }

    /// A row of the ledger; copies of it replace one another.
    pub(super) fn enter(&mut self, batch: (i64, i64), watermarks: (i64, i64)) {
        if !self.ledger.contains(&batch) {
            self.ledger.push(batch);
        }
        self.watermarks.insert(batch.1, watermarks);
    }

    /// The tables are told a watermark.
    pub(super) fn state(&mut self, watermark_ms: i64) {
        self.stated_ms = self.stated_ms.max(watermark_ms);
    }

    /// Restores the tables as they were after so many batches; tokens are forgotten.
    pub(super) fn restore(&mut self, batches: usize) {
        self.ledger.truncate(batches);
        let end = self.ledger.last().map_or(0, |&(_, end)| end);
        self.rows.retain(|&offset, _| offset < end);
        self.epochs.retain(|&start, _| start < end);
        self.rebuilt.retain(|&(of, _)| of <= end);
        self.begun.retain(|begun| begun.start < end);
        self.watermarks.retain(|&of, _| of <= end);
        self.stated_ms = self
            .watermarks
            .values()
            .map(|(_, reached_ms)| *reached_ms)
            .max()
            .unwrap_or(0);
        self.tokens.clear();
        self.commits.clear();
    }

    /// A stage whose rows do not know their records enters the batch in the ledger first.
    pub(super) fn begin(&mut self, job: &Job) {
        if !self.by_offset {
            self.begun.push(Begun {
                start: job.range.start,
                intent: job.intent,
            });
        }
    }

    /// A rebuild is registered and becomes visible while nobody works. For a batch that was begun it would wait.
    pub(super) fn rebuild(&mut self) {
        self.write_epoch += 2;
        let facts = self.facts(self.now_ms);
        if facts.begun.is_none() {
            let end = facts.ledger.map_or(0, |ledger| ledger.end);
            self.rebuilt.push((end, self.write_epoch));
        }
    }

    /// The read-back of a recovered range: leaves one copy of each of its records.
    pub(super) fn read_back(&mut self, offsets: &[i64]) {
        self.rows.extend(offsets.iter().map(|&offset| (offset, 1)));
    }

    /// What whoever has this clock finds out.
    pub(super) fn facts(&self, clock_ms: i64) -> Facts {
        let committed = self.committed.as_ref().map(|(offset, metadata)| Committed {
            offset: *offset,
            metadata: CommitMetadata::decode(metadata).unwrap(),
        });
        let end = self.ledger.iter().map(|&(_, end)| end).max().or(self.begin);
        let ledger = end.map(|end| LedgerEnd {
            log_epoch: 1,
            end,
            watermark_ms: self
                .watermarks
                .values()
                .map(|(frozen_ms, _)| *frozen_ms)
                .max()
                .unwrap_or(0),
            stated_ms: self
                .watermarks
                .values()
                .map(|(_, reached_ms)| *reached_ms)
                .max()
                .unwrap_or(0),
            tail_matches: Some(true),
        });
        let from = [committed.map(|c| c.offset), end]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(0);
        let rows_end = self.rows.range(from..).next_back().map(|(offset, _)| offset + 1);
        let is_stored = |begun: &Begun| self.ledger.contains(&(begun.start, begun.intent.end));
        let begun = self
            .begun
            .iter()
            .find(|begun| begun.start >= end.unwrap_or(0) && !is_stored(begun));
        Facts {
            committed,
            ledger,
            log_start: self.log_start,
            log_end: self.log_end(),
            rows_end: rows_end.filter(|_| self.by_offset),
            is_refused: committed
                .and_then(Committed::intent)
                .is_some_and(|intent| intent.at_ms > clock_ms + 2 * LEASE_MS),
            rows_know_records: self.by_offset,
            begun: begun.copied(),
            write_epoch: if self.by_offset { 0 } else { self.write_epoch },
            pending_matches: Some(true),
            announced_start: None,
            others: None,
            surviving_end: None,
        }
    }
}
