//! A seeded simulation of the protocol: the real [`Partition`] and the real [`decide`] against a model of Kafka's offset
//! commit and of ClickHouse's tokens, with crashes, lost answers, late inserts of dead writers, commits that expire or are reset,
//! rebuilds that are registered, and tables restored from a backup between any two steps; each life of the member has limits
//! of its own. One half of the schedules is for a stage whose rows know their records, the other for one whose rows do not, so
//! that nothing can be repaired. Afterwards each record is stored once, the ledger covers the log without a hole, no
//! token was ever used for two contents, and epochs only rise along the log.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use horolog_schemas::RawRecord;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::delivery::{Delivered, How, Job};
use crate::intent::CommitMetadata;
use crate::partition::{Completeness, Limits, Partition, Wanted};
use crate::plan::{Begun, Committed, Facts, LedgerEnd, decide};
use crate::range::PartitionId;
use crate::resolve::Resolved;

const SCHEDULES: u64 = 2_000;
const STEPS: usize = 120;

/// What a piece of a batch is made of: its offsets, and what its intent froze.
type Content = (Vec<i64>, i64, i64, u32);

/// Kafka and ClickHouse.
#[derive(Default)]
struct World {
    /// Offsets of the log; transactions leave holes.
    log: Vec<i64>,
    committed: Option<(i64, String)>,
    tokens: HashMap<String, Content>,
    rows: BTreeMap<i64, u32>,
    ledger: Vec<(i64, i64)>,
    /// Epoch of each batch of the ledger.
    epochs: BTreeMap<i64, u32>,
    /// Whether rows know their records.
    by_offset: bool,
    begun: Vec<Begun>,
    /// What new batches are to be written with.
    write_epoch: u32,
    /// Steps so far: the clock.
    now_ms: i64,
}

impl World {
    fn append(&mut self, random: &mut StdRng) {
        let next = self.log.last().map_or(0, |last| last + 1);
        let hole = i64::from(random.random_bool(0.05));
        self.log.push(next + hole);
    }

    fn insert(&mut self, token: String, content: Content) {
        match self.tokens.get(&token) {
            Some(known) => assert_eq!(known, &content, "{token} was used for two contents"),
            None => {
                for &offset in &content.0 {
                    *self.rows.entry(offset).or_default() += 1;
                }
                self.tokens.insert(token, content);
            }
        }
    }

    /// Restores the tables as they were after so many batches; nothing is known of tokens any more.
    fn restore(&mut self, batches: usize) {
        self.ledger.truncate(batches);
        let end = self.ledger.last().map_or(0, |&(_, end)| end);
        self.rows.retain(|&offset, _| offset < end);
        self.epochs.retain(|&start, _| start < end);
        self.tokens.clear();
    }

    fn has_begun(&self, job: &Job) -> bool {
        self.begun
            .iter()
            .any(|begun| begun.start == job.range.start && begun.intent == job.intent)
    }

    /// The read-back of a recovered range: one copy of each record, and of each one.
    fn read_back(&mut self, offsets: &[i64]) {
        self.rows.extend(offsets.iter().map(|&offset| (offset, 1)));
    }

