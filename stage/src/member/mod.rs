//! The polling thread: one member of the consumer group, and the only place that polls and says what is committed.
//!
//! Each turn it polls some records into the ranges of their partitions, takes events from elsewhere (resolved starts,
//! stored batches, accepted commits), commits what is due for all partitions of a topic in one request, and hands the
//! batches whose intents were accepted to the delivery. A partition that has as much in progress as it may is paused;
//! nothing is ever dropped.

mod commits;
mod flow_control;
mod health;
mod log_ends;
mod stuck;
mod suspicion;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use tokio::runtime::Handle;

use self::commits::Doubt;
pub use self::stuck::Stuck;
use crate::assignment::{AssignmentId, Event, Slot};
use crate::clock::now_ms;
use crate::delivery::Delivery;
use crate::group::Group;
use crate::http::Health;
use crate::lives::Lives;
use crate::metrics::Metrics;
use crate::partition::{Batches, Completeness, Limits, Partition};
use crate::plan::Beginning;
use crate::probe::Probe;
use crate::range::{PartitionId, raw_record};
use crate::resolve::Resolved;
use crate::write_epoch::WriteEpoch;

/// Records polled before anything else is looked at.
const RECORDS_A_TURN: usize = 2048;
/// Records taken under one lock and one clock reading, which for each record would cost as much as everything else.
const RECORDS_AT_A_TIME: usize = 256;
/// How long a turn waits for a record when there is none.
const IDLE_WAIT: Duration = Duration::from_millis(10);
/// Age of a batch for each partition of its topic that has records.
const AGE_A_PARTITION: Duration = Duration::from_millis(250);
/// Smallest and largest age of a batch.
const AGE_BOUNDS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// What a member may use and when it closes batches.
#[derive(Debug, Clone)]
pub struct MemberOptions {
    /// Limits of a batch; an age of zero is derived from the number of partitions held.
    pub limits: Limits,
    /// Memory of records that are not stored yet, over all partitions.
    pub buffer_bytes_max: usize,
    /// Life of a lease.
    pub lease_life: Duration,
    /// How long a partition may wait for its start before the member is not ready.
    pub resolving_max: Duration,
    /// How long to wait for batches in progress on shutdown.
    pub drain_deadline: Duration,
    /// When an hour is complete.
    pub completeness: Completeness,
    /// This host's clock counts as having jumped if it and the monotonic clock differ by more, ms.
    pub max_clock_skew_ms: i64,
    /// Epoch of new batches.
    pub write_epoch: WriteEpoch,
    /// Lives of logs that other stages have entered.
    pub lives: Lives,
}

/// Why a member ended.
#[derive(Debug)]
pub enum Ended {
    /// It was told to stop.
    Stopped,
    /// A log that its client had read is another one now, or the client gets nothing from a log that has more.
    /// librdkafka keeps the leader epoch of a partition, which starts over in a recreated topic, and may then get
    /// nothing for ever. The next client inherits the list of stuck partitions.
    ClientUseless(Stuck),
}

/// A member of the group.
pub struct Member {
    consumer: Arc<BaseConsumer<Group>>,
    delivery: Arc<Delivery>,
    probe: Arc<Probe>,
    runtime: Handle,
    events: Sender<Event>,
    options: MemberOptions,
    metrics: Metrics,
    health: Health,
    /// Commits with unknown outcomes, by topic; the next attempt comes after a wait.
    doubts: BTreeMap<usize, Doubt>,
    stalled_since: Option<Instant>,
    bounds_due: Instant,
    health_due: Instant,
    /// Partitions that get nothing though their logs have more.
    stuck: Stuck,
    /// The repeating partition that may continue while memory is full, and since when.
    exempt: Option<(PartitionId, Instant)>,
    /// Alive while questions about the ends of the logs are in progress.
    asking: Weak<()>,
    /// Alive while somebody waits for the answers.
    alive: Arc<()>,
    /// The partitions that this client has fetched.
    read: BTreeSet<Slot>,
    /// The log of one of those is another one now, or gives nothing though it has more.
    is_useless: bool,
    /// The log of some partition may have been recreated or cut.
    suspects: bool,
    last_suspicion: Option<Instant>,
    /// Both clocks when they were last compared.
    clocks: (Instant, i64),
}

