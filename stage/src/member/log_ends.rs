//! The ends of the logs, asked for from time to time: for the lag, for idle watermarks, and to see that a log was cut.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{AGE_A_PARTITION, Member};
use crate::assignment::{AssignmentId, Event, LogEnd, Slot};
use crate::clock::now_ms;
use crate::incident::{Incident, Reason};
use crate::lives::Life;
use crate::metrics::PartitionLabels;
use crate::partition::Partition;
use crate::probe::{Probe, ProbeError};
use crate::range::PartitionId;
use crate::stage::Progress;

/// Smallest and largest time between two looks.
const INTERVAL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// So long a batch may be refused before somebody should know: less is what a restart of the store takes.
const REFUSED_MAX: Duration = Duration::from_secs(10);
/// So long a partition may wait for its start before somebody should know.
const RESOLVING_MAX: Duration = Duration::from_secs(60);
/// A clock is slewed by less, and only ever stepped back by more.
const CLOCK_SET_BACK_MS: i64 = 1_000;

impl Member {
    /// Asks for the ends of the logs from time to time: for the lag, for idle watermarks, and to see that a log was cut.
    pub(super) fn watch_log_ends(&mut self) {
        if Instant::now() < self.bounds_due || self.asking.strong_count() > 0 {
            return; // or the last questions are not answered yet: the broker is slow or away
        }
        self.tell_health();
        self.watch_the_clock();
        let questions: Vec<Question> = {
            let mut assignments = self.group().assignments();
            let ask = |(slot, assignment, partition): (Slot, AssignmentId, &mut Partition)| Question {
                slot,
                assignment,
                id: partition.id.clone(),
                next_offset: partition.next_offset(),
                is_at_rest: partition.is_at_rest(),
                write_epoch: self.options.write_epoch.get(),
            };
            assignments.active_mut().map(ask).collect()
        };
        let interval = (AGE_A_PARTITION * questions.len() as u32).clamp(INTERVAL.0, INTERVAL.1);
        self.bounds_due = Instant::now() + interval;
        let asking = Arc::new(());
        self.asking = Arc::downgrade(&asking);
        let (probe, events, wanted) = (self.probe.clone(), self.events.clone(), Arc::downgrade(&self.alive));
        self.runtime.spawn_blocking(move || {
            for question in questions {
                if wanted.strong_count() == 0 {
                    break; // the process waits for this thread before it ends
                }
                if let Ok(log_end) = question.ask(&probe) {
                    drop(events.send(Event::LogEnd(question.slot, question.assignment, log_end)));
                }
            }
            drop(asking);
        });
    }

    /// What is late, and what is ahead, is judged by the clock of this host: when it jumps, somebody should know. While it was ahead, idle
    /// partitions may have come to watermarks that no table took; those that were stated are still right.
    fn watch_the_clock(&mut self) {
        let (instant, wall_ms) = std::mem::replace(&mut self.clocks, (Instant::now(), now_ms()));
        let jumped_ms = now_ms() - wall_ms - instant.elapsed().as_millis() as i64;
        if jumped_ms < -CLOCK_SET_BACK_MS {
            tracing::warn!(jumped_ms, "the clock was set back: what it led to is found out anew");
            let slots = self.group().assignments().slots();
            self.start_anew(&slots);
        }
        if jumped_ms.abs() <= self.options.max_clock_skew_ms {
            return;
        }
        let mut assignments = self.group().assignments();
        let Some((_, _, partition)) = assignments.active_mut().next() else {
            return;
        };
        let (stage, id) = (self.delivery.stage.name(), partition.id.clone());
        let at = (0, partition.next_offset());
        let detail =
            format!("the clock of this host jumped by {jumped_ms} ms: watermarks follow it, and never go back");
        let incident = Incident::new(stage, Reason::ClockJumped, &id, at, wall_ms, detail);
        let delivery = self.delivery.clone();
        self.runtime
            .spawn(async move { incident.tell(delivery.inserts.store()).await });
    }

    /// Ready as long as no partition is stopped and batches are taken.
    fn tell_health(&self) {
        match self.trouble() {
            Some(trouble) => self.health.not_ready(&trouble),
            None => self.health.ready(),
        }
    }

