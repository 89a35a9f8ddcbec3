//! Membership of the consumer group: what happens when partitions are assigned and revoked.
//!
//! librdkafka calls back from inside `poll`, on the polling thread. An assigned partition is not fetched before its
//! start is known: the callback acknowledges it with an empty list, and it is added once it is resolved. A revoked
//! partition finishes its batch in progress and commits it, or gives it up, before the callback returns.

use std::collections::BTreeMap;
use std::sync::mpsc::Sender;
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::RDKafkaRespErr;

use crate::assignment::{AssignmentId, Assignments, Slot};
use crate::committer::Commit;
use crate::partition::Wanted;
use crate::range::PartitionId;

/// How long to wait for the answer to the last commit of revoked partitions.
const LAST_COMMIT_MAX: Duration = Duration::from_secs(5);

/// A partition whose start must be determined.
pub struct Unresolved {
    /// Which.
    pub slot: Slot,
    /// For which assignment.
    pub assignment: AssignmentId,
    /// Its name.
    pub id: PartitionId,
    /// What was stated or committed of it before is under way while any of these can be upgraded: it has to be waited
    /// for.
    pub under_way: [Weak<()>; 2],
    /// Nobody waits for it any more if this cannot be upgraded.
    pub wanted: Weak<()>,
}

/// Starts to resolve a partition.
pub type StartResolving = Box<dyn Fn(Unresolved) + Send + Sync>;

/// The state that the polling loop and the callback share.
pub struct Group {
    assignments: Mutex<Assignments>,
    start_resolving: StartResolving,
    commits: Sender<Commit>,
    /// How long to wait for a batch in progress when its partition is revoked.
    revoke_deadline: Duration,
}

impl Group {
    /// A group that holds nothing yet.
    pub fn new(
        assignments: Assignments,
        start_resolving: StartResolving,
        commits: Sender<Commit>,
        revoke_deadline: Duration,
    ) -> Self {
        Self {
            assignments: Mutex::new(assignments),
            start_resolving,
            commits,
            revoke_deadline,
        }
    }

    /// The partitions. Never hold the guard across `poll`, whose callbacks lock it too.
    pub fn assignments(&self) -> MutexGuard<'_, Assignments> {
        self.assignments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to resolve a partition that was assigned, or that must be resolved again.
    pub fn resolve(&self, slot: Slot) {
        let mut assignments = self.assignments();
        let (assignment, wanted) = assignments.assign(slot);
        (self.start_resolving)(Unresolved {
            slot,
            assignment,
            id: assignments.id(slot),
            under_way: assignments.under_way(slot),
            wanted,
        });
    }

    fn slots(&self, list: &TopicPartitionList) -> Vec<Slot> {
        let assignments = self.assignments();
        list.elements()
            .iter()
            .filter_map(|element| assignments.slot(element.topic(), element.partition()))
            .collect()
    }

    fn assigned(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        if let Err(error) = consumer.incremental_assign(&TopicPartitionList::new()) {
            tracing::error!(%error, "cannot acknowledge an assignment");
        }
        self.assignments().joined();
        for slot in self.slots(list) {
            self.resolve(slot);
        }
    }

    fn revoked(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        let slots = self.slots(list);
        let lost = consumer.assignment_lost();
        tracing::info!(partitions = slots.len(), lost, "partitions revoked");
        self.assignments().left();
        if !lost {
            self.finish(&slots);
        }
        let active = self.drop_slots(&slots);
        if let Err(error) = consumer.incremental_unassign(&active) {
            tracing::error!(%error, "cannot release revoked partitions");
        }
    }

    /// Waits for what is in progress and commits it. A last commit whose outcome stays unknown is for the next owner to
    /// determine.
    fn finish(&self, slots: &[Slot]) {
        let commits = {
            let mut assignments = self.assignments();
            assignments.settle(slots, Instant::now() + self.revoke_deadline);
            by_topic(assignments.final_commits(slots))
        };
        let committed: Vec<Slot> = commits.values().flatten().map(|(slot, _)| *slot).collect();
        for (topic, wanted) in commits {
            self.commit(topic, wanted);
        }
        self.assignments().settle(&committed, Instant::now() + LAST_COMMIT_MAX);
    }

    /// Forgets partitions; returns those that are being fetched.
    pub fn drop_slots(&self, slots: &[Slot]) -> TopicPartitionList {
        let mut assignments = self.assignments();
        let mut active = TopicPartitionList::new();
        for &slot in slots {
            let id = assignments.id(slot);
            if assignments.drop_slot(slot) {
                active.add_partition(&id.topic, id.partition);
            }
        }
        active
    }

    /// Begins to commit what partitions of a topic want; the answer is an event.
    pub fn commit(&self, topic: usize, wanted: Vec<(Slot, Wanted)>) {
        let commit = self.assignments().begin_commit(topic, wanted);
        drop(self.commits.send(commit)); // the receiver lives as long as the client, whose context this is
    }
}

/// Wanted commits by topic: what makes a commit fail (a deleted topic, missing rights) concerns one topic, and the
/// others must not wait for it.
pub fn by_topic(wanted: Vec<(Slot, Wanted)>) -> BTreeMap<usize, Vec<(Slot, Wanted)>> {
    let mut topics: BTreeMap<usize, Vec<(Slot, Wanted)>> = BTreeMap::new();
    for (slot, wanted) in wanted {
        topics.entry(slot.0).or_default().push((slot, wanted));
    }
    topics
}

impl ClientContext for Group {}

impl ConsumerContext for Group {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, event: RDKafkaRespErr, list: &mut TopicPartitionList) {
        match event {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assigned(consumer, list),
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => self.revoked(consumer, list),
            other => {
                tracing::error!(error = %RDKafkaErrorCode::from(other), "rebalance failed");
                self.revoked(consumer, list);
            }
        }
    }
}
