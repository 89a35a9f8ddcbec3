//! Commits, on a thread of its own: librdkafka waits without end for the answer to a synchronous commit that is under way
//! when its broker dies. The polling thread must go on meanwhile, or nobody would hear that it is outside of the group.
//!
//! An answer comes when there is a broker again. Until then the client is not closed, and nothing else is committed for the
//! partitions of that topic, so no commit can overtake a later one.

use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Weak};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use crate::assignment::{Event, Slot};
use crate::group::Group;
use crate::partition::Wanted;

/// What partitions of one topic want to be committed, in one request.
pub struct Commit {
    /// The topic, by its position in the configuration.
    pub topic: usize,
    /// Its name.
    pub name: Arc<str>,
    /// What is wanted, and what lives as long as the assignment for which it is.
    pub wanted: Vec<(Slot, Weak<()>, Wanted)>,
    /// When it was asked for, ms since 1970.
    pub sent_ms: i64,
}

/// Commits what comes in `requests`, one after the other, until `consumer` is gone; the outcomes become events.
pub fn start(consumer: &Arc<BaseConsumer<Group>>, requests: Receiver<Commit>, events: Sender<Event>) {
    let consumer = Arc::downgrade(consumer);
    std::thread::spawn(move || {
        for commit in requests {
            let outcome = send(&consumer, &commit);
            drop(events.send(Event::Committed(commit, outcome))); // the receiver is gone only at the end
        }
    });
}

fn send(consumer: &Weak<BaseConsumer<Group>>, commit: &Commit) -> KafkaResult<()> {
    let consumer = consumer.upgrade().filter(|consumer| !consumer.assignment_lost());
    let consumer = consumer.ok_or(KafkaError::ConsumerCommit(RDKafkaErrorCode::AssignmentLost))?;
    let mut list = TopicPartitionList::with_capacity(commit.wanted.len());
    // What was taken away while this waited may be somebody else's, and the group may have admitted this client again.
    let is_ours = |(_, assignment, _): &&(Slot, Weak<()>, Wanted)| assignment.strong_count() > 0;
    for ((_, partition), _, wanted) in commit.wanted.iter().filter(is_ours) {
        let mut element = list.add_partition(&commit.name, *partition);
        element.set_offset(Offset::Offset(wanted.offset))?;
        element.set_metadata(wanted.metadata.encode());
    }
    match list.count() {
        0 => Ok(()),
        _ => consumer.commit(&list, CommitMode::Sync),
    }
}
