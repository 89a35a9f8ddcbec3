//! When records are meant to leave. Pure: numbers and durations in and out, no clock.
//!
//! A record's latency counts from its time in the schedule, however late it really leaves: a stall of the system under test
//! then shows in the latencies of all that had to wait, instead of slowing the tester down unseen.

use std::num::NonZeroU32;
use std::time::Duration;

const NANOS_A_SECOND: u128 = 1_000_000_000;

/// Evenly spaced records.
#[derive(Debug, Clone, Copy)]
pub struct Constant {
    /// Records a second.
    pub per_second: NonZeroU32,
}

impl Constant {
    /// When a record is meant to leave, from the beginning on; the first is number 0.
    pub fn due_at(&self, number: u64) -> Duration {
        let rate = u128::from(self.per_second.get());
        let nanos = (u128::from(number) * NANOS_A_SECOND).div_ceil(rate);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// How many records are meant to have left by then.
    pub fn due_by(&self, elapsed: Duration) -> u64 {
        let rate = u128::from(self.per_second.get());
        u64::try_from(elapsed.as_nanos() * rate / NANOS_A_SECOND + 1).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_record_is_due_from_its_time_on_and_not_before(rate in 1u32..10_000_000, number in 1u64..1 << 40) {
            let schedule = Constant { per_second: NonZeroU32::new(rate).unwrap() };
            let at = schedule.due_at(number);
            prop_assert!(schedule.due_by(at) > number);
            prop_assert!(schedule.due_by(at - Duration::from_nanos(1)) <= number);
        }
    }

    #[test]
    fn so_many_a_second() {
        let schedule = Constant {
            per_second: NonZeroU32::new(20_000).unwrap(),
        };
        assert_eq!(schedule.due_at(0), Duration::ZERO);
        assert_eq!(schedule.due_at(20_000), Duration::from_secs(1));
    }
}
