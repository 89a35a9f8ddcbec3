//! Backpressure: partitions that have enough in progress are not fetched; nothing is ever dropped.

use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;

use super::Member;
use crate::assignment::{Assignments, Paused};
use crate::partition::Partition;
use crate::range::PartitionId;

/// How long polling may rest because everything is full before partitions are paused: a pause discards records fetched
/// ahead.
const STALL_MAX: Duration = Duration::from_millis(500);
/// The partition that may continue while memory is full gives that up to the next one after so long without a record.
const EXEMPT_SILENT_MAX: Duration = Duration::from_secs(20);

impl Member {
    /// Whether polling rests just now.
    pub(super) fn is_resting(&self) -> bool {
        self.stalled_since.is_some_and(|since| since.elapsed() < STALL_MAX)
    }

    /// Pauses partitions that have enough in progress and resumes those that have room again. A brief shortage only
    /// rests polling.
    pub(super) fn hold_back(&mut self) {
        let max = self.options.buffer_bytes_max;
        let (mut pause, mut resume) = (TopicPartitionList::new(), TopicPartitionList::new());
        {
            let mut assignments = self.consumer.context().assignments();
            let bytes: usize = assignments.active_mut().map(|(_, partition)| partition.bytes()).sum();
            self.metrics.buffered_bytes.set(bytes as i64);
            let exempt = exempt(&mut self.exempt, &mut assignments, Instant::now());
            let is_exempt = |partition: &Partition| exempt.as_ref() == Some(&partition.id);
            let is_full = |partition: &Partition| partition.is_full() || (bytes >= max && !is_exempt(partition));
            // One paused because it was full resumes once it has room; one paused for memory waits until memory is half
            // free.
            let has_room =
                |partition: &Partition, why: Paused| why == Paused::Full || bytes < max / 2 || is_exempt(partition);
            let waiting = assignments
                .held_mut()
                .any(|(_, held)| held.paused.is_none() && held.active.as_ref().is_some_and(is_full));
            self.stalled_since = if waiting {
                self.stalled_since.or_else(|| Some(Instant::now()))
            } else {
                None
            };
            let stalled = self.stalled_since.is_some_and(|since| since.elapsed() >= STALL_MAX);
            for (_, held) in assignments.held_mut() {
                let Some(partition) = held.active.as_ref() else {
                    continue;
                };
                let (list, paused) = match (held.paused, is_full(partition)) {
                    (None, true) if partition.is_stopped() || (stalled && partition.is_full()) => {
                        (&mut pause, Some(Paused::Full))
                    }
                    (None, true) if stalled => (&mut pause, Some(Paused::Memory)),
                    (Some(why), false) if has_room(partition, why) => (&mut resume, None),
                    _ => continue,
                };
                held.paused = paused;
                list.add_partition(&partition.id.topic, partition.id.partition);
            }
        }
        self.pause_and_resume(&pause, &resume);
    }

    fn pause_and_resume(&self, pause: &TopicPartitionList, resume: &TopicPartitionList) {
        for (list, result) in [
            (pause, self.consumer.pause(pause)),
            (resume, self.consumer.resume(resume)),
        ] {
            if let Err(error) = result {
                tracing::warn!(%error, partitions = list.count(), "cannot pause or resume");
            }
        }
    }
}

/// The partition that continues while memory is full. A repeated range is closed by its end alone, whatever else is in
/// memory, so one of them at a time may continue: members that recover many would otherwise wait for ever. It must not
/// be one that gets nothing.
fn exempt(
    current: &mut Option<(PartitionId, Instant)>,
    assignments: &mut Assignments,
    now: Instant,
) -> Option<PartitionId> {
    let repeating = assignments
        .active_mut()
        .filter(|(_, partition)| partition.is_repeating());
    let mut repeating: Vec<_> = repeating
        .map(|(_, partition)| {
            (
                partition.id.clone(),
                partition.had_record_within(EXEMPT_SILENT_MAX, now),
            )
        })
        .collect();
    repeating.sort();
    let before = current.take();
    let goes_on = |(id, since): &(PartitionId, Instant)| {
        let is_new = now.saturating_duration_since(*since) < EXEMPT_SILENT_MAX;
        repeating
            .iter()
            .any(|(other, has_come)| other == id && (is_new || *has_come))
    };
    *current = match before {
        Some(exempt) if goes_on(&exempt) => Some(exempt),
        before => {
            let behind = repeating
                .iter()
                .find(|(id, _)| before.as_ref().is_some_and(|(before, _)| id > before));
            behind.or(repeating.first()).map(|(id, _)| (id.clone(), now))
        }
    };
    current.as_ref().map(|(id, _)| id.clone())
}
