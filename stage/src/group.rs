//! Membership of the consumer group: what happens when partitions are assigned and revoked.
//!
//! librdkafka calls back from inside `poll`, on the polling thread. An assigned partition is not fetched before its
//! start is known: the callback acknowledges it with an empty list, and it is added once it is resolved. A revoked
//! partition finishes its batch in progress and commits it, or gives it up, before the callback returns.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};

use crate::assignment::{AssignmentId, Assignments, Slot};
use crate::partition::Wanted;
use crate::range::PartitionId;

/// Starts to resolve a partition, once what it stated before is not under way any more; given up once the last argument
/// cannot be upgraded any more.
pub type StartResolving = Box<dyn Fn(Slot, AssignmentId, PartitionId, Weak<()>, Weak<()>) + Send + Sync>;

/// The state that the polling loop and the callback share.
pub struct Group {
    assignments: Mutex<Assignments>,
    start_resolving: StartResolving,
    /// How long to wait for a batch in progress when its partition is revoked.
    revoke_deadline: Duration,
}

impl Group {
    /// A group that holds nothing yet.
    pub fn new(assignments: Assignments, start_resolving: StartResolving, revoke_deadline: Duration) -> Self {
        Self {
            assignments: Mutex::new(assignments),
            start_resolving,
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
        let (id, statement) = (assignments.id(slot), assignments.statement(slot));
        (self.start_resolving)(slot, assignment, id, statement, wanted);
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
            let commits = {
                let mut assignments = self.assignments();
                assignments.settle(&slots, Instant::now() + self.revoke_deadline);
                assignments.final_commits(&slots)
            };
            for (_, commits) in by_topic(commits) {
                if let Err(error) = self.commit(consumer, &commits) {
                    tracing::warn!(%error, "the last commit of revoked partitions has an unknown outcome: their next owner will determine it");
                }
            }
        }
        let active = self.drop_slots(&slots);
        if let Err(error) = consumer.incremental_unassign(&active) {
            tracing::error!(%error, "cannot release revoked partitions");
        }
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

    /// Synchronously commits what partitions of one topic want.
    pub fn commit(&self, consumer: &BaseConsumer<Self>, wanted: &[(Slot, Wanted)]) -> KafkaResult<()> {
        if wanted.is_empty() {
            return Ok(());
        }
        if consumer.assignment_lost() {
            return Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::AssignmentLost));
        }
        let mut list = TopicPartitionList::new();
        for (slot, wanted) in wanted {
            let id = self.assignments().id(*slot);
            let mut element = list.add_partition(&id.topic, id.partition);
            element.set_offset(Offset::Offset(wanted.offset))?;
            element.set_metadata(wanted.metadata.encode());
        }
        consumer.commit(&list, CommitMode::Sync)
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
