//! What is done when a log may have been recreated or cut, or may have deleted records unread.
//!
//! A suspected partition takes no more records and begins no batch until the log has been asked for its end. Then it is
//! resolved anew, and fetches again what it held. Where the log has deleted that, as its retention does while nothing can
//! be stored, what is held is the last copy, and is stored first. Not so if the log was cut: another record may have come
//! to the offset of one that is held.

use std::time::{Duration, Instant};

use super::Member;
use crate::assignment::Slot;
use crate::partition::{Course, Partition};

/// Partitions are resolved anew on suspicion at most this often: a broken topic must not keep healthy ones from their
/// work.
const INTERVAL: Duration = Duration::from_secs(10);
/// A suspected partition of whose log nothing is heard for so long is resolved anew as well. A round of questions may be
/// under way already.
const UNHEARD_MAX: Duration = Duration::from_secs(30);

impl Member {
    /// Suspects every fetched partition if a log may have been recreated or cut, at limited intervals. librdkafka reports
    /// such a thing once and then stops fetching the partition, so a suspicion that comes too early is kept for later.
    pub(super) fn follow_suspicion(&mut self) {
        let is_due = |last: Instant| last.elapsed() >= INTERVAL;
        if self.suspects && self.last_suspicion.is_none_or(is_due) {
            self.suspects = false;
            self.last_suspicion = Some(Instant::now());
            self.bounds_due = Instant::now();
            // Partitions that are resolving carry on: otherwise each suspicion about another one would restart what they
            // wait for.
            for (_, partition) in self.group().assignments().active_mut() {
                partition.suspend(Instant::now());
            }
        }
        self.leave_suspected();
    }

    /// Resolves anew the suspected partitions that have stored what they held, that cannot because commits are refused
    /// (the topic was deleted), or of whose log nothing is heard.
    fn leave_suspected(&self) {
        let slots: Vec<Slot> = {
            let mut assignments = self.group().assignments();
            let active = assignments
                .active_mut()
                .filter(|(_, partition)| !partition.is_stopped());
            let is_over = |(slot, partition): &(Slot, &mut Partition)| match partition.course() {
                Course::GoesOn | Course::Ends => false,
                Course::Suspended(since) => since.elapsed() >= UNHEARD_MAX,
                Course::Finishes => !partition.holds_records() || self.is_doubted(slot.0, self.options.lease_life),
            };
            active.filter(is_over).map(|(slot, _)| slot).collect()
        };
        if !slots.is_empty() {
            self.start_anew(&slots);
        }
    }
}
