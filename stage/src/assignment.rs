//! The partitions that a member holds, shared between its polling loop and the rebalance callback that runs inside
//! `poll`.
//!
//! A partition is first *resolving* (its start is not known yet, nothing is fetched), then *active*. Each assignment
//! has a number, by which events of an earlier assignment of the same partition are recognised and dropped.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use rdkafka::error::KafkaResult;

use crate::clock::now_ms;
use crate::committer::Commit;
use crate::delivery::Delivered;
use crate::inserts::DeliveryError;
use crate::log_end::LogEnd;
use crate::metrics::{Metrics, PartitionLabels};
use crate::partition::{Batches, Partition, Wanted};
use crate::range::PartitionId;
use crate::resolve::Resolved;

/// Topic, by its position in the configuration, and partition: cheap to look up for each record.
pub type Slot = (usize, i32);

/// One assignment of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AssignmentId(pub u64);

/// What happened outside the polling thread.
pub enum Event {
    /// The start of a partition is known.
    Resolved(Slot, AssignmentId, Box<Resolved>),
    /// A batch is stored, or not.
    Delivered(Slot, AssignmentId, Result<Delivered, DeliveryError>),
    /// The answer to a commit.
    Committed(Commit, KafkaResult<()>),
    /// The statement of an idle partition has ended: the tables have this watermark, ms since 1970, or that is not
    /// known.
    Stated(Slot, AssignmentId, Option<i64>),
    /// An answer about the end of a log.
    LogEnd(Slot, AssignmentId, LogEnd),
}

/// Why a partition is not fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paused {
    /// It has as much in progress as it may.
    Full,
    /// All of them together have.
    Memory,
}

/// A held partition.
pub struct Held {
    /// Which assignment.
    pub assignment: AssignmentId,
    /// Its state; `None` while its start is not known.
    pub active: Option<Partition>,
    /// Why fetching is paused, where it is.
    pub paused: Option<Paused>,
    since: Instant,
    /// Lives as long as the assignment.
    alive: Arc<()>,
}

/// The partitions of a member.
pub struct Assignments {
    topics: Vec<Arc<str>>,
    held: HashMap<Slot, Held>,
    /// Alive while the tables are told the watermark of an idle partition, also beyond its assignment: whoever goes on
    /// with it must know that watermark.
    statements: HashMap<Slot, Weak<()>>,
    /// The commits that are not answered yet, by topic: since when, and what lives as long.
    commits: HashMap<usize, (Instant, Arc<()>)>,
    last_assignment: u64,
    /// Since when this member has had no assignment from the group, not even an empty one.
    outside_since: Option<Instant>,
    events: Receiver<Event>,
    /// Events that arrived while another one was awaited.
    deferred: VecDeque<Event>,
    metrics: Metrics,
}

impl Assignments {
    /// No partitions yet, of these topics.
    pub fn new(topics: Vec<Arc<str>>, events: Receiver<Event>, metrics: Metrics) -> Self {
        Self {
            topics,
            held: HashMap::new(),
            statements: HashMap::new(),
            commits: HashMap::new(),
            last_assignment: 0,
            outside_since: Some(Instant::now()),
            events,
            deferred: VecDeque::new(),
            metrics,
        }
    }

    /// The slot of a partition of one of the topics.
    pub fn slot(&self, topic: &str, partition: i32) -> Option<Slot> {
        self.topics
            .iter()
            .position(|known| &**known == topic)
            .map(|topic| (topic, partition))
    }

    /// The partition of a slot.
    pub fn id(&self, slot: Slot) -> PartitionId {
        PartitionId {
            topic: self.topics[slot.0].clone(),
            partition: slot.1,
        }
    }

    /// The group has given this member its assignment, which may be empty.
    pub fn joined(&mut self) {
        self.outside_since = None;
    }

    /// The group has revoked partitions. The next assignment comes at the end of that rebalance or, if they were lost,
    /// once the member has rejoined.
    pub fn left(&mut self) {
        self.outside_since.get_or_insert_with(Instant::now);
    }

