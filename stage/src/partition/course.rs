//! What an active partition does with what comes: it goes on, or it is about to be resolved anew, at once or once what it
//! holds is stored.

use std::time::Instant;

use super::{Partition, Phase};
use crate::delivery::How;

/// What a partition does with records that it has not begun to store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Course {
    /// It takes and stores them.
    GoesOn,
    /// It begins no batch: another life of the log is about to begin.
    Ends,
    /// It takes none and begins no batch since then: what happened to its log is not known.
    Suspended(Instant),
    /// It takes none, and stores what it holds, which its log has not any more.
    Finishes,
}

impl Partition {
    /// Begins no further batch, once everything to be recovered has been begun. Returns true if no batch is in
    /// progress: then the partition can be resolved anew without leaving a batch to be recovered in this life.
    pub fn end_life(&mut self) -> bool {
        let is_recovering = self.recovery.is_some() || self.closed.iter().any(|closed| closed.how != How::Fresh);
        if is_recovering || self.course == Course::Finishes {
            return false;
        }
        if self.course == Course::GoesOn {
            self.course = Course::Ends;
        }
        matches!(self.phase, Phase::Idle)
    }

    /// What it does with records that it has not begun to store.
    pub fn course(&self) -> Course {
        self.course
    }

    /// Takes no more records and begins no batch, unless it [finishes](Self::finish).
    pub fn suspend(&mut self, now: Instant) {
        if self.takes_records() {
            self.course = Course::Suspended(now);
        }
    }

    /// Takes no more records, and stores what it holds; returns whether that is anything. What it holds of a batch that
    /// is to be repeated as it was is dropped: its end cannot be fetched any more.
    pub fn finish(&mut self) -> bool {
        if self.course != Course::Finishes {
            self.course = Course::Finishes;
            if !self.is_repeating() && !self.filling.is_empty() {
                self.close(self.filling.next());
            }
        }
        self.holds_records()
    }

    /// Whether it holds ranges that are not stored and committed.
    pub fn holds_records(&self) -> bool {
        !self.closed.is_empty() || matches!(self.phase, Phase::Delivering { .. } | Phase::Delivered { .. })
    }

    /// Whether it takes records at all.
    pub(super) fn takes_records(&self) -> bool {
        !self.is_stopped() && matches!(self.course, Course::GoesOn | Course::Ends)
    }
}
