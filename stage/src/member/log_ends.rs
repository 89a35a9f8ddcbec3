//! The ends of the logs, asked for from time to time: for the lag, for idle watermarks, and to see that a log was cut.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{AGE_A_PARTITION, Member};
use crate::assignment::{AssignmentId, Event, Slot};
use crate::facts::LogBounds;
use crate::lease::now_ms;
use crate::metrics::PartitionLabels;
use crate::partition::Partition;
use crate::range::PartitionId;
use crate::stage::{Progress, Stage};

/// Smallest and largest time between two looks.
const INTERVAL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

impl<S: Stage> Member<S> {
    /// Asks for the ends of the logs from time to time: for the lag, for idle watermarks, and to see that a log was cut.
    pub(super) fn watch_log_ends(&mut self) {
        if Instant::now() < self.bounds_due || self.asking.swap(true, Ordering::AcqRel) {
            return; // the last questions are not answered yet: the broker is slow or away
        }
        self.tell_health();
        let asked: Vec<(Slot, AssignmentId, PartitionId)> = {
            let mut assignments = self.group().assignments();
            let ask = |(slot, assignment, partition): (Slot, AssignmentId, &mut Partition)| {
                (slot, assignment, partition.id.clone())
            };
            assignments.active_mut().map(ask).collect()
        };
        let interval = (AGE_A_PARTITION * asked.len() as u32).clamp(INTERVAL.0, INTERVAL.1);
        self.bounds_due = Instant::now() + interval;
        let (probe, events, asking) = (self.probe.clone(), self.events.clone(), self.asking.clone());
        self.runtime.spawn_blocking(move || {
            for (slot, assignment, id) in asked {
                let asked_at_ms = now_ms();
                if let Ok(bounds) = probe.bounds(&id) {
                    drop(events.send(Event::Bounds(slot, assignment, bounds, asked_at_ms)));
                }
            }
            asking.store(false, Ordering::Release);
        });
    }

    /// Ready as long as no partition is stopped.
    fn tell_health(&self) {
        let mut assignments = self.group().assignments();
        let stopped = assignments
            .active_mut()
            .filter(|(_, _, partition)| partition.is_stopped())
            .count();
        self.metrics.stopped_partitions.set(stopped as i64);
        match stopped {
            0 => self.health.ready(),
            stopped => self
                .health
                .not_ready(&format!("{stopped} partitions are stopped by errors: see the log")),
        }
    }

    pub(super) fn take_bounds(&self, slot: Slot, assignment: AssignmentId, bounds: LogBounds, asked_at_ms: i64) {
        let mut assignments = self.group().assignments();
        let Some(held) = assignments.get_mut(slot).filter(|held| held.assignment == assignment) else {
            return;
        };
        let Some(partition) = held.active.as_mut() else { return };
        if partition.next_offset() > bounds.end {
            tracing::warn!(partition = %partition.id, log_end = bounds.end, "the log is shorter than what was read");
            drop(assignments);
            return self.start_anew(&[slot]);
        }
        let progress = partition.at_log_end(bounds.end, asked_at_ms);
        let labels = PartitionLabels {
            topic: partition.id.topic.to_string(),
            partition: partition.id.partition,
        };
        self.metrics
            .lag
            .get_or_create(&labels)
            .set((bounds.end - partition.committed()).max(0));
        self.metrics
            .watermark_seconds
            .get_or_create(&labels)
            .set(partition.watermark_ms() / 1000);
        drop(assignments);
        if let Some(progress) = progress {
            self.write_progress(progress);
        }
    }

    fn write_progress(&self, progress: Progress) {
        let delivery = self.delivery.clone();
        self.runtime
            .spawn(async move { delivery.insert_progress(&progress).await });
    }
}
