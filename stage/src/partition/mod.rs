//! One assigned partition as a state machine. Enters: records, acceptances and outcomes. Leaves: commits and jobs. No
//! I/O, no clock.
//!
//! ```text
//!            close range            commit accepted           delivered
//!   Idle ──────────────► (closed) ─────────────────► Delivering ─────────► Delivered ──┐
//!    ▲                                                                                  │ commit of the end accepted,
//!    └──────────────────────────────────────────────────────────────────────────────────┘ with the next intent: Delivering
//! ```

mod course;
mod end_of_log;
mod limits;
mod watermark;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use horolog_schemas::{RULES_VERSION, RawRecord};

pub use self::course::Course;
pub use self::limits::Limits;
use self::limits::QUIET;
pub use self::watermark::{Completeness, Watermark};
use crate::delivery::{Delivered, How, Job};
use crate::growth::Growth;
use crate::intent::{CommitMetadata, Intent};
use crate::lease::{CLOCK_SET_BACK_MS, Lease};
use crate::plan::Recovery;
use crate::range::{Filling, PartitionId, Range};
use crate::resolve::Resolved;

/// What may become of closed ranges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Batches {
    /// The next one may begin.
    Begin,
    /// Only finish what is in progress.
    OnlyFinish,
}

/// A closed range that waits for its intent to be committed.
struct Closed {
    range: Range,
    how: How,
    /// Frozen when it first goes into a commit, so that a repeated commit is identical.
    intent: Option<Intent>,
}

enum Phase {
    Idle,
    Delivering { intent: Intent, lease: Lease, bytes: usize },
    Delivered { end: i64 },
    Stopped,
}

/// A commit that the partition wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// The offset.
    pub offset: i64,
    /// Its metadata.
    pub metadata: CommitMetadata,
    /// Whether it repeats what is committed, to renew the lease.
    pub renews: bool,
}

/// An assigned partition whose start is known.
pub struct Partition {
    /// Which.
    pub id: PartitionId,
    growth: Growth,
    log_epoch: u32,
    committed: i64,
    watermark: Watermark,
    /// See [`Completeness`].
    idle_after: Duration,
    /// See [`Resolved`].
    clocks_apart_ms: i64,
    write_epoch: u32,
    filling: Filling,
    /// When the last record came.
    last_record: Option<Instant>,
    closed: VecDeque<Closed>,
    recovery: Option<Recovery>,
    phase: Phase,
    /// The next offset to arrive, and since when there has been room for it.
    silent_since: Option<(i64, Instant)>,
    course: Course,
}

impl Partition {
    /// A partition that continues where `plan` says.
    pub fn new(id: PartitionId, resolved: &Resolved, completeness: Completeness) -> Self {
        let plan = &resolved.plan;
        Self {
            id,
            growth: resolved.growth,
            log_epoch: plan.log_epoch,
            committed: plan.start,
            watermark: Watermark::new(
                resolved.stated_ms,
                resolved.reached_ms,
                completeness.allowed_lateness_ms,
            ),
            idle_after: completeness.idle_after,
            clocks_apart_ms: resolved.clocks_apart_ms,
            write_epoch: resolved.write_epoch,
            filling: Filling::new(plan.start),
            last_record: None,
            closed: VecDeque::new(),
            recovery: plan.recovery,
            phase: Phase::Idle,
            silent_since: None,
            course: Course::GoesOn,
        }
    }

    /// Life of its log.
    pub fn log_epoch(&self) -> u32 {
        self.log_epoch
    }

    /// Takes the next record.
    pub fn push(&mut self, record: &RawRecord<'_>, limits: &Limits, now: Instant) {
        if !self.takes_records() {
            return; // its records stay in the log
        }
        if let Some(end) = self.recovery_end()
            && record.offset >= end
        {
            self.close(end); // the last records of the recovered range are gone from the log
        }
        self.filling.push(record, now);
        self.last_record = Some(now);
        let recovered = self.recovery_end() == Some(self.filling.next());
        // The limits of a repeated range are those of whoever began it.
        if recovered || (!self.is_repeating() && limits.are_reached(&self.filling)) {
            self.close(self.filling.next());
        }
    }