impl Member {
    /// A member that has subscribed. Panics outside of a tokio runtime.
    pub fn new(
        consumer: Arc<BaseConsumer<Group>>,
        delivery: Arc<Delivery>,
        probe: Arc<Probe>,
        events: Sender<Event>,
        options: MemberOptions,
        metrics: Metrics,
        health: Health,
    ) -> Self {
        Self {
            consumer,
            delivery,
            probe,
            runtime: Handle::current(),
            events,
            options,
            metrics,
            health,
            doubts: BTreeMap::new(),
            stalled_since: None,
            bounds_due: Instant::now(),
            health_due: Instant::now(),
            stuck: Stuck::default(),
            exempt: None,
            asking: Weak::new(),
            alive: Arc::default(),
            read: BTreeSet::new(),
            is_useless: false,
            suspects: false,
            last_suspicion: None,
            clocks: (Instant::now(), now_ms()),
        }
    }

    /// Polls until `stop`, or until its client is of no use, then finishes what is in progress and leaves the group.
    /// `stuck` is what the previous client left.
    pub fn run(mut self, stop: &AtomicBool, stuck: Stuck) -> Result<Ended, KafkaError> {
        self.stuck = stuck;
        while !stop.load(Ordering::Acquire) && !self.is_useless {
            self.poll_records()?;
            self.follow_suspicion();
            self.take_events();
            self.close_due_ranges();
            self.commit(Batches::Begin);
            self.hold_back();
            self.watch_health();
            self.watch_log_ends();
        }
        self.drain();
        Ok(match stop.load(Ordering::Acquire) {
            true => Ended::Stopped,
            false => Ended::ClientUseless(self.stuck.with_another_client()),
        })
    }

    fn group(&self) -> &Group {
        self.consumer.context()
    }

    fn poll_records(&mut self) -> Result<(), KafkaError> {
        if self.is_resting() {
            self.group().assignments().wait_for_event(IDLE_WAIT);
            return Ok(());
        }
        let mut wait = IDLE_WAIT;
        for _ in 0..RECORDS_A_TURN / RECORDS_AT_A_TIME {
            let (polled, error) = self.poll_some(wait);
            match error {
                None if polled < RECORDS_AT_A_TIME => break,
                None => {}
                Some(error @ KafkaError::MessageConsumptionFatal(_)) => return Err(error),
                Some(error) => self.take_error(&error),
            }
            wait = Duration::ZERO;
        }
        Ok(())
    }

    /// Polls some records into their ranges; returns how many, and the error that ended it.
    fn poll_some(&self, mut wait: Duration) -> (usize, Option<KafkaError>) {
        let (mut messages, mut error) = (Vec::with_capacity(RECORDS_AT_A_TIME), None);
        while messages.len() < RECORDS_AT_A_TIME {
            match self.consumer.poll(std::mem::take(&mut wait)) {
                None => break,
                Some(Ok(message)) => messages.push(message),
                Some(Err(found)) => {
                    error = Some(found);
                    break;
                }
            }
        }
        self.take_records(&messages);
        (messages.len(), error)
    }

