//! The times of a schedule, one after the other.
//!
//! A deterministic shape inverts the integral of its rate: record `n` leaves when the integral reaches `n`. So times
//! never drift, however long a run is. Poisson adds up exponential gaps drawn from a seed.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{Schedule, Shape};

/// The times of a schedule, in order.
pub struct Arrivals {
    source: Source,
    length: Duration,
    next: Option<Duration>,
}

enum Source {
    /// Record `number` of a shape whose integral has an inverse.
    Inverse {
        curve: Curve,
        number: u64,
    },
    Poisson {
        mean_gap_s: f64,
        at_s: f64,
        random: Box<StdRng>,
    },
    Trace(std::vec::IntoIter<Duration>),
}

/// The integral of a rate.
enum Curve {
    Constant {
        per_s: f64,
    },
    Bursts {
        period_s: f64,
        length_s: f64,
        high: f64,
        low: f64,
    },
    Ramp {
        from: f64,
        slope: f64,
    },
}

impl Arrivals {
    pub(super) fn new(schedule: &Schedule, seed: u64) -> Self {
        let per_s = schedule.per_second;
        let inverse = |curve| Source::Inverse { curve, number: 0 };
        let source = match &schedule.shape {
            Shape::Constant => inverse(Curve::Constant { per_s }),
            &Shape::Bursts { period, length, factor } => {
                let (period_s, length_s) = (period.as_secs_f64(), length.as_secs_f64());
                let high = per_s * factor;
                let low = (per_s * period_s - high * length_s) / (period_s - length_s);
                inverse(Curve::Bursts {
                    period_s,
                    length_s,
                    high,
                    low,
                })
            }
            &Shape::Ramp { from } => inverse(Curve::Ramp {
                from,
                slope: (per_s - from) / schedule.length.as_secs_f64(),
            }),
            Shape::Poisson => Source::Poisson {
                mean_gap_s: per_s.recip(),
                at_s: 0.0,
                random: Box::new(StdRng::seed_from_u64(seed)),
            },
            Shape::Trace(times) => Source::Trace(times.clone().into_iter()),
        };
        let mut arrivals = Self {
            source,
            length: schedule.length,
            next: None,
        };
        arrivals.next = arrivals.make();
        arrivals
    }

    /// The next time, without consuming it.
    pub fn peek(&self) -> Option<Duration> {
        self.next
    }

    fn make(&mut self) -> Option<Duration> {
        match &mut self.source {
            Source::Trace(times) => times.next(),
            Source::Inverse { curve, number } => {
                let at = curve.inverse(*number as f64)?;
                *number += 1;
                within(at, self.length)
            }
            Source::Poisson {
                mean_gap_s,
                at_s,
                random,
            } => {
                // 1 - [0, 1) is above zero, where the logarithm is finite.
                *at_s -= (1.0 - random.random::<f64>()).ln() * *mean_gap_s;
                within(*at_s, self.length)
            }
        }
    }
}

impl Iterator for Arrivals {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let taken = self.next.take()?;
        self.next = self.make();
        Some(taken)
    }
}

fn within(at_s: f64, length: Duration) -> Option<Duration> {
    let at = Duration::try_from_secs_f64(at_s).ok()?;
    (at < length).then_some(at)
}

