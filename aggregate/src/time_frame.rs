//! What is late in a batch, and whose clock is ahead: judged by what its intent froze and by the Kafka timestamps of
//! its records.
//!
//! Enters: the watermark before the batch, the clock when it began, all Kafka timestamps. A pure function of them, so a
//! repeated batch is judged alike.
//!
//! One record in the far future must not declare hours complete. So a record may move the watermark only if its own
//! time is not ahead of its Kafka timestamp, and its Kafka timestamp not ahead of its neighbours' nor of our clock, by
//! more than the tolerated skew. Neighbours extend upwards from the median of the batch's timestamps, as long as each
//! step is no larger than the skew or, where that is shorter, a minute: nobody's traffic is without pauses. A batch of a
//! backlog spans hours in small steps; a fast clock has a gap before it. Where most records carry old Kafka timestamps
//! (a relay that sets them to the events' times), the others have that gap before them, and nothing here can tell the two
//! apart.

use std::collections::BTreeMap;

use crate::key::HOUR_S;

const MINUTE_MS: i64 = 60_000;

/// How the times of a batch are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeFrame {
    /// Watermark of the partition before the batch, ms since 1970.
    pub watermark_ms: i64,
    /// When the batch began, by our clock, ms since 1970.
    pub begun_at_ms: i64,
    /// Largest Kafka timestamp that is believed, ms since 1970.
    pub believed_until_ms: i64,
    /// How far a clock may be ahead, ms.
    pub max_clock_skew_ms: i64,
}

impl TimeFrame {
    /// For samples whose lateness is decided elsewhere: nothing is late, and no clock is ahead.
    pub const UNJUDGED: Self = Self {
        watermark_ms: 0,
        begun_at_ms: 0,
        believed_until_ms: i64::MAX,
        max_clock_skew_ms: i64::MAX,
    };

    /// The frame of a batch with these Kafka timestamps, ms since 1970.
    pub fn new(
        timestamps_ms: impl Iterator<Item = i64>,
        watermark_ms: i64,
        begun_at_ms: i64,
        max_clock_skew_ms: i64,
    ) -> Self {
        // Counted in steps of a minute or of the skew: timestamps in two neighbouring steps are at most two steps apart.
        let step_ms = max_clock_skew_ms.max(MINUTE_MS);
        let mut steps: BTreeMap<i64, u64> = BTreeMap::new();
        let mut last: Option<(i64, u64)> = None;
        for timestamp_ms in timestamps_ms {
            let step = timestamp_ms.div_euclid(step_ms);
            match &mut last {
                Some((at, records)) if *at == step => *records += 1,
                _ => {
                    if let Some((at, records)) = last.replace((step, 1)) {
                        *steps.entry(at).or_default() += records;
                    }
                }
            }
        }
        if let Some((at, records)) = last {
            *steps.entry(at).or_default() += records;
        }
        let reached = reached(&steps).map_or(i64::MAX, |step| step.saturating_add(1).saturating_mul(step_ms) - 1);
        Self {
            watermark_ms,
            begun_at_ms,
            believed_until_ms: reached.min(begun_at_ms.saturating_add(max_clock_skew_ms)),
            max_clock_skew_ms,
        }
    }

    /// Whether a record's times may move the watermark; otherwise its clock is ahead.
    pub fn testifies(&self, time_ms: i64, timestamp_ms: i64) -> bool {
        timestamp_ms <= self.believed_until_ms && time_ms <= timestamp_ms.saturating_add(self.max_clock_skew_ms)
    }

    /// Whether the hour was already complete before the batch.
    pub fn is_late(&self, hour: u32) -> bool {
        is_late(hour, self.watermark_ms)
    }

    /// How far a time is behind the watermark, whole seconds.
    pub fn lateness_s(&self, time_ms: i64) -> u32 {
        (self.watermark_ms - time_ms)
            .div_euclid(1_000)
            .clamp(0, u32::MAX.into()) as u32
    }

    /// The minute of the batch for a late hour, 0 for one that is on time; seconds since 1970.
    pub fn revised_at(&self, hour: u32) -> i64 {
        if self.is_late(hour) {
            minute_of(self.begun_at_ms)
        } else {
            0
        }
    }
}

