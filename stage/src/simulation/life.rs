//! One life of the member: the real partition, fetching, committing and delivering at the steps that the schedule says.

use std::time::{Duration, Instant};

use horolog_schemas::RawRecord;
use rand::RngExt;
use rand::rngs::StdRng;

use super::world::{Content, LEASE_MS, World};
use crate::delivery::{Delivered, How, Job};
use crate::growth::Growth;
use crate::partition::{Batches, Completeness, Limits, Partition, Wanted};
use crate::plan::{Beginning, Recovery, decide};
use crate::range::PartitionId;
use crate::resolve::Resolved;

/// One life of the member.
pub(super) struct Life {
    pub(super) partition: Partition,
    fetched: i64,
    pub(super) job: Option<Job>,
    limits: Limits,
    /// The time of the batch that it repeats first.
    pub(super) repeats_ms: Option<i64>,
    /// How far its clock is ahead of that of the tables, ms.
    ahead_ms: i64,
}

const LATENESS_MS: i64 = 5;
const AHEAD_MS: i64 = 5 * 3_600_000;

impl Life {
    /// What dead writers sent can land until their leases are over, which is waited for if their batch is not repeated
    /// as it was.
    pub(super) fn begin(world: &mut World, dead_writers: &mut Vec<DeadWriter>, random: &mut StdRng) -> Self {
        let is_ahead = random.random_bool(0.1) && !world.is_calm;
        let ahead_ms = if is_ahead { AHEAD_MS } else { 0 };
        let mut facts = world.facts(world.now_ms + ahead_ms);
        let mut plan = decide(&facts);
        if plan.recovers_otherwise(&facts) {
            for writer in dead_writers.drain(..) {
                if random.random_bool(0.5) {
                    writer.land(world);
                }
            }
            facts = world.facts(world.now_ms + ahead_ms);
            plan = decide(&facts);
        }
        assert!(
            matches!(plan.beginning, None | Some(Beginning::First)),
            "nothing was made again: {plan:?}"
        );
        if plan.beginning.is_some() {
            world.begin = Some(plan.start);
        }
        if let Some(gap) = plan.gap {
            world.lost.push(gap);
            if !plan.repeats_a_part() {
                world.ledger.push((gap.start, gap.end));
            }
        }
        if matches!(plan.recovery, Some(Recovery::Fill { .. })) {
            // If the wait was skipped, this lands beside the fill.
            dead_writers.drain(..).for_each(|writer| writer.land(world));
        }
        let id = PartitionId::new("metrics", 0);
        let stated_ms = facts.ledger.map_or(0, |ledger| ledger.stated_ms).max(world.stated_ms);
        let resolved = Resolved {
            plan,
            stated_ms,
            reached_ms: facts.ledger.map_or(0, |ledger| ledger.watermark_ms).max(stated_ms),
            write_epoch: world.write_epoch,
            growth: Growth {
                counted: 1,
                is_whole: true,
            },
            clocks_apart_ms: 2 * LEASE_MS,
            asked_at: Instant::now(),
        };
        let completeness = Completeness {
            allowed_lateness_ms: LATENESS_MS,
            idle_after: Duration::ZERO,
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
            repeats_ms: match plan.recovery {
                Some(Recovery::Repeat(intent)) => Some(intent.at_ms),
                Some(Recovery::Fill { .. }) | None => None,
            },
            ahead_ms,
        }
    }

    fn clock_ms(&self, world: &World) -> i64 {
        world.now_ms + self.ahead_ms
    }

    /// Whether its clock is one of which the tables take nothing.
    pub(super) fn is_ahead(&self) -> bool {
        self.ahead_ms > 0
    }

    /// Its clock is set right. Whether it notices before its next step is a matter of chance.
    pub(super) fn set_clock(&mut self) {
        self.ahead_ms = 0;
    }

    /// States its watermark if it is idle. The answer may be lost.
    pub(super) fn state(&mut self, world: &mut World, random: &mut StdRng) {
        let clock_ms = self.clock_ms(world);
        let log_end = world.log_end();
        let Some(progress) = self
            .partition
            .at_log_end(log_end, clock_ms, world.write_epoch, Instant::now())
        else {
            return;
        };
        if world.accepts(clock_ms) && random.random_bool(0.9) {
            world.state(progress.watermark_ms);
            if random.random_bool(0.9) {
                self.partition.stated(progress.watermark_ms);
            }
        }
    }

    /// Whether the next offset to fetch is no longer in the log: then the partition must be resolved anew.
    pub(super) fn is_out_of_range(&self, world: &World) -> bool {
        self.fetched < world.log_start
    }

    /// Whether it stores what it holds before it begins anew; it may give that up at any time.
    pub(super) fn finishes(&mut self, random: &mut StdRng) -> bool {
        self.partition.finish() && random.random_bool(0.9)
    }

    pub(super) fn fetch(&mut self, world: &World) {
        if self.partition.is_full() {
            return;
        }
        if let Some(offset) = world.record_from(self.fetched) {
            let record = RawRecord {
                offset,
                timestamp_ms: 0,
                key: None,
                payload: None,
            };
            self.partition.push(&record, &self.limits, Instant::now());
            self.fetched = offset + 1;
        }
    }

    pub(super) fn close_if_due(&mut self) {
        self.partition.close_if_due(&self.limits, Instant::now());
    }

    pub(super) fn commit(&mut self, world: &mut World, random: &mut StdRng) {
        if random.random_bool(0.5) {
            self.partition.set_write_epoch(world.write_epoch);
        }
        let clock_ms = self.clock_ms(world);
        let wanted = self
            .partition
            .renewal(clock_ms, 0)
            .or_else(|| self.partition.wanted_commit(Batches::Begin, clock_ms));
        let Some(wanted) = wanted else { return };
        let reaches_the_broker = random.random_bool(0.9);
        if reaches_the_broker {
            world.commit(wanted.offset, wanted.metadata.encode());
        }
        if reaches_the_broker && random.random_bool(0.9) {
            self.accepted(&wanted, clock_ms);
        }
        // Otherwise the answer is lost: the identical commit is repeated at a later step.
    }