    /// Closes the range if it is old enough and no other is ahead of it.
    pub fn close_if_due(&mut self, limits: &Limits, now: Instant) {
        let is_busy = self.is_delivering() || !self.closed.is_empty();
        let is_quiet = !self.had_record_within(QUIET, now);
        if !is_busy && !self.is_repeating() && limits.is_old(&self.filling, is_quiet, now) {
            self.close(self.filling.next());
        }
    }

    /// Whether a record arrived within the last `time`.
    pub fn had_record_within(&self, time: Duration, now: Instant) -> bool {
        self.last_record
            .is_some_and(|last| now.saturating_duration_since(last) <= time)
    }

    /// Whether it has as much in progress as it may.
    pub fn is_full(&self) -> bool {
        match self.phase {
            _ if !self.takes_records() => true,
            Phase::Delivering { .. } => !self.closed.is_empty(),
            Phase::Idle | Phase::Delivered { .. } | Phase::Stopped => self.closed.len() > 1, // the broker does not take our commits
        }
    }

    /// Memory of its records.
    pub fn bytes(&self) -> usize {
        let delivering = match self.phase {
            Phase::Delivering { bytes, .. } => bytes,
            _ => 0,
        };
        delivering + self.filling.bytes() + self.closed.iter().map(|closed| closed.range.bytes()).sum::<usize>()
    }

    /// The commit it wants: the end of what is delivered, the next intent, or both.
    ///
    /// The time of a batch is that of its intent, not of the closing of its range: the range may have waited for the
    /// batch before it for as long as nothing could be inserted, and nobody knew its records meanwhile.
    pub fn wanted_commit(&mut self, batches: Batches, now_ms: i64) -> Option<Wanted> {
        let offset = match self.phase {
            Phase::Idle => self.committed,
            Phase::Delivered { end } => end,
            Phase::Delivering { .. } | Phase::Stopped => return None,
        };
        let watermark_ms = self.watermark.frozen_ms(now_ms);
        let write_epoch = self.write_epoch;
        let begins = batches == Batches::Begin && matches!(self.course, Course::GoesOn | Course::Finishes);
        let intent = self.closed.front_mut().filter(|_| begins).map(|closed| {
            *closed.intent.get_or_insert(Intent {
                end: closed.range.end,
                rules_version: RULES_VERSION,
                watermark_ms,
                at_ms: now_ms,
                write_epoch,
                fill: closed.how == How::Fill,
                tail: closed.range.tail(),
            })
        });
        let wanted = matches!(self.phase, Phase::Delivered { .. }) || intent.is_some();
        wanted.then(|| Wanted {
            offset,
            metadata: CommitMetadata::new(self.log_epoch, intent),
            renews: false,
        })
    }

    /// The commit that renews the lease of the batch in progress, if the lease is at least `age_ms` old.
    pub fn renewal(&self, now_ms: i64, age_ms: u64) -> Option<Wanted> {
        match &self.phase {
            Phase::Delivering { intent, lease, .. } if lease.age_ms(now_ms) >= age_ms => Some(Wanted {
                offset: self.committed,
                metadata: CommitMetadata::new(self.log_epoch, Some(*intent)),
                renews: true,
            }),
            _ => None,
        }
    }