    /// For how long this member has had no assignment from the group.
    pub fn outside_for(&self) -> Duration {
        self.outside_since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Begins an assignment of a partition that the group gave, or that must be resolved again.
    pub fn assign(&mut self, slot: Slot) -> (AssignmentId, Weak<()>) {
        self.last_assignment += 1;
        let assignment = AssignmentId(self.last_assignment);
        self.drop_slot(slot);
        let alive = Arc::new(());
        let wanted = Arc::downgrade(&alive);
        self.held.insert(
            slot,
            Held {
                assignment,
                active: None,
                paused: None,
                since: Instant::now(),
                alive,
            },
        );
        self.metrics.assigned_partitions.set(self.held.len() as i64);
        (assignment, wanted)
    }

    /// Activates a partition whose start is known; does nothing if that was for an earlier assignment.
    pub fn activate(&mut self, slot: Slot, assignment: AssignmentId, partition: Partition) {
        if let Some(held) = self.held.get_mut(&slot).filter(|held| held.assignment == assignment) {
            held.active = Some(partition);
        }
    }

    /// Drops a partition that was taken away; its batch in progress stops as soon as it can. Returns whether the
    /// partition was active.
    pub fn drop_slot(&mut self, slot: Slot) -> bool {
        let Some(held) = self.held.remove(&slot) else {
            return false;
        };
        self.metrics.assigned_partitions.set(self.held.len() as i64);
        let labels = PartitionLabels {
            topic: self.topics[slot.0].to_string(),
            partition: slot.1,
        };
        self.metrics.lag.remove(&labels);
        self.metrics.unstable.remove(&labels);
        self.metrics.watermark_seconds.remove(&labels);
        if let Some(active) = &held.active {
            active.revoke();
        }
        held.active.is_some()
    }

    /// Whether this is still the current assignment of the slot.
    pub fn is_current(&self, slot: Slot, assignment: AssignmentId) -> bool {
        self.held.get(&slot).is_some_and(|held| held.assignment == assignment)
    }

    /// A held partition.
    pub fn get_mut(&mut self, slot: Slot) -> Option<&mut Held> {
        self.held.get_mut(&slot)
    }

    /// The active partitions.
    pub fn active_mut(&mut self) -> impl Iterator<Item = (Slot, &mut Partition)> {
        self.held
            .iter_mut()
            .filter_map(|(&slot, held)| held.active.as_mut().map(|active| (slot, active)))
    }

    /// The number of partitions that have been resolving for at least this long.
    pub fn resolving_for(&self, time: Duration) -> usize {
        let waits = |held: &&Held| held.active.is_none() && held.since.elapsed() >= time;
        self.held.values().filter(waits).count()
    }

    /// The held partitions.
    pub fn held_mut(&mut self) -> impl Iterator<Item = (Slot, &mut Held)> {
        self.held.iter_mut().map(|(&slot, held)| (slot, held))
    }

    /// The next event, if there is one.
    pub fn next_event(&mut self) -> Option<Event> {
        if let Some(deferred) = self.deferred.pop_front() {
            return Some(deferred);
        }
        let event = self.events.try_recv().ok()?;
        self.note_answer(&event);
        Some(event)
    }

    /// Waits for an event, at most for `timeout`; returns whether there was one, which is the next then.
    pub fn wait_for_event(&mut self, timeout: Duration) -> bool {
        let Ok(event) = self.events.recv_timeout(timeout) else {
            return false;
        };
        self.note_answer(&event);
        self.deferred.push_back(event);
        true
    }

    fn note_answer(&mut self, event: &Event) {
        if let Event::Committed(commit, _) = event {
            self.commits.remove(&commit.topic);
        }
    }

    /// Takes the outcome of a batch.
    pub fn delivered(&mut self, slot: Slot, assignment: AssignmentId, outcome: Result<Delivered, DeliveryError>) {
        let id = self.id(slot);
        let Some(held) = self.held.get_mut(&slot).filter(|held| held.assignment == assignment) else {
            return;
        };
        let Some(active) = held.active.as_mut() else { return };
        match outcome {
            Ok(delivered) => active.delivered(&delivered),
            Err(error) => {
                tracing::error!(partition = %id, %error, "the partition is stopped until this process is restarted, the others continue: fix the cause, then restart it");
                active.stop();
            }
        }
    }

    /// Whether the statement of an idle partition is under way.
    pub fn is_stating(&self, slot: Slot) -> bool {
        self.statements
            .get(&slot)
            .is_some_and(|statement| statement.strong_count() > 0)
    }

    /// What is under way for a partition, also from earlier assignments, for as long as any of these can be upgraded:
    /// the statement of its watermark, and a commit.
    pub fn under_way(&self, slot: Slot) -> [Weak<()>; 2] {
        let statement = self.statements.get(&slot).cloned();
        let commit = self.commits.get(&slot.0).map(|(_, alive)| Arc::downgrade(alive));
        [statement, commit].map(Option::unwrap_or_default)
    }

    /// A commit begins; it ends when its answer is received.
    pub fn begin_commit(&mut self, topic: usize, wanted: Vec<(Slot, Wanted)>) -> Commit {
        let held = |(slot, wanted)| Some((slot, Arc::downgrade(&self.held.get(&slot)?.alive), wanted));
        let wanted = wanted.into_iter().filter_map(held).collect();
        self.commits.insert(topic, (Instant::now(), Arc::default()));
        Commit {
            topic,
            name: self.topics[topic].clone(),
            wanted,
            sent_ms: now_ms(),
        }
    }

    /// Whether a commit of the topic is not answered yet.
    pub fn is_committing(&self, topic: usize) -> bool {
        self.commits.contains_key(&topic)
    }

    /// The topics of which a commit is not answered yet.
    pub fn committing(&self) -> BTreeSet<usize> {
        self.commits.keys().copied().collect()
    }

    /// The topic whose commit has not been answered for longest, if for at least `time`.
    pub fn unanswered_for(&self, time: Duration) -> Option<(&str, Duration)> {
        let (&topic, (since, _)) = self.commits.iter().min_by_key(|(_, (since, _))| *since)?;
        let waited = since.elapsed();
        (waited >= time).then(|| (&*self.topics[topic], waited))
    }

    /// A statement of an idle partition begins; it ends when what this returns is dropped.
    pub fn begin_statement(&mut self, slot: Slot) -> Arc<()> {
        let under_way = Arc::new(());
        self.statements.insert(slot, Arc::downgrade(&under_way));
        under_way
    }

    /// The statement of an idle partition has ended.
    pub fn stated(&mut self, slot: Slot, assignment: AssignmentId, watermark_ms: Option<i64>) {
        let held = self.held.get_mut(&slot).filter(|held| held.assignment == assignment);
        if let (Some(active), Some(watermark_ms)) = (held.and_then(|held| held.active.as_mut()), watermark_ms) {
            active.stated(watermark_ms);
        }
    }

    /// Waits until no batch, no statement and no commit of `slots` is in progress, at most until `deadline`.
    pub fn settle(&mut self, slots: &[Slot], deadline: Instant) {
        while self.is_any_busy(slots) {
            if !self.wait_for_event(deadline.saturating_duration_since(Instant::now())) {
                break;
            }
            match self.deferred.pop_back() {
                Some(Event::Delivered(slot, assignment, outcome)) => self.delivered(slot, assignment, outcome),
                Some(Event::Stated(slot, assignment, watermark_ms)) => self.stated(slot, assignment, watermark_ms),
                other => self.deferred.extend(other),
            }
        }
    }

    /// The commits that `slots` want, without beginning new batches. None of a topic whose last commit is not answered.
    pub fn final_commits(&mut self, slots: &[Slot]) -> Vec<(Slot, Wanted)> {
        let now_ms = now_ms();
        let wanted = |slot: &Slot| {
            let is_committing = self.is_committing(slot.0);
            let active = self.held.get_mut(slot)?.active.as_mut().filter(|_| !is_committing)?;
            Some((*slot, active.wanted_commit(Batches::OnlyFinish, now_ms)?))
        };
        slots.iter().filter_map(wanted).collect()
    }

    /// Whether a batch, a statement or a commit of any of `slots` that are held is in progress.
    pub fn is_any_busy(&self, slots: &[Slot]) -> bool {
        let is_busy = |slot: &Slot| {
            let is_delivering = |held: &Held| held.active.as_ref().is_some_and(Partition::is_delivering);
            let held = self.held.get(slot);
            held.is_some_and(|held| is_delivering(held) || self.is_stating(*slot) || self.is_committing(slot.0))
        };
        slots.iter().any(is_busy)
    }

    /// The slots held.
    pub fn slots(&self) -> Vec<Slot> {
        self.held.keys().copied().collect()
    }
}
