//! What a member commits, and what follows from acceptance: the accepted intent of a batch starts its delivery.
//!
//! A commit with an unknown outcome is never followed by another one before the committed offset has been read, except by
//! the last one of a revoked partition (`Group::finish`), which is the same.

use std::sync::Weak;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, KafkaResult};

use super::Member;
use crate::assignment::{AssignmentId, Event, Slot};
use crate::clock::now_ms;
use crate::committer::Commit;
use crate::crash;
use crate::delivery::Job;
use crate::group::by_topic;
use crate::inserts::DeliveryError;
use crate::metrics::TopicLabel;
use crate::partition::{Batches, Wanted};
use crate::retry::Backoff;

/// How long to wait for the group's offsets.
const COMMITTED_TIMEOUT: Duration = Duration::from_secs(5);

/// A commit of a topic whose outcome is unknown.
pub(super) struct Doubt {
    since: Instant,
    sent_ms: i64,
    next_attempt: Instant,
    backoff: Backoff,
    why: String,
}

impl Member {
    /// Begins to commit what is wanted, in one request per topic. Answers have to be taken first: what they acknowledge
    /// must not be committed again.
    pub(super) fn commit(&mut self, batches: Batches) {
        let wanted = by_topic(self.wanted_commits(batches));
        let assignments = self.consumer.context().assignments();
        self.doubts
            .retain(|topic, _| wanted.contains_key(topic) || assignments.is_committing(*topic));
        drop(assignments);
        for (topic, wanted) in wanted {
            self.commit_topic(topic, wanted);
        }
    }

    fn commit_topic(&mut self, topic: usize, mut wanted: Vec<(Slot, Wanted)>) {
        if let Some(doubt) = self.doubts.get(&topic) {
            let sent_ms = doubt.sent_ms;
            if Instant::now() < doubt.next_attempt {
                return;
            }
            match self.resolve_doubt(wanted, sent_ms) {
                Ok(left) => wanted = left,
                Err(error) => return self.commit_failed(topic, &error, sent_ms),
            }
        }
        match wanted.is_empty() {
            true => drop(self.doubts.remove(&topic)),
            false => self.group().commit(topic, wanted),
        }
    }

    /// Takes the answer to a commit, and starts the delivery of the batches whose intents it accepts. It means nothing
    /// to partitions that were taken away or begun anew since: they have read what is committed, or their next owner
    /// does.
    pub(super) fn take_commit(&mut self, commit: Commit, outcome: &KafkaResult<()>) {
        let Commit { topic, sent_ms, .. } = commit;
        let is_ours =
            |(slot, assignment, wanted): (Slot, Weak<()>, Wanted)| assignment.upgrade().map(|_| (slot, wanted));
        let wanted: Vec<(Slot, Wanted)> = commit.wanted.into_iter().filter_map(is_ours).collect();
        match outcome {
            _ if wanted.is_empty() => {}
            Ok(()) => {
                self.doubts.remove(&topic);
                self.accepted(&wanted, sent_ms);
            }
            Err(error) => self.commit_failed(topic, error, sent_ms),
        }
    }

    /// Whether commits of a topic have had unknown outcomes for at least `time`.
    pub(super) fn is_doubted(&self, topic: usize, time: Duration) -> bool {
        let doubt = self.doubts.get(&topic);
        doubt.is_some_and(|doubt| doubt.since.elapsed() >= time)
    }

    /// A topic whose commits have had unknown outcomes for at least `time`, and why.
    pub(super) fn doubted_for(&self, time: Duration) -> Option<(String, &str)> {
        let (&topic, doubt) = self.doubts.iter().find(|(_, doubt)| doubt.since.elapsed() >= time)?;
        let id = self.group().assignments().id((topic, 0));
        Some((id.topic.to_string(), &doubt.why))
    }

