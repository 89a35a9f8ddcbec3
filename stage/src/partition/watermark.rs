//! The watermark of a partition: how far it has come, and how far the tables know. Pure.

use std::time::Duration;

/// When an hour is complete.
#[derive(Debug, Clone, Copy)]
pub struct Completeness {
    /// How far the watermark stays behind the newest record, ms.
    pub allowed_lateness_ms: i64,
    /// A partition without a new record for so long, with everything stored, is complete up to now, less the allowed
    /// lateness.
    pub idle_after: Duration,
}

/// Moments before which no record comes on time, ms since 1970; 0 where there is none.
#[derive(Debug, Clone, Copy)]
pub struct Watermark {
    /// The newest one that the tables have.
    stated_ms: i64,
    /// The newest one that they have or may have: what an idle partition states may be refused, or still be in flight.
    reached_ms: i64,
    allowed_lateness_ms: i64,
}

impl Watermark {
    /// Of a partition that begins.
    pub fn new(stated_ms: i64, reached_ms: i64, allowed_lateness_ms: i64) -> Self {
        Self {
            stated_ms,
            reached_ms,
            allowed_lateness_ms,
        }
    }

    /// The newest one that the tables have.
    pub fn stated_ms(&self) -> i64 {
        self.stated_ms
    }

    /// The newest one that they have or may have.
    pub fn reached_ms(&self) -> i64 {
        self.reached_ms
    }

    /// What a batch freezes that begins now. Nothing that is ahead of the clock (which may have been set back since),
    /// nor behind what is stated: its records would be on time in hours that are complete.
    pub fn frozen_ms(&self, now_ms: i64) -> i64 {
        let reached_ms = self.reached_ms.min(now_ms - self.allowed_lateness_ms);
        reached_ms.max(self.stated_ms)
    }

    /// What is reached after a batch that froze `before_ms`, with records up to `high_time_ms`: never ahead of the clock,
    /// and otherwise never behind `before_ms`, which is ahead only if the clock has been set back since it was frozen.
    pub fn after_ms(&self, before_ms: i64, high_time_ms: Option<i64>, now_ms: i64) -> i64 {
        let reached_ms = high_time_ms.map_or(before_ms, |high| high - self.allowed_lateness_ms);
        before_ms.max(reached_ms).min(now_ms - self.allowed_lateness_ms)
    }

    /// The tables have this one.
    pub fn stated(&mut self, watermark_ms: i64) {
        self.stated_ms = self.stated_ms.max(watermark_ms);
        self.reached(watermark_ms);
    }

    /// The tables may have this one.
    pub fn reached(&mut self, watermark_ms: i64) {
        self.reached_ms = self.reached_ms.max(watermark_ms);
    }

    /// Advances with the clock, from a moment at which everything was stored; returns what is to be stated. If the clock
    /// is behind what is stated, that is repeated.
    pub fn advance(&mut self, now_ms: i64) -> i64 {
        self.reached_ms = (now_ms - self.allowed_lateness_ms).max(self.stated_ms);
        self.reached_ms
    }
}

#[cfg(test)]
mod tests {
    use super::Watermark;

    #[test]
    fn a_watermark_goes_neither_back_nor_ahead_of_the_clock() {
        let watermark = Watermark::new(0, 0, 10);
        for (before, high, now, after) in [
            (100, None, 1_000, 100),
            (100, Some(500), 1_000, 490),
            (100, Some(90), 1_000, 100),
            (100, Some(5_000), 1_000, 990),
            // Frozen before the clock was set back.
            (7_000, Some(500), 1_000, 990),
        ] {
            assert_eq!(watermark.after_ms(before, high, now), after, "{before} {high:?}");
        }
    }
}
