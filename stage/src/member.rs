//! The polling thread: one member of the consumer group, and the only place that polls and commits.
//!
//! Each turn it polls some records into their partitions' ranges, takes what happened elsewhere (starts found out, batches
//! stored), commits what became due for all partitions in one request, and hands the batches whose intents were accepted
//! to the delivery. When a partition has as much under way as it may, it is paused; nothing is ever dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use horolog_schemas::RawRecord;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use tokio::runtime::Handle;

use crate::assignment::{AssignmentId, Event, Slot};
use crate::crash;
use crate::delivery::{Delivery, Job};
use crate::facts::{LogBounds, Probe};
use crate::group::Group;
use crate::lease::now_ms;
use crate::metrics::{Metrics, PartitionLabels};
use crate::partition::{Limits, Partition, Wanted};
use crate::range::PartitionId;
use crate::resolve::Resolved;
use crate::retry::Backoff;
use crate::stage::{Progress, Stage};

/// Records polled before anything else is looked at.
const RECORDS_A_TURN: usize = 2048;
/// How long a turn waits for a record when there is none.
const IDLE_WAIT: Duration = Duration::from_millis(10);
/// How long polling may rest because everything is full, before partitions are paused: a pause throws fetched records away.
const STALL_MAX: Duration = Duration::from_millis(500);
/// Smallest and largest time between two looks at the ends of the logs.
const BOUNDS_INTERVAL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// What a member may use and when it closes batches.
#[derive(Debug, Clone)]
pub struct MemberOptions {
    /// Limits of a batch; an age of zero follows from the number of partitions held.
    pub limits: Limits,
    /// Memory of records that are not stored yet, all partitions together.
    pub buffer_bytes_max: usize,
    /// Life of a lease.
    pub lease_life: Duration,
    /// How long batches under way are waited for at the end.
    pub drain_deadline: Duration,
    /// What arrives later than this behind the watermark is late, ms.
    pub allowed_lateness_ms: i64,
}

/// A member of the group.
pub struct Member<S> {
    consumer: BaseConsumer<Group>,
    delivery: Arc<Delivery<S>>,
    probe: Arc<Probe>,
    runtime: Handle,
    events: Sender<Event>,
    options: MemberOptions,
    metrics: Metrics,
    /// A commit whose outcome is unknown was sent then; the next attempt comes after a wait.
    doubt: Option<Doubt>,
    stalled_since: Option<Instant>,
    bounds_due: Instant,
}

struct Doubt {
    sent_ms: i64,
    next_attempt: Instant,
    backoff: Backoff,
}

impl<S: Stage> Member<S> {
    /// A member that has subscribed.
    pub fn new(
        consumer: BaseConsumer<Group>,
        delivery: Arc<Delivery<S>>,
        probe: Arc<Probe>,
        runtime: Handle,
        events: Sender<Event>,
        options: MemberOptions,
        metrics: Metrics,
    ) -> Self {
        let bounds_due = Instant::now();
        Self { consumer, delivery, probe, runtime, events, options, metrics, doubt: None, stalled_since: None, bounds_due }
    }

    /// Polls until `stop`, then finishes what is under way and leaves the group.
    pub fn run(mut self, stop: &AtomicBool) -> Result<(), KafkaError> {
        while !stop.load(Ordering::Acquire) {
            self.poll_records()?;
            self.take_events();
            self.close_due_ranges();
            self.commit_and_deliver(true);
            self.hold_back();
            self.watch_log_ends();
        }
        self.drain();
        Ok(())
    }

    fn group(&self) -> &Group {
        self.consumer.context()
    }

    fn poll_records(&mut self) -> Result<(), KafkaError> {
        if self.stalled_since.is_some_and(|since| since.elapsed() < STALL_MAX) {
            self.group().assignments().wait_for_event(IDLE_WAIT);
            return Ok(());
        }
        let limits = self.limits();
        for turn in 0..RECORDS_A_TURN {
            let wait = if turn == 0 { IDLE_WAIT } else { Duration::ZERO };
            match self.consumer.poll(wait) {
                None => break,
                Some(Ok(message)) => self.take_record(&message, &limits),
                Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => return Err(error),
                Some(Err(error)) => self.take_error(&error),
            }
        }
        Ok(())
    }