    fn facts(&self) -> Facts {
        let committed = self.committed.as_ref().map(|(offset, metadata)| Committed {
            offset: *offset,
            metadata: CommitMetadata::decode(metadata).unwrap(),
        });
        let end = self.ledger.iter().map(|&(_, end)| end).max();
        let ledger = end.map(|end| LedgerEnd {
            log_epoch: 1,
            end,
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
        let log_end = self.log.last().map_or(0, |last| last + 1);
        Facts {
            committed,
            ledger,
            log_start: 0,
            log_end,
            rows_end: rows_end.filter(|_| self.by_offset),
            begun: begun.copied(),
            surviving_end: None,
        }
    }
}

/// One life of the member.
struct Life {
    partition: Partition,
    fetched: i64,
    job: Option<Job>,
    limits: Limits,
}

impl Life {
    fn begin(world: &World, random: &mut StdRng) -> Self {
        let plan = decide(&world.facts());
        assert!(
            !plan.new_epoch && plan.gap.is_none(),
            "nothing was made again or lost: {plan:?}"
        );
        let id = PartitionId {
            topic: "metrics".into(),
            partition: 0,
        };
        let resolved = Resolved {
            plan,
            watermark_ms: 0,
            write_epoch: world.write_epoch.max(world.epochs.values().max().copied().unwrap_or(0)),
            partitions: 1,
        };
        let completeness = Completeness {
            allowed_lateness_ms: 0,
            idle_after_ms: 0,
        };
        Self {
            partition: Partition::new(id, &resolved, completeness),
            fetched: plan.fetch_from,
            job: None,
            limits: Limits {
                rows_max: random.random_range(1..12),
                bytes_max: usize::MAX,
                age_max: Duration::ZERO,
                age_min: Duration::ZERO,
            },
        }
    }

    fn fetch(&mut self, world: &World) {
        if self.partition.is_full() {
            return;
        }
        if let Some(&offset) = world.log.iter().find(|&&offset| offset >= self.fetched) {
            let record = RawRecord {
                offset,
                timestamp_ms: 0,
                key: None,
                payload: None,
            };
            self.partition.push(&record, &self.limits, Instant::now(), world.now_ms);
            self.fetched = offset + 1;
        }
    }

    fn close_if_due(&mut self, world: &World) {
        self.partition.close_if_due(&self.limits, Instant::now(), world.now_ms);
    }

    fn commit(&mut self, world: &mut World, random: &mut StdRng) {
        if random.random_bool(0.5) {
            self.partition.set_write_epoch(world.write_epoch);
        }
        let wanted = self
            .partition
            .renewal(i64::MAX / 2, 0)
            .or_else(|| self.partition.wanted_commit(true));
        let Some(wanted) = wanted else { return };
        let reaches_the_broker = random.random_bool(0.9);
        if reaches_the_broker {
            world.committed = Some((wanted.offset, wanted.metadata.encode()));
        }
        if reaches_the_broker && random.random_bool(0.9) {
            self.accepted(&wanted);
        }
        // Else the answer is lost: the identical commit is repeated at a later step.
    }

    fn accepted(&mut self, wanted: &Wanted) {
        if let Some(job) = self.partition.accepted(wanted, 0) {
            self.job = Some(job);
        }
    }

    /// Goes a random part of the way of a delivery; a part that was gone is gone again at the next attempt.
    fn deliver(&mut self, world: &mut World, random: &mut StdRng) {
        let Some(job) = &self.job else { return };
        let parts_done = random.random_range(0..=4);
        if !world.by_offset {
            world.begun.push(Begun {
                start: job.range.start,
                intent: job.intent,
            });
        }
        insert_parts(world, job, parts_done);
        if parts_done == 4 {
            if job.how != How::Fresh && world.by_offset {
                world.read_back(&offsets(job));
            }
            world.ledger.push((job.range.start, job.range.end));
            world.epochs.insert(job.range.start, job.intent.write_epoch);
            let delivered = Delivered {
                end: job.range.end,
                watermark_ms: world.now_ms,
            };
            self.partition.delivered(&delivered);
            self.job = None;
        }
    }
}

fn offsets(job: &Job) -> Vec<i64> {
    job.range.records().iter().map(|record| record.offset).collect()
}

/// Inserts the first pieces of three, or all of them and the rest.
fn insert_parts(world: &mut World, job: &Job, parts: usize) {
    for (number, piece) in offsets(job)
        .chunks(3)
        .enumerate()
        .take(if parts == 4 { usize::MAX } else { parts })
    {
        let range = format!("{}-{}/{number}", job.range.start, job.range.end);
        match job.how {
            How::Fill if world.by_offset => {
                let missing: Vec<i64> = piece
                    .iter()
                    .copied()
                    .filter(|offset| !world.rows.contains_key(offset))
                    .collect();
                world.insert(format!("{range}/fill/{missing:?}"), (missing, 0, 0, 0));
            }
            How::Fresh | How::Repeat | How::Fill => {
                let frozen = job.intent;
                let content = (piece.to_vec(), frozen.watermark_ms, frozen.at_ms, frozen.write_epoch);
                world.insert(range, content);
            }
        }
    }
}

fn run(seed: u64) {
    let random = &mut StdRng::seed_from_u64(seed);
    let mut world = World {
        by_offset: seed.is_multiple_of(2),
        ..World::default()
    };
    let mut life = Life::begin(&world, random);
    let mut dead_writers: Vec<Job> = Vec::new();
    for _ in 0..STEPS {
        world.now_ms += 1;
        match random.random_range(0..100) {
            _ if random.random_bool(0.02) => world.write_epoch += 2,
            // An operator stops the stages, resets the group's offsets, and starts them again.
            _ if random.random_bool(0.01) => {
                let offset = match (&world.committed, world.ledger.is_empty()) {
                    (Some((offset, _)), false) => *offset,
                    _ => 0, // an offset without a ledger is where an operator wants to begin
                };
                world.committed = Some((random.random_range(0..=offset), String::new()));
                dead_writers.clear();
                life = Life::begin(&world, random);
            }
            // An operator stops the stages, restores the tables, and starts them again.
            _ if world.by_offset && random.random_bool(0.005) => {
                // With nothing restored at all, a commit without metadata is where an operator wants to begin.
                let reset = world
                    .committed
                    .as_ref()
                    .is_some_and(|(_, metadata)| metadata.is_empty());
                let least = usize::from(reset).min(world.ledger.len());
                world.restore(random.random_range(least..=world.ledger.len()));
                dead_writers.clear();
                life = Life::begin(&world, random);
            }
            0..30 => world.append(random),
            30..60 => life.fetch(&world),
            60..65 => life.close_if_due(&world),
            65..80 => life.commit(&mut world, random),
            80..92 => life.deliver(&mut world, random),
            92..97 => {
                // kill -9; what it had sent may land later: rows only after the answer that they are begun
                let sent = |job: &Job| job.how != How::Fill && (world.by_offset || world.has_begun(job));
                dead_writers.extend(life.job.take().filter(sent));
                life = Life::begin(&world, random);
            }
            97..99 => {
                for job in dead_writers.drain(..) {
                    insert_parts(&mut world, &job, random.random_range(1..=3));
                }
            }
            // A commit expires only long after its last batch was done.
            _ if life.job.is_none() && life.partition.wanted_commit(true).is_none() => {
                let pending = world
                    .committed
                    .as_ref()
                    .is_some_and(|(_, metadata)| metadata.contains("intent"));
                if !pending {
                    world.committed = None;
                }
            }
            _ => (),
        }
    }
    finish(&mut world, &mut life, random);
    check(&world, seed);
}

/// Without further accidents everything that was produced is stored.
fn finish(world: &mut World, life: &mut Life, random: &mut StdRng) {
    world.append(random); // a record behind a recovered range, whose last records may be holes
    for _ in 0..10_000 {
        life.fetch(world);
        life.close_if_due(world);
        life.commit(world, random);
        life.deliver(world, random);
    }
}

fn check(world: &World, seed: u64) {
    for offset in &world.log {
        assert_eq!(
            world.rows.get(offset),
            Some(&1),
            "seed {seed}: copies of offset {offset}"
        );
    }
    assert_eq!(
        world.rows.len(),
        world.log.len(),
        "seed {seed}: rows that nobody produced"
    );
    let mut ledger = world.ledger.clone();
    ledger.sort_unstable();
    ledger.dedup();
    let mut end = 0;
    for (start, next) in ledger {
        assert_eq!(start, end, "seed {seed}: the ledger has a hole or an overlap");
        end = next;
    }
    assert_eq!(
        Some(end),
        world.log.last().map(|last| last + 1),
        "seed {seed}: the ledger ends early"
    );
    assert!(
        world.epochs.values().is_sorted(),
        "seed {seed}: an epoch fell: {:?}",
        world.epochs
    );
}

#[test]
fn every_record_is_stored_once_whatever_happens_between_two_steps() {
    let first = std::env::var("HOROLOG_SEED").ok().and_then(|seed| seed.parse().ok());
    println!(
        "seeds {} to {} (HOROLOG_SEED sets the first)",
        first.unwrap_or(0),
        first.unwrap_or(0) + SCHEDULES
    );
    for seed in first.unwrap_or(0)..first.unwrap_or(0) + SCHEDULES {
        run(seed);
    }
}