    /// None of a topic whose last commit is not answered.
    fn wanted_commits(&self, batches: Batches) -> Vec<(Slot, Wanted)> {
        let renewal_age_ms = self.options.lease_life.as_millis() as u64 / 4;
        let now_ms = now_ms();
        let write_epoch = self.options.write_epoch.get();
        let mut assignments = self.group().assignments();
        let committing = assignments.committing();
        assignments
            .active_mut()
            .filter(|(slot, _)| !committing.contains(&slot.0))
            .filter_map(|(slot, partition)| {
                partition.set_write_epoch(write_epoch);
                let wanted = partition
                    .renewal(now_ms, renewal_age_ms)
                    .or_else(|| partition.wanted_commit(batches, now_ms));
                Some((slot, wanted?))
            })
            .collect()
    }

    /// Reads what is committed after an unknown outcome. A commit that is there counts as accepted. If the committed
    /// offset is further, another member was there, and the partition is resolved anew. Everything else is left to be
    /// committed again, identically. So is every renewal: it changes nothing, so what is committed proves nothing about
    /// it.
    fn resolve_doubt(&self, wanted: Vec<(Slot, Wanted)>, sent_ms: i64) -> Result<Vec<(Slot, Wanted)>, KafkaError> {
        let mut left = Vec::new();
        let (mut done, mut foreign) = (Vec::new(), Vec::new());
        let committed = self.read_committed(&wanted)?;
        for (slot, wanted) in wanted {
            let id = self.group().assignments().id(slot);
            let found = committed.find_partition(&id.topic, id.partition);
            let offset = found
                .as_ref()
                .and_then(|element| element.offset().to_raw())
                .unwrap_or(-1);
            let same_metadata = found.is_some_and(|element| element.metadata() == wanted.metadata.encode());
            if offset == wanted.offset && same_metadata && !wanted.renews {
                done.push((slot, wanted));
            } else if offset > wanted.offset {
                foreign.push(slot);
            } else {
                left.push((slot, wanted));
            }
        }
        self.accepted(&done, sent_ms);
        if !foreign.is_empty() {
            tracing::warn!(
                partitions = foreign.len(),
                "another member committed further: checking the partitions again"
            );
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

    fn commit_failed(&mut self, topic: usize, error: &KafkaError, sent_ms: i64) {
        self.metrics.commit_failures.inc();
        let now = Instant::now();
        // If the commit turns out to be there, the first of several attempts may have made it.
        let doubt = self.doubts.entry(topic).or_insert_with(|| Doubt {
            since: now,
            sent_ms,
            next_attempt: now,
            backoff: Backoff::default(),
            why: String::new(),
        });
        let wait = doubt.backoff.next_wait();
        tracing::warn!(%error, wait_ms = wait.as_millis() as u64, "the commit's outcome is unknown");
        doubt.next_attempt = now + wait;
        doubt.why = error.to_string();
    }

    fn accepted(&self, wanted: &[(Slot, Wanted)], sent_ms: i64) {
        for (slot, wanted) in wanted {
            let job = {
                let mut assignments = self.group().assignments();
                let Some(held) = assignments.get_mut(*slot) else {
                    continue;
                };
                let assignment = held.assignment;
                held.active
                    .as_mut()
                    .and_then(|active| active.accepted(wanted, sent_ms))
                    .map(|job| (assignment, job))
            };
            crash::point(if wanted.metadata.intent.is_some() {
                "after-intent"
            } else {
                "after-commit"
            });
            if let Some((assignment, job)) = job {
                self.start_delivery(*slot, assignment, job);
            }
        }
    }

    fn start_delivery(&self, slot: Slot, assignment: AssignmentId, job: Job) {
        let topic = TopicLabel::of(&job.range.id.topic);
        self.metrics
            .consumed
            .get_or_create(&topic)
            .inc_by(job.range.len() as u64);
        let (delivery, events, in_flight) = (
            self.delivery.clone(),
            self.events.clone(),
            self.metrics.batches_in_flight.clone(),
        );
        self.runtime.spawn(async move {
            in_flight.inc();
            let outcome = tokio::spawn(async move { delivery.deliver(job).await }).await;
            let outcome = outcome.unwrap_or_else(|panic| Err(DeliveryError::Stopped(panic.to_string())));
            in_flight.dec();
            crash::point("before-commit");
            drop(events.send(Event::Delivered(slot, assignment, outcome))); // the receiver is gone only at the end
        });
    }
}
