//! Backpressure: partitions that have enough under way are not fetched; nothing is ever dropped.

use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;

use super::Member;
use crate::partition::Partition;

/// How long polling may rest because everything is full, before partitions are paused: a pause throws fetched records away.
const STALL_MAX: Duration = Duration::from_millis(500);

impl Member {
    /// Whether polling rests just now.
    pub(super) fn is_resting(&self) -> bool {
        self.stalled_since.is_some_and(|since| since.elapsed() < STALL_MAX)
    }

    /// Pauses partitions that have enough under way, resumes those that have room again. Short fullness only rests polling.
    pub(super) fn hold_back(&mut self) {
        let max = self.options.buffer_bytes_max;
        let (mut pause, mut resume) = (TopicPartitionList::new(), TopicPartitionList::new());
        {
            let mut assignments = self.consumer.context().assignments();
            let bytes: usize = assignments
                .active_mut()
                .map(|(_, _, partition)| partition.bytes())
                .sum();
            self.metrics.buffered_bytes.set(bytes as i64);
            // A repeated range is closed by its end alone, whatever else is in memory: one of them at a time goes on, or members
            // that recover many would wait for each other for ever.
            let exempt = assignments
                .active_mut()
                .filter(|(_, _, partition)| partition.is_repeating())
                .map(|(_, _, partition)| partition.id.clone())
                .min();
            let is_full =
                |partition: &Partition| partition.is_full() || (bytes >= max && exempt.as_ref() != Some(&partition.id));
            let has_room = |partition: &Partition| bytes < max / 2 || exempt.as_ref() == Some(&partition.id);
            let waiting = assignments
                .held_mut()
                .any(|(_, held)| !held.paused && held.active.as_ref().is_some_and(is_full));
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
                let full = is_full(partition);
                let list = match (held.paused, full) {
                    (false, true) if stalled || partition.is_stopped() => &mut pause,
                    (true, false) if has_room(partition) => &mut resume,
                    _ => continue,
                };
                held.paused = full;
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
