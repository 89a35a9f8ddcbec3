//! Asks for the ends of the logs periodically: for the lag, for idle watermarks, and to notice that a log was cut.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;

use super::{AGE_A_PARTITION, Member};
use crate::assignment::{AssignmentId, Event, Held, Slot};
use crate::clock::now_ms;
use crate::growth::Growth;
use crate::log_end::{Finding, LogEnd, Position};
use crate::metrics::PartitionLabels;
use crate::partition::{Course, Partition};
use crate::probe::{Probe, ProbeError};
use crate::progress;
use crate::range::PartitionId;
use crate::stage::Progress;

/// Smallest and largest time between two rounds of questions.
const INTERVAL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// After so long without a record, though there is room, the log is asked whether it has any.
const SILENT_MAX: Duration = Duration::from_secs(30);

impl Member {
    /// Asks for the ends of the logs if it is time.
    pub(super) fn watch_log_ends(&mut self) {
        if Instant::now() < self.bounds_due || self.asking.strong_count() > 0 {
            return; // or the previous questions are not answered yet: the broker is slow or away
        }
        let now = Instant::now();
        let questions: Vec<Question> = {
            let mut assignments = self.group().assignments();
            let ask = |(slot, held): (Slot, &mut Held)| {
                let has_room = held.paused.is_none();
                let partition = held.active.as_mut()?;
                Some(Question {
                    slot,
                    assignment: held.assignment,
                    id: partition.id.clone(),
                    next_offset: partition.next_offset(),
                    is_at_rest: partition.is_at_rest(),
                    is_suspended: matches!(partition.course(), Course::Suspended(_)),
                    silent: partition.silent(has_room, now),
                    growth: partition.growth(),
                    write_epoch: self.options.write_epoch.get(),
                })
            };
            let mut questions: Vec<Question> = assignments.held_mut().filter_map(ask).collect();
            questions.sort_by_key(|question| question.slot);
            questions
        };
        let interval = (AGE_A_PARTITION * questions.len() as u32).clamp(INTERVAL.0, INTERVAL.1);
        self.bounds_due = Instant::now() + interval;
        let asking = Arc::new(());
        self.asking = Arc::downgrade(&asking);
        let (probe, events, wanted) = (self.probe.clone(), self.events.clone(), Arc::downgrade(&self.alive));
        let (delivery, runtime) = (self.delivery.clone(), self.runtime.clone());
        self.runtime.spawn_blocking(move || {
            let of_topic = |a: &Question, b: &Question| a.id.topic == b.id.topic;
            for questions in questions.chunk_by(of_topic) {
                let topic = &questions[0].id.topic;
                let partitions = match probe.partition_count(topic) {
                    Ok(partitions) if partitions > 0 => partitions,
                    Ok(_) => continue, // a broker that has only just started may not know the topic yet
                    Err(error) => {
                        tracing::warn!(%topic, %error, "cannot ask for the ends of the logs");
                        break; // the broker is away, and each further question would time out as well
                    }
                };
                let grows = |question: &Question| !question.growth.is_all_of(partitions);
                let progress = (delivery.stage.states_progress() && questions.iter().any(grows))
                    .then(|| runtime.block_on(progress::read_all(delivery.inserts.store(), topic)));
                if let Some(Err(error)) = &progress {
                    tracing::warn!(%error, "cannot read the progress of the topic's partitions");
                }
                for question in questions {
                    if wanted.strong_count() == 0 {
                        return; // the process waits for this thread before it ends
                    }
                    let growth = match &progress {
                        Some(Ok(progress)) => Growth::of(question.growth.counted, partitions, progress),
                        Some(Err(_)) => question.growth.waiting(),
                        None => question.growth,
                    };
                    match question.ask(&probe, growth) {
                        Ok(log_end) => drop(events.send(Event::LogEnd(question.slot, question.assignment, log_end))),
                        Err(error) => {
                            tracing::warn!(partition = %question.id, %error, "cannot ask for the end of the log");
                        }
                    }
                }
            }
            drop(asking);
        });
    }