    /// A partition that was revoked while these were polled is no longer held, or not active: its records stay in the
    /// log.
    fn take_records(&self, messages: &[BorrowedMessage<'_>]) {
        let mut assignments = self.group().assignments();
        let now = Instant::now();
        let same =
            |a: &BorrowedMessage<'_>, b: &BorrowedMessage<'_>| a.partition() == b.partition() && a.topic() == b.topic();
        for run in messages.chunk_by(same) {
            let Some(slot) = assignments.slot(run[0].topic(), run[0].partition()) else {
                continue;
            };
            let Some(partition) = assignments.get_mut(slot).and_then(|held| held.active.as_mut()) else {
                continue;
            };
            for message in run {
                let record = raw_record(message);
                if record.offset >= partition.next_offset() {
                    partition.push(&record, &self.options.limits, now);
                }
            }
        }
    }

    /// librdkafka handles most errors itself by reconnecting. Those that may mean that a topic was deleted, recreated
    /// or cut lead to a fresh look at every partition.
    fn take_error(&mut self, error: &KafkaError) {
        tracing::warn!(%error, "consumer");
        let suspicious = matches!(
            error.rdkafka_error_code(),
            Some(
                RDKafkaErrorCode::AutoOffsetReset
                    | RDKafkaErrorCode::OffsetOutOfRange
                    | RDKafkaErrorCode::UnknownTopicOrPartition
                    | RDKafkaErrorCode::UnknownTopic
                    | RDKafkaErrorCode::UnknownTopicId
            )
        );
        self.suspects |= suspicious;
    }

    /// Gives up what is known of partitions and resolves them anew; their batches in progress end as if the partitions
    /// had been revoked.
    fn start_anew(&self, slots: &[Slot]) {
        let active = self.group().drop_slots(slots);
        if let Err(error) = self.consumer.incremental_unassign(&active) {
            tracing::error!(%error, "cannot stop fetching");
        }
        for &slot in slots {
            self.group().resolve(slot);
        }
    }

    fn take_events(&mut self) {
        loop {
            let event = self.group().assignments().next_event();
            match event {
                None => return,
                Some(Event::Resolved(slot, assignment, resolved)) => self.activate(slot, assignment, &resolved),
                Some(Event::Delivered(slot, assignment, outcome)) => {
                    self.group().assignments().delivered(slot, assignment, outcome);
                }
                Some(Event::Committed(commit, outcome)) => self.take_commit(commit, &outcome),
                Some(Event::Stated(slot, assignment, watermark_ms)) => {
                    self.group().assignments().stated(slot, assignment, watermark_ms);
                }
                Some(Event::LogEnd(slot, assignment, log_end)) => self.take_log_end(slot, assignment, &log_end),
            }
        }
    }

    fn activate(&mut self, slot: Slot, assignment: AssignmentId, resolved: &Resolved) {
        if !self.group().assignments().is_current(slot, assignment) {
            return;
        }
        let is_another_log = matches!(resolved.plan.beginning, Some(Beginning::NewLife | Beginning::TakenOver));
        if is_another_log && self.read.contains(&slot) {
            self.is_useless = true;
            return;
        }
        if self.last_suspicion.is_some_and(|last| resolved.asked_at < last) {
            self.group().resolve(slot);
            return;
        }
        self.read.insert(slot);
        let mut assignments = self.group().assignments();
        let id = assignments.id(slot);
        let mut list = TopicPartitionList::new();
        let from = Offset::Offset(resolved.plan.fetch_from);
        let added = list
            .add_partition_offset(&id.topic, id.partition, from)
            .and_then(|()| self.consumer.incremental_assign(&list))
            // Otherwise a pause from an earlier assignment of the partition to this process would persist.
            .and_then(|()| self.consumer.resume(&list));
        if let Err(error) = added {
            tracing::error!(partition = %id, %error, "cannot fetch the partition, determining again where it resumes");
            drop(assignments);
            self.group().resolve(slot);
            return;
        }
        let partition = Partition::new(id, resolved, self.options.completeness);
        assignments.activate(slot, assignment, partition);
    }

    fn close_due_ranges(&self) {
        let now = Instant::now();
        let mut assignments = self.group().assignments();
        // Partitions that have had no record for a while do not make the others wait.
        let mut busy: BTreeMap<usize, u32> = BTreeMap::new();
        for ((topic, _), partition) in assignments.active_mut() {
            *busy.entry(topic).or_default() += u32::from(partition.had_record_within(AGE_BOUNDS.1, now));
        }
        for ((topic, _), partition) in assignments.active_mut() {
            partition.close_if_due(&self.limits(busy[&topic]), now);
        }
    }

    /// The limits, with an age that keeps a member at four inserts per second and table, however many partitions it
    /// holds: the accepted records of a topic go to one table.
    fn limits(&self, busy: u32) -> Limits {
        let mut limits = self.options.limits;
        limits.age_min = (AGE_A_PARTITION * busy).clamp(AGE_BOUNDS.0, AGE_BOUNDS.1);
        if limits.age_max.is_zero() {
            limits.age_max = limits.age_min;
        }
        limits
    }

    /// Finishes what is in progress, begins nothing new, and leaves the group so that others take over at once.
    fn drain(&mut self) {
        let deadline = Instant::now() + self.options.drain_deadline;
        let slots = self.group().assignments().slots();
        loop {
            self.take_events();
            self.commit(Batches::OnlyFinish);
            let is_done = self.doubts.is_empty() && !self.group().assignments().is_any_busy(&slots);
            if is_done || Instant::now() >= deadline {
                break;
            }
            self.group().assignments().wait_for_event(IDLE_WAIT);
        }
        self.consumer.unsubscribe();
        while !self.group().assignments().slots().is_empty() && Instant::now() < deadline {
            drop(self.consumer.poll(IDLE_WAIT));
        }
        // A commit that is not answered may keep the client for long: what it held is to end all the same.
        let left = self.group().assignments().slots();
        self.group().drop_slots(&left);
    }
}