/// Whether an hour is complete at a watermark, ms since 1970.
pub fn is_late(hour: u32, watermark_ms: i64) -> bool {
    (i64::from(hour) + i64::from(HOUR_S)) * 1_000 <= watermark_ms
}

/// The minute, seconds since 1970, in which late records of a batch that began at `begun_at_ms` (ms since 1970) revise
/// their hours.
pub fn minute_of(begun_at_ms: i64) -> i64 {
    begun_at_ms.div_euclid(MINUTE_MS) * MINUTE_MS / 1_000
}

/// The last step that can be reached from the median without a gap.
fn reached(steps: &BTreeMap<i64, u64>) -> Option<i64> {
    let records: u64 = steps.values().sum();
    let mut below = 0;
    let median = steps.iter().find_map(|(step, count)| {
        below += count;
        (below * 2 >= records).then_some(*step)
    })?;
    let mut reached = median;
    for (step, _) in steps.range(median..) {
        if *step > reached.saturating_add(1) {
            break;
        }
        reached = *step;
    }
    Some(reached)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SKEW_MS: i64 = 60_000;
    const NOW_MS: i64 = 1_700_000_000_000;

    fn frame(timestamps_ms: &[i64]) -> TimeFrame {
        TimeFrame::new(timestamps_ms.iter().copied(), 0, NOW_MS, SKEW_MS)
    }

    #[test]
    fn a_record_of_the_far_future_does_not_testify() {
        let frame = frame(&[NOW_MS - 3, NOW_MS - 2, NOW_MS - 1]);
        assert!(frame.testifies(NOW_MS, NOW_MS));
        assert!(!frame.testifies(NOW_MS + 86_400_000, NOW_MS), "its own time");
    }

    #[test]
    fn a_producer_whose_clock_is_fast_does_not_testify_in_a_backlog() {
        let hour = 3_600_000;
        let (then, fast) = (NOW_MS - 48 * hour, NOW_MS - 47 * hour);
        let frame = frame(&[then, then + 10, fast, then + 20, then + 30]);
        assert!(frame.testifies(then + 30, then + 30));
        assert!(!frame.testifies(fast, fast));
    }

    #[test]
    fn a_backlog_of_hours_testifies_to_its_end() {
        let timestamps: Vec<i64> = (0..10_000).map(|second| NOW_MS - 1_000 * (20_000 - second)).collect();
        let last = *timestamps.last().unwrap();
        assert!(frame(&timestamps).testifies(last, last));
    }

    #[test]
    fn nobody_is_ahead_of_our_clock() {
        let ahead = NOW_MS + 10 * SKEW_MS;
        assert!(!frame(&[ahead, ahead + 1]).testifies(ahead, ahead));
    }

    #[test]
    fn an_hour_is_late_when_its_end_is_not_behind_the_watermark() {
        let frame = TimeFrame {
            watermark_ms: 7_200_000,
            ..frame(&[])
        };
        assert!(frame.is_late(3_600) && !frame.is_late(3_601));
        assert_eq!(frame.lateness_s(7_100_000), 100);
        assert_eq!(frame.lateness_s(7_200_001), 0);
    }

    proptest! {
        #[test]
        fn the_order_of_the_records_does_not_matter(
            mut timestamps in prop::collection::vec(NOW_MS - 10_000_000..NOW_MS + 10_000_000, 0..50),
            skew_ms in 0..100_000_i64,
        ) {
            let one = TimeFrame::new(timestamps.iter().copied(), 0, NOW_MS, skew_ms);
            timestamps.sort_unstable();
            let other = TimeFrame::new(timestamps.iter().copied(), 0, NOW_MS, skew_ms);
            prop_assert_eq!(one, other);
        }

        #[test]
        fn half_of_the_records_testify_unless_our_clock_is_behind(
            timestamps in prop::collection::vec(NOW_MS - 10_000_000..NOW_MS, 1..50),
        ) {
            let frame = frame(&timestamps);
            let testify = timestamps.iter().filter(|at| frame.testifies(**at, **at)).count();
            prop_assert!(testify * 2 >= timestamps.len());
        }
    }
}