impl Curve {
    /// When this many records have left, in seconds; `None` if a ramp down ends before that.
    fn inverse(&self, records: f64) -> Option<f64> {
        match *self {
            Self::Constant { per_s } => Some(records / per_s),
            Self::Bursts {
                period_s,
                length_s,
                high,
                low,
            } => {
                let in_burst = high * length_s;
                let in_period = in_burst + low * (period_s - length_s);
                let periods = (records / in_period).floor();
                let rest = records - periods * in_period;
                let within = if rest < in_burst || low <= 0.0 {
                    rest / high
                } else {
                    length_s + (rest - in_burst) / low
                };
                Some(periods * period_s + within)
            }
            // from·t + slope·t²/2 = records, solved in the form that avoids cancellation when the slope is small.
            Self::Ramp { from, slope } => {
                if records == 0.0 {
                    return Some(0.0);
                }
                let root = from * from + 2.0 * slope * records;
                (root >= 0.0).then(|| 2.0 * records / (from + root.sqrt()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn arrivals(shape: Shape, per_second: f64, seconds: u64, seed: u64) -> Vec<Duration> {
        let schedule = Schedule::new(shape, per_second, Duration::from_secs(seconds)).unwrap();
        schedule.arrivals(seed).collect()
    }

    fn before(times: &[Duration], seconds: f64) -> f64 {
        times.partition_point(|time| time.as_secs_f64() < seconds) as f64
    }

    proptest! {
        #[test]
        fn times_never_go_back_and_end_in_time(kind in 0..4usize, rate in 1.0..5_000.0f64, from in 0.0..5_000.0f64, seconds in 1u64..30, seed: u64) {
            let bursts = Shape::Bursts { period: Duration::from_secs(3), length: Duration::from_secs(1), factor: 2.5 };
            let shape = [Shape::Constant, Shape::Poisson, bursts, Shape::Ramp { from }][kind].clone();
            let times = arrivals(shape, rate, seconds, seed);
            prop_assert!(times.is_sorted());
            prop_assert!(times.last().is_none_or(|last| *last < Duration::from_secs(seconds)));
        }

        #[test]
        fn a_constant_rate_is_kept_to_the_record(rate in 1u32..100_000, seconds in 1u64..20) {
            let times = arrivals(Shape::Constant, rate.into(), seconds, 0);
            prop_assert_eq!(times.len() as u64, u64::from(rate) * seconds);
        }

        /// At every moment of a ramp, as many records have left as its integral says.
        #[test]
        fn a_ramp_follows_its_integral(from in 0.0..2_000.0f64, to in 1.0..2_000.0f64, at in 0.0..1.0f64) {
            let times = arrivals(Shape::Ramp { from }, to, 20, 0);
            let t = at * 20.0;
            let integral = from * t + (to - from) / 20.0 * t * t / 2.0;
            prop_assert!((before(&times, t) - integral).abs() <= 1.5, "{} of {integral}", before(&times, t));
        }

        /// Whole periods have the mean rate, and bursts have their multiple of it.
        #[test]
        fn bursts_keep_the_mean(rate in 50.0..2_000.0f64, factor in 1.0..4.9f64) {
            let (period, length) = (Duration::from_secs(5), Duration::from_secs(1));
            let times = arrivals(Shape::Bursts { period, length, factor }, rate, 20, 0);
            prop_assert!((times.len() as f64 - rate * 20.0).abs() <= 1.5);
            for start in [0.0, 5.0, 10.0, 15.0] {
                let burst = before(&times, start + 1.0) - before(&times, start);
                prop_assert!((burst - rate * factor).abs() <= 1.5, "{burst} of {}", rate * factor);
            }
        }

        /// Exponential gaps have equal mean and standard deviation. The bounds are five standard errors of 20,000 gaps.
        #[test]
        fn poisson_gaps_are_exponential(seed: u64) {
            let times = arrivals(Shape::Poisson, 1_000.0, 20, seed);
            let gaps: Vec<f64> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
            let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
            let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
            prop_assert!((mean * 1_000.0 - 1.0).abs() < 0.036, "mean gap {mean}");
            prop_assert!((variance.sqrt() / mean - 1.0).abs() < 0.05, "coefficient of variation {}", variance.sqrt() / mean);
            let longer_than_mean = gaps.iter().filter(|gap| **gap > mean).count() as f64 / gaps.len() as f64;
            prop_assert!((longer_than_mean - (-1.0f64).exp()).abs() < 0.02, "{longer_than_mean}");
        }
    }

    #[test]
    fn a_seed_gives_the_same_times_again() {
        assert_eq!(
            arrivals(Shape::Poisson, 100.0, 5, 7),
            arrivals(Shape::Poisson, 100.0, 5, 7)
        );
        assert_ne!(
            arrivals(Shape::Poisson, 100.0, 5, 7),
            arrivals(Shape::Poisson, 100.0, 5, 8)
        );
    }

    #[test]
    fn a_ramp_down_to_nearly_nothing_ends() {
        let times = arrivals(Shape::Ramp { from: 100.0 }, 0.5, 10, 0);
        assert!((500..505).contains(&times.len()), "{}", times.len());
    }
}