    fn take_record(&self, message: &impl Message, limits: &Limits) {
        let mut assignments = self.group().assignments();
        let Some(slot) = assignments.slot(message.topic(), message.partition()) else { return };
        let Some(partition) = assignments.get_mut(slot).and_then(|held| held.active.as_mut()) else { return };
        let record = RawRecord {
            offset: message.offset(),
            timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
            key: message.key(),
            payload: message.payload(),
        };
        if record.offset >= partition.next_offset() {
            partition.push(&record, limits, Instant::now(), now_ms());
        }
    }

    /// Most errors are librdkafka's own business: it reconnects. Those that may mean that a topic was deleted, made again or
    /// cut lead to a fresh look at every partition.
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
        if suspicious {
            let slots = self.group().assignments().slots();
            self.start_anew(&slots);
        }
    }

    /// Gives up what is known of partitions and finds it out again; batches under way end as if the partition had gone.
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
                Some(Event::Bounds(slot, assignment, bounds, asked_at_ms)) => {
                    self.take_bounds(slot, assignment, bounds, asked_at_ms);
                }
            }
        }
    }

    fn activate(&self, slot: Slot, assignment: AssignmentId, resolved: &Resolved) {
        let mut assignments = self.group().assignments();
        if !assignments.is_current(slot, assignment) {
            return;
        }
        let id = assignments.id(slot);
        let mut list = TopicPartitionList::new();
        let from = Offset::Offset(resolved.plan.fetch_from);
        let added = list.add_partition_offset(&id.topic, id.partition, from).and_then(|()| self.consumer.incremental_assign(&list));
        if let Err(error) = added {
            tracing::error!(partition = %id, %error, "cannot fetch the partition, finding out again");
            drop(assignments);
            self.group().resolve(slot);
            return;
        }
        let lateness = self.options.allowed_lateness_ms;
        let partition = Partition::new(id, resolved.partitions, &resolved.plan, resolved.watermark_ms, lateness);
        assignments.activate(slot, assignment, partition);
    }

    fn close_due_ranges(&self) {
        let limits = self.limits();
        let (now, now_ms) = (Instant::now(), now_ms());
        for (_, _, partition) in self.group().assignments().active_mut() {
            partition.close_if_due(&limits, now, now_ms);
        }
    }

    /// Commits what is wanted, in one request, and starts the delivery of the batches whose intents were accepted by it.
    fn commit_and_deliver(&mut self, announce: bool) {
        if self.doubt.as_ref().is_some_and(|doubt| Instant::now() < doubt.next_attempt) {
            return;
        }
        let mut wanted = self.wanted_commits(announce);
        if let Some(sent_ms) = self.doubt.as_ref().map(|doubt| doubt.sent_ms) {
            match self.resolve_doubt(wanted, sent_ms) {
                Ok(left) => wanted = left,
                Err(error) => return self.commit_failed(&error, sent_ms),
            }
        }
        let sent_ms = now_ms();
        match self.group().commit(&self.consumer, &wanted) {
            Ok(sent_ms) => {
                self.doubt = None;
                self.accepted(&wanted, sent_ms);
            }
            Err(error) => self.commit_failed(&error, sent_ms),
        }
    }

    fn wanted_commits(&self, announce: bool) -> Vec<(Slot, Wanted)> {
        let renewal_age_ms = self.options.lease_life.as_millis() as i64 / 4;
        let now_ms = now_ms();
        let mut assignments = self.group().assignments();
        assignments
            .active_mut()
            .filter_map(|(slot, _, partition)| {
                let wanted = partition.renewal(now_ms, renewal_age_ms).or_else(|| partition.wanted_commit(announce));
                Some((slot, wanted?))
            })
            .collect()
    }

    /// After an unknown outcome: reads what is committed. What is there already is accepted; what is still as before is left to
    /// be committed again, identically; anything else was somebody else, and the partition starts anew.
    fn resolve_doubt(&self, wanted: Vec<(Slot, Wanted)>, sent_ms: i64) -> Result<Vec<(Slot, Wanted)>, KafkaError> {
        let mut left = Vec::new();
        let (mut done, mut foreign) = (Vec::new(), Vec::new());
        let committed = self.read_committed(&wanted)?;
        for (slot, wanted) in wanted {
            let id = self.group().assignments().id(slot);
            let found = committed.find_partition(&id.topic, id.partition);
            let offset = found.as_ref().and_then(|element| element.offset().to_raw()).unwrap_or(-1);
            let same_metadata = found.is_some_and(|element| element.metadata() == wanted.metadata.encode());
            if offset == wanted.offset && same_metadata {
                done.push((slot, wanted));
            } else if offset > wanted.offset {
                foreign.push(slot);
            } else {
                left.push((slot, wanted));
            }
        }
        self.accepted(&done, sent_ms);
        if !foreign.is_empty() {
            tracing::warn!(partitions = foreign.len(), "somebody else committed further: looking at the partitions anew");
            self.start_anew(&foreign);
        }
        Ok(left)
    }

    fn read_committed(&self, wanted: &[(Slot, Wanted)]) -> Result<TopicPartitionList, KafkaError> {
        let mut list = TopicPartitionList::new();
        for (slot, _) in wanted {
            let id = self.group().assignments().id(*slot);
            list.add_partition(&id.topic, id.partition);
        }
        if wanted.is_empty() {
            return Ok(list);
        }
        self.consumer.committed_offsets(list, COMMITTED_TIMEOUT)
    }

    fn commit_failed(&mut self, error: &KafkaError, sent_ms: i64) {
        self.metrics.commit_failures.inc();
        let mut backoff = self.doubt.take().map_or_else(Backoff::default, |doubt| doubt.backoff);
        let wait = backoff.next_wait();
        tracing::warn!(%error, wait_ms = wait.as_millis() as u64, "the commit's outcome is unknown");
        self.doubt = Some(Doubt { sent_ms, next_attempt: Instant::now() + wait, backoff });
    }

    fn accepted(&self, wanted: &[(Slot, Wanted)], sent_ms: i64) {
        for (slot, wanted) in wanted {
            let job = {
                let mut assignments = self.group().assignments();
                let Some(held) = assignments.get_mut(*slot) else { continue };
                let assignment = held.assignment;
                held.active.as_mut().and_then(|active| active.accepted(wanted, sent_ms)).map(|job| (assignment, job))
            };
            crash::point(if wanted.metadata.intent.is_some() { "after-intent" } else { "after-commit" });
            if let Some((assignment, job)) = job {
                self.start_delivery(*slot, assignment, job);
            }
        }
    }

    fn start_delivery(&self, slot: Slot, assignment: AssignmentId, job: Job) {
        let topic = Metrics::topic(&job.range.id.topic);
        self.metrics.consumed.get_or_create(&topic).inc_by(job.range.len() as u64);
        let (delivery, events, in_flight) =
            (self.delivery.clone(), self.events.clone(), self.metrics.batches_in_flight.clone());
        self.runtime.spawn(async move {
            in_flight.inc();
            let outcome = delivery.deliver(job).await;
            in_flight.dec();
            crash::point("before-commit");
            drop(events.send(Event::Delivered(slot, assignment, outcome))); // the receiver is gone only at the end
        });
    }

    /// Pauses partitions that have enough under way, resumes those that have room again. Short fullness only rests polling.
    fn hold_back(&mut self) {
        let max = self.options.buffer_bytes_max;
        let (mut pause, mut resume) = (TopicPartitionList::new(), TopicPartitionList::new());
        {
            let mut assignments = self.consumer.context().assignments();
            let bytes: usize = assignments.active_mut().map(|(_, _, partition)| partition.bytes()).sum();
            self.metrics.buffered_bytes.set(bytes as i64);
            let is_full = |partition: &Partition| partition.is_full() || bytes >= max;
            let waiting = assignments.held_mut().any(|(_, held)| !held.paused && held.active.as_ref().is_some_and(is_full));
            self.stalled_since = if waiting { self.stalled_since.or_else(|| Some(Instant::now())) } else { None };
            let stalled = self.stalled_since.is_some_and(|since| since.elapsed() >= STALL_MAX);
            for (_, held) in assignments.held_mut() {
                let Some(partition) = held.active.as_ref() else { continue };
                let full = is_full(partition);
                let list = match (held.paused, full) {
                    (false, true) if stalled || partition.is_stopped() => &mut pause,
                    (true, false) if bytes < max / 2 => &mut resume,
                    _ => continue,
                };
                held.paused = full;
                list.add_partition(&partition.id.topic, partition.id.partition);
            }
        }
        self.pause_and_resume(&pause, &resume);
    }

    fn pause_and_resume(&self, pause: &TopicPartitionList, resume: &TopicPartitionList) {
        for (list, result) in [(pause, self.consumer.pause(pause)), (resume, self.consumer.resume(resume))] {
            if let Err(error) = result {
                tracing::warn!(%error, partitions = list.count(), "cannot pause or resume");
            }
        }
    }

    /// Asks for the ends of the logs from time to time: for the lag, for idle watermarks, and to see that a log was cut.
    fn watch_log_ends(&mut self) {
        if Instant::now() < self.bounds_due {
            return;
        }
        let asked: Vec<(Slot, AssignmentId, PartitionId)> = {
            let mut assignments = self.group().assignments();
            let stopped = assignments.active_mut().filter(|(_, _, partition)| partition.is_stopped()).count();
            self.metrics.stopped_partitions.set(stopped as i64);
            assignments.active_mut().map(|(slot, assignment, partition)| (slot, assignment, partition.id.clone())).collect()
        };
        let interval = (AGE_A_PARTITION * asked.len() as u32).clamp(BOUNDS_INTERVAL.0, BOUNDS_INTERVAL.1);
        self.bounds_due = Instant::now() + interval;
        let (probe, events) = (self.probe.clone(), self.events.clone());
        self.runtime.spawn_blocking(move || {
            for (slot, assignment, id) in asked {
                let asked_at_ms = now_ms();
                if let Ok(bounds) = probe.bounds(&id) {
                    drop(events.send(Event::Bounds(slot, assignment, bounds, asked_at_ms)));
                }
            }
        });
    }

    fn take_bounds(&self, slot: Slot, assignment: AssignmentId, bounds: LogBounds, asked_at_ms: i64) {
        let mut assignments = self.group().assignments();
        let Some(held) = assignments.get_mut(slot).filter(|held| held.assignment == assignment) else { return };
        let Some(partition) = held.active.as_mut() else { return };
        if partition.next_offset() > bounds.end {
            tracing::warn!(partition = %partition.id, log_end = bounds.end, "the log is shorter than what was read");
            drop(assignments);
            return self.start_anew(&[slot]);
        }
        let progress = partition.at_log_end(bounds.end, asked_at_ms);
        let labels = PartitionLabels { topic: partition.id.topic.to_string(), partition: partition.id.partition };
        self.metrics.lag.get_or_create(&labels).set((bounds.end - partition.committed()).max(0));
        self.metrics.watermark_seconds.get_or_create(&labels).set(partition.watermark_ms() / 1000);
        drop(assignments);
        if let Some(progress) = progress {
            self.write_progress(progress);
        }
    }

    fn write_progress(&self, progress: Progress) {
        let delivery = self.delivery.clone();
        self.runtime.spawn(async move { delivery.insert_progress(&progress).await });
    }

    /// Finishes what is under way, begins nothing new, and leaves the group so that others take over at once.
    fn drain(&mut self) {
        let deadline = Instant::now() + self.options.drain_deadline;
        let slots = self.group().assignments().slots();
        self.group().assignments().settle(&slots, deadline);
        while !self.wanted_commits(false).is_empty() && Instant::now() < deadline {
            self.commit_and_deliver(false);
            if self.doubt.is_some() {
                std::thread::sleep(IDLE_WAIT);
            }
        }
        self.consumer.unsubscribe();
        while !self.group().assignments().slots().is_empty() && Instant::now() < deadline {
            drop(self.consumer.poll(IDLE_WAIT));
        }
    }

    /// The limits with an age that keeps a member at four inserts a second and table, however many partitions it holds.
    fn limits(&self) -> Limits {
        let mut limits = self.options.limits;
        if limits.age_max.is_zero() {
            let partitions = self.group().assignments().len() as u32;
            limits.age_max = (AGE_A_PARTITION * partitions).clamp(AGE_BOUNDS.0, AGE_BOUNDS.1);
        }
        limits
    }
}

/// Age of a batch for each partition held.
const AGE_A_PARTITION: Duration = Duration::from_millis(250);
/// Smallest and largest age of a batch.
const AGE_BOUNDS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));
/// How long to wait for the group's offsets.
const COMMITTED_TIMEOUT: Duration = Duration::from_secs(5);