    /// The broker accepted `wanted`, sent at `sent_ms`; returns the batch that can be delivered now, if any.
    pub fn accepted(&mut self, wanted: &Wanted, sent_ms: i64) -> Option<Job> {
        if wanted.renews {
            if let Phase::Delivering { lease, .. } = &self.phase {
                lease.renew(sent_ms);
            }
            return None; // or its batch was stored meanwhile
        }
        self.committed = wanted.offset;
        self.phase = Phase::Idle;
        let intent = wanted.metadata.intent?;
        let closed = self.closed.pop_front()?;
        assert_eq!(
            closed.intent,
            Some(intent),
            "invariant: the intent that was accepted is that of the next batch"
        );
        let slack_ms = match closed.how {
            How::Fresh | How::Fill => CLOCK_SET_BACK_MS,
            How::Repeat => self.clocks_apart_ms, // frozen by the clock of its writer
        };
        let lease = Lease::new(sent_ms, intent.at_ms - slack_ms);
        self.phase = Phase::Delivering {
            intent,
            lease: lease.clone(),
            bytes: closed.range.bytes(),
        };
        Some(Job {
            range: closed.range,
            intent,
            how: closed.how,
            lease,
            growth: self.growth,
            watermark: self.watermark,
        })
    }

    /// The batch in progress is stored.
    pub fn delivered(&mut self, delivered: &Delivered) {
        self.watermark.stated(delivered.stated_ms);
        self.watermark.reached(delivered.reached_ms);
        self.phase = Phase::Delivered { end: delivered.end };
    }

    /// The tables have this watermark.
    pub fn stated(&mut self, watermark_ms: i64) {
        self.watermark.stated(watermark_ms);
    }

    /// Nothing more can be done for it until an operator acts.
    pub fn stop(&mut self) {
        self.phase = Phase::Stopped;
        self.closed.clear();
        self.filling = Filling::new(self.filling.next());
    }

    /// It is not ours any more.
    pub fn revoke(&self) {
        if let Phase::Delivering { lease, .. } = &self.phase {
            lease.revoke();
        }
    }

    /// Whether it is fetching a range that ends where another owner's intent says, whatever its size.
    pub fn is_repeating(&self) -> bool {
        matches!(self.recovery, Some(Recovery::Repeat(_)))
    }

    /// What it states of its topic's number of partitions so far.
    pub fn growth(&self) -> Growth {
        self.growth
    }

    /// What it states of that from now on.
    pub fn set_growth(&mut self, growth: Growth) {
        self.growth = growth;
    }

    /// Partial aggregates carry this epoch from the next intent on. Epochs never fall.
    pub fn set_write_epoch(&mut self, write_epoch: u32) {
        self.write_epoch = self.write_epoch.max(write_epoch);
    }

    /// Whether a batch is in progress.
    pub fn is_delivering(&self) -> bool {
        matches!(self.phase, Phase::Delivering { .. })
    }

    /// Whether an error stopped it.
    pub fn is_stopped(&self) -> bool {
        matches!(self.phase, Phase::Stopped)
    }

    /// The group's commit as far as we know.
    pub fn committed(&self) -> i64 {
        self.committed
    }

    /// Offset of the next record to be fetched.
    pub fn next_offset(&self) -> i64 {
        self.filling.next()
    }

    /// The watermark, ms since 1970.
    pub fn watermark_ms(&self) -> i64 {
        self.watermark.reached_ms()
    }

    fn recovery_end(&self) -> Option<i64> {
        self.recovery.map(|recovery| match recovery {
            Recovery::Repeat(intent) => intent.end,
            Recovery::Fill { end } => end,
        })
    }

    fn close(&mut self, end: i64) {
        let range = self.filling.close(&self.id, self.log_epoch, end);
        let (how, intent) = match self.recovery {
            None => (How::Fresh, None),
            Some(Recovery::Repeat(intent)) => (How::Repeat, Some(intent)),
            Some(Recovery::Fill { .. }) => (How::Fill, None),
        };
        if self.recovery_end().is_some_and(|recovery_end| end >= recovery_end) {
            self.recovery = None;
        }
        self.closed.push_back(Closed { range, how, intent });
    }
}

#[cfg(test)]
mod tests;