    fn accepted(&mut self, wanted: &Wanted, sent_ms: i64) {
        if let Some(job) = self.partition.accepted(wanted, sent_ms) {
            self.job = Some(job);
        }
    }

    /// Completes a random part of a delivery; steps that were done are done again at the next attempt.
    pub(super) fn deliver(&mut self, world: &mut World, random: &mut StdRng) {
        let clock_ms = self.clock_ms(world);
        let Some(job) = self.job.as_ref().filter(|job| is_taken(world, job)) else {
            return; // repeated until the lease is one
        };
        let parts_done = random.random_range(0..=4);
        world.begin(job);
        let mut requests = requests(world, job, clock_ms);
        let row = requests.split_off(requests.len() - 2);
        if parts_done < 4 {
            requests.truncate(parts_done);
        }
        land(world, requests);
        if parts_done == 4 {
            if job.how != How::Fresh && world.by_offset {
                world.read_back(&offsets(job));
            }
            land(world, row);
            let reached_ms = reached_ms(job, clock_ms);
            let delivered = Delivered {
                end: job.range.end,
                reached_ms,
                stated_ms: reached_ms,
            };
            self.partition.delivered(&delivered);
            self.job = None;
        }
    }
}

/// Whether the tables take rows under the lease of a batch.
fn is_taken(world: &World, job: &Job) -> bool {
    job.lease.counts() && world.accepts(job.lease.confirmed_ms())
}

/// What is stated after a batch.
fn reached_ms(job: &Job, clock_ms: i64) -> i64 {
    job.watermark.after_ms(job.intent.watermark_ms, None, clock_ms)
}

fn offsets(job: &Job) -> Vec<i64> {
    job.range.records().iter().map(|record| record.offset).collect()
}

/// What a writer sends for a batch, in this order.
#[derive(Clone)]
enum Request {
    Piece {
        token: String,
        content: Content,
        is_whole: bool,
    },
    LedgerRow {
        start: i64,
        end: i64,
        write_epoch: u32,
        /// What the batch froze, and what is stated after it.
        watermarks: (i64, i64),
    },
    Statement(i64),
}

/// The requests of a delivery that begins now, in pieces of three records.
fn requests(world: &World, job: &Job, clock_ms: i64) -> Vec<Request> {
    let is_whole = job.range.start >= world.log_start;
    let (offsets, reached_ms) = (offsets(job), reached_ms(job, clock_ms));
    let pieces = offsets.chunks(3).enumerate().map(|(number, piece)| {
        let range = format!("{}-{}/{number}", job.range.start, job.range.end);
        let (token, content) = match job.how {
            How::Fill if world.by_offset => {
                let is_missing = |offset: &i64| !world.rows.contains_key(offset);
                let missing: Vec<i64> = piece.iter().copied().filter(is_missing).collect();
                (format!("{range}/fill/{missing:?}"), (missing, 0, 0, 0))
            }
            How::Fresh | How::Repeat | How::Fill => {
                let frozen = job.intent;
                let content = match world.by_offset {
                    true => (piece.to_vec(), 0, 0, 0), // such rows have nothing of what is frozen
                    false => (piece.to_vec(), frozen.watermark_ms, frozen.at_ms, frozen.write_epoch),
                };
                (range, content)
            }
        };
        Request::Piece {
            token,
            content,
            is_whole,
        }
    });
    let row = Request::LedgerRow {
        start: job.range.start,
        end: job.range.end,
        write_epoch: job.intent.write_epoch,
        watermarks: (job.intent.watermark_ms, reached_ms),
    };
    pieces.chain([row, Request::Statement(reached_ms)]).collect()
}

/// The engine does what it was asked to.
fn land(world: &mut World, requests: impl IntoIterator<Item = Request>) {
    for request in requests {
        match request {
            Request::Piece {
                token,
                content,
                is_whole,
            } => world.insert(token, content, is_whole),
            Request::LedgerRow {
                start,
                end,
                write_epoch,
                watermarks,
            } => {
                world.enter((start, end), watermarks);
                world.epochs.insert(start, write_epoch);
            }
            Request::Statement(watermark_ms) => world.state(watermark_ms),
        }
    }
}

/// A writer that was killed or is paused: what it had sent, or sends once it wakes up, lands later or never.
pub(super) struct DeadWriter {
    /// The time of its batch.
    pub(super) at_ms: i64,
    requests: Vec<Request>,
}

impl DeadWriter {
    /// Dies at some point of a delivery. Its last requests are still in flight.
    pub(super) fn of(world: &mut World, job: &Job, random: &mut StdRng) -> Self {
        if !is_taken(world, job) {
            return Self {
                at_ms: job.intent.at_ms,
                requests: Vec::new(),
            };
        }
        world.begin(job);
        let mut requests = requests(world, job, world.now_ms);
        let pieces = requests.len() - 2;
        let landed = random.random_range(0..=pieces);
        let mut late = requests.split_off(landed);
        land(world, requests);
        if job.how != How::Fresh {
            // The range is read back between the pieces and the ledger row.
            match landed == pieces {
                true if world.by_offset => world.read_back(&offsets(job)),
                true => (),
                false => late.truncate(late.len() - 2),
            }
        }
        late.truncate(random.random_range(1..=3));
        Self {
            at_ms: job.intent.at_ms,
            requests: late,
        }
    }

    pub(super) fn land(self, world: &mut World) {
        land(world, self.requests);
    }
}
