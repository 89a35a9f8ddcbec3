//! When the next records are due.
//!
//! Enters: a rate, and the time. Leaves: the times of the records that are due, evenly spaced. A stream that fell
//! behind by more than a bound skips what it missed instead of sending it in a burst. Pure.

/// How far a stream may fall behind before it skips, in microseconds.
const BEHIND_MAX_US: i64 = 2_000_000;

/// Times at an even rate.
#[derive(Debug)]
pub struct Schedule {
    interval_us: f64,
    start_us: i64,
    given: u64,
}

impl Schedule {
    /// Starts now; `per_s` of 0 never has anything due.
    pub fn new(per_s: f64, now_us: i64) -> Self {
        let interval_us = if per_s > 0.0 { 1e6 / per_s } else { f64::INFINITY };
        Self {
            interval_us,
            start_us: now_us,
            given: 0,
        }
    }

    /// The time of the next record, when it is due by now.
    pub fn next_due(&mut self, now_us: i64) -> Option<i64> {
        if !self.interval_us.is_finite() {
            return None;
        }
        if self.next_us() < now_us - BEHIND_MAX_US {
            (self.start_us, self.given) = (now_us, 0);
        }
        let next = self.next_us();
        (next <= now_us).then(|| {
            self.given += 1;
            next
        })
    }

    fn next_us(&self) -> i64 {
        self.start_us + (self.given as f64 * self.interval_us) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(schedule: &mut Schedule, now_us: i64) -> Vec<i64> {
        std::iter::from_fn(|| schedule.next_due(now_us)).collect()
    }

    #[test]
    fn gives_evenly_spaced_times() {
        let mut schedule = Schedule::new(4.0, 1_000_000);
        assert_eq!(due(&mut schedule, 1_000_000), [1_000_000]);
        assert_eq!(due(&mut schedule, 1_600_000), [1_250_000, 1_500_000]);
        assert_eq!(due(&mut schedule, 1_700_000), [0; 0]);
        assert_eq!(due(&mut schedule, 2_000_000), [1_750_000, 2_000_000]);
    }

    #[test]
    fn skips_what_it_missed_by_more_than_the_bound() {
        let mut schedule = Schedule::new(1000.0, 0);
        assert_eq!(due(&mut schedule, 10_000_000), [10_000_000]);
    }

    #[test]
    fn a_rate_of_nothing_gives_nothing() {
        assert_eq!(due(&mut Schedule::new(0.0, 0), 1_000_000), [0; 0]);
    }
}