    /// The worst that somebody should know of.
    fn trouble(&self) -> Option<String> {
        let mut assignments = self.group().assignments();
        let stopped = assignments
            .active_mut()
            .filter(|(_, _, partition)| partition.is_stopped())
            .count();
        self.metrics.stopped_partitions.set(stopped as i64);
        let resolving = assignments.resolving_for(Duration::ZERO);
        self.metrics.resolving_partitions.set(resolving as i64);
        let waiting = assignments.resolving_for(RESOLVING_MAX);
        drop(assignments);
        if stopped > 0 {
            return Some(format!(
                "{stopped} partitions are stopped by errors: see the log, mend the cause, then restart this process"
            ));
        }
        if waiting > 0 {
            return Some(format!(
                "{waiting} partitions do not find out where they go on: see the log"
            ));
        }
        if let Some((topic, why)) = self.doubted_for(REFUSED_MAX) {
            return Some(format!("kafka does not take commits of {topic}, repeating: {why}"));
        }
        let why = self.delivery.inserts.refused_for(REFUSED_MAX)?;
        Some(format!("clickhouse does not take batches, repeating: {why}"))
    }

    /// Takes an answer; a log that ends before what had been read when it was asked for was cut or made again.
    pub(super) fn take_log_end(&self, slot: Slot, assignment: AssignmentId, log_end: &LogEnd) {
        let mut assignments = self.group().assignments();
        let Some(held) = assignments.get_mut(slot).filter(|held| held.assignment == assignment) else {
            return;
        };
        let Some(partition) = held.active.as_mut() else { return };
        if log_end.next_offset > log_end.end {
            tracing::warn!(partition = %partition.id, log_end = log_end.end, "the log is shorter than what was read");
            drop(assignments);
            return self.start_anew(&[slot]);
        }
        if partition.is_starved(log_end.start, Instant::now()) {
            tracing::warn!(partition = %partition.id, log_start = log_end.start, "the log begins behind what comes next, and nothing comes");
            drop(assignments);
            return self.start_anew(&[slot]);
        }
        let has_come_to = |life: &Life| life.log_epoch > partition.log_epoch() && partition.committed() >= life.start;
        if let Some(life) = self.options.lives.of(&partition.id).filter(has_come_to) {
            let is_over = partition.end_life();
            if is_over {
                tracing::warn!(partition = %partition.id, ?life, "another stage counts a later life of the log");
                drop(assignments);
                self.start_anew(&[slot]);
            }
            return;
        }
        partition.set_partitions(log_end.partitions);
        partition.set_write_epoch(log_end.write_epoch);
        let next_offset = partition.next_offset();
        let is_read = log_end.is_read && next_offset == log_end.next_offset;
        let end = if is_read { next_offset } else { log_end.end };
        let progress = partition.at_log_end(end, log_end.asked_at_ms, Instant::now());
        let labels = PartitionLabels {
            topic: partition.id.topic.to_string(),
            partition: partition.id.partition,
        };
        self.metrics
            .lag
            .get_or_create(&labels)
            .set((end - partition.committed()).max(0));
        self.metrics
            .watermark_seconds
            .get_or_create(&labels)
            .set(partition.watermark_ms() / 1000);
        drop(assignments);
        if let Some(progress) = progress {
            self.write_progress(progress, log_end.asked_at_ms);
        }
    }

    fn write_progress(&self, progress: Progress, owned_at_ms: i64) {
        let delivery = self.delivery.clone();
        self.runtime
            .spawn(async move { delivery.insert_progress(&progress, owned_at_ms).await });
    }
}

/// What is asked of the broker about a partition.
struct Question {
    slot: Slot,
    assignment: AssignmentId,
    id: PartitionId,
    next_offset: i64,
    is_at_rest: bool,
    write_epoch: u32,
}

impl Question {
    /// Asks. Blocks.
    fn ask(&self, probe: &Probe) -> Result<LogEnd, ProbeError> {
        let partitions = probe.partition_count(&self.id.topic)?;
        let asked_at_ms = now_ms();
        let bounds = probe.bounds(&self.id)?;
        let is_read = self.is_at_rest
            && bounds.stable_end == bounds.end
            && (bounds.start..bounds.end).contains(&self.next_offset)
            && !probe.has_record_from(&self.id, self.next_offset)?;
        Ok(LogEnd {
            start: bounds.start,
            end: bounds.end,
            is_read,
            partitions,
            asked_at_ms,
            next_offset: self.next_offset,
            write_epoch: self.write_epoch,
        })
    }
}