    /// Takes an answer; [`LogEnd::finding`] decides what it means.
    pub(super) fn take_log_end(&mut self, slot: Slot, assignment: AssignmentId, log_end: &LogEnd) {
        let mut assignments = self.consumer.context().assignments();
        let (is_stating, is_committing) = (assignments.is_stating(slot), assignments.is_committing(slot.0));
        let Some(held) = assignments.get_mut(slot).filter(|held| held.assignment == assignment) else {
            return;
        };
        let Some(partition) = held.active.as_mut() else { return };
        let next = partition.next_offset();
        let at = Position {
            log_epoch: partition.log_epoch(),
            committed: partition.committed(),
            next_offset: next,
        };
        let finding = log_end.finding(&at, self.options.lives.of(&partition.id));
        if matches!(finding, Finding::LaterLife(_) | Finding::Whole { .. }) {
            self.stuck.has_come_to(slot, next, log_end.end);
            if next == log_end.next_offset && log_end.has_nothing {
                partition.has_all(log_end.end - log_end.unstable);
                self.stuck.forget(slot);
            }
        }
        match finding {
            Finding::Cut => {
                tracing::warn!(partition = %partition.id, log_end = log_end.end, "the log is shorter than what was read");
            }
            Finding::Withheld => {
                tracing::warn!(partition = %partition.id, next, log_start = log_end.start, log_end = log_end.end, "no records arrive, though the log has more");
                self.is_useless |= self.stuck.note(slot, next);
            }
            Finding::Suspected => {}
            Finding::Overtaken => {
                if partition.finish() {
                    tracing::warn!(partition = %partition.id, committed = at.committed, log_start = log_end.start, "the log has deleted records that are not stored: storing those that are here");
                    return;
                }
            }
            Finding::LaterLife(life) => {
                if !partition.end_life() || is_committing {
                    return; // or the intent of a batch may be on its way
                }
                tracing::warn!(partition = %partition.id, ?life, "another stage counts a later life of the log");
            }
            Finding::Whole { end } => {
                self.go_on(partition, end, log_end);
                if is_stating || !self.delivery.stage.states_progress() {
                    return; // one at a time: the tables are slow; and some stages state nothing
                }
                if let Some(progress) =
                    partition.at_log_end(end, log_end.asked_at_ms, log_end.write_epoch, Instant::now())
                {
                    let under_way = assignments.begin_statement(slot);
                    self.state(slot, assignment, progress, log_end.asked_at_ms, under_way);
                }
                return;
            }
        }
        drop(assignments);
        self.start_anew(&[slot]);
    }

    /// Updates a partition from an answer.
    fn go_on(&self, partition: &mut Partition, end: i64, log_end: &LogEnd) {
        if partition.growth() != log_end.growth {
            let Growth { counted, is_whole } = log_end.growth;
            tracing::info!(partition = %partition.id, counted, is_whole, "partitions are added to the topic: completeness stays where it is until all count");
            partition.set_growth(log_end.growth);
        }
        let labels = PartitionLabels {
            topic: partition.id.topic.to_string(),
            partition: partition.id.partition,
        };
        self.metrics
            .lag
            .get_or_create(&labels)
            .set((end - partition.committed()).max(0));
        self.metrics
            .unstable
            .get_or_create(&labels)
            .set(log_end.unstable.max(0));
        if self.delivery.stage.states_progress() {
            let watermark_seconds = self.metrics.watermark_seconds.get_or_create(&labels);
            watermark_seconds.set(partition.watermark_ms() / 1000);
        }
    }

    /// Writes what an idle partition states, and reports back whether the tables have it.
    fn state(&self, slot: Slot, assignment: AssignmentId, progress: Progress, owned_at_ms: i64, under_way: Arc<()>) {
        let (delivery, events) = (self.delivery.clone(), self.events.clone());
        self.runtime.spawn(async move {
            let is_stored = delivery.insert_progress(&progress, owned_at_ms).await;
            drop(under_way); // before the event, which wakes who waits for the end of the statement
            drop(events.send(Event::Stated(
                slot,
                assignment,
                is_stored.then_some(progress.watermark_ms),
            )));
        });
    }
}

/// A question to the broker about a partition.
struct Question {
    slot: Slot,
    assignment: AssignmentId,
    id: PartitionId,
    next_offset: i64,
    is_at_rest: bool,
    is_suspended: bool,
    /// For how long nothing has arrived, though there was room.
    silent: Duration,
    growth: Growth,
    write_epoch: u32,
}

impl Question {
    /// Asks. Blocks.
    fn ask(&self, probe: &Probe, growth: Growth) -> Result<LogEnd, ProbeError> {
        let asked_at_ms = now_ms();
        let bounds = probe.bounds(&self.id)?;
        let is_there = (bounds.start..bounds.stable_end).contains(&self.next_offset);
        let is_silent = self.silent >= SILENT_MAX;
        let has_more = match is_there && (self.is_at_rest || is_silent) {
            true => Some(probe.has_record_from(&self.id, self.next_offset)),
            false => None,
        };
        let has_none = matches!(has_more, Some(Ok(false)));
        // A record that cannot be read keeps back what is behind it, just as one that librdkafka does not ask for.
        let is_kept_back = self.next_offset < bounds.start || (has_more.is_some() && !has_none);
        Ok(LogEnd {
            start: bounds.start,
            end: bounds.end,
            unstable: bounds.end - bounds.stable_end,
            has_nothing: has_none || self.next_offset >= bounds.stable_end,
            is_withheld: is_silent && is_kept_back,
            is_suspected: self.is_suspended,
            is_read: has_none && self.is_at_rest && bounds.stable_end == bounds.end,
            growth,
            asked_at_ms,
            next_offset: self.next_offset,
            write_epoch: self.write_epoch,
        })
    }
}
