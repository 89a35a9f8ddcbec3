//! What an active partition does when it hears of the end of its log: whether it should get more, whether it has all, and
//! how its watermark advances with the clock while it is idle.

use std::time::{Duration, Instant};

use super::{Partition, Phase};
use crate::stage::Progress;

impl Partition {
    /// For how long nothing has arrived although there was room and the log may have more. When a log is cut or
    /// deleted, librdkafka reports it once, in the queue of records that a pause empties, and fetches no more.
    pub fn silent(&mut self, has_room: bool, now: Instant) -> Duration {
        if !has_room || self.is_full() {
            self.silent_since = None;
            return Duration::ZERO;
        }
        let next = self.filling.next();
        let known = self.silent_since.filter(|(offset, _)| *offset == next);
        let (_, since) = *self.silent_since.insert(known.unwrap_or((next, now)));
        now.saturating_duration_since(since)
    }

    /// The log, which can be read up to `stable_end`, has nothing more for it: there is no silence to measure, and a
    /// recovered range ends there, even if the next record may be long in coming.
    pub fn has_all(&mut self, stable_end: i64) {
        self.silent_since = None;
        if let Some(end) = self.recovery_end().filter(|&end| end <= stable_end) {
            self.close(end);
        }
    }

    /// Whether everything that was read is stored.
    pub fn is_at_rest(&self) -> bool {
        matches!(self.phase, Phase::Idle)
            && self.closed.is_empty()
            && self.filling.is_empty()
            && self.recovery.is_none()
    }

    /// The log ended at `log_end` at `asked_at_ms`: if everything before that is stored and the partition is idle, its
    /// watermark advances with the clock. The watermark counts as [stated](Self::stated) once the tables have it; that
    /// of a clock that is ahead they never accept. A stated one is repeated where it cannot advance, because a partition
    /// that reports nothing is taken to be gone. So it is while the topic grows, at any rest: others wait for the number
    /// of partitions in it.
    ///
    /// `write_epoch` was the newest when the log was asked. If there is a newer one now, nothing is stated: an owner that
    /// was paused meanwhile must not say of it where it begins.
    pub fn at_log_end(&mut self, log_end: i64, asked_at_ms: i64, write_epoch: u32, now: Instant) -> Option<Progress> {
        if write_epoch < self.write_epoch {
            return None;
        }
        let all_stored = self.is_at_rest() && self.filling.next() >= log_end;
        let idle = self
            .last_record
            .is_none_or(|last| now.saturating_duration_since(last) >= self.idle_after);
        if self.growth.is_whole && all_stored && idle {
            let watermark_ms = self.watermark.advance(asked_at_ms);
            return Some(self.progress(watermark_ms));
        }
        let repeats = !self.growth.is_whole && self.is_at_rest();
        repeats.then(|| self.progress(self.watermark.stated_ms()))
    }

    fn progress(&self, watermark_ms: i64) -> Progress {
        Progress {
            id: self.id.clone(),
            log_epoch: self.log_epoch,
            partitions: self.growth.counted,
            aggregated_end: self.filling.next(),
            watermark_ms,
            write_epoch: self.write_epoch,
        }
    }
}
