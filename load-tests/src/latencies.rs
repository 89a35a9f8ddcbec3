//! Latencies in an HDR histogram: three significant digits from 1 µs to 1 h.
//!
//! Enters: durations. Leaves: percentiles, and the histogram itself for files that other tools read. A latency above an
//! hour is recorded as an hour. Histograms add up over time and over processes without loss. No clock, no I/O.

use std::time::Duration;

use hdrhistogram::{CreationError, Histogram};
use serde::{Deserialize, Serialize, Serializer};

/// Significant decimal digits.
pub const DIGITS: u8 = 3;
/// The longest latency that is not capped.
const LONGEST: Duration = Duration::from_secs(3_600);

/// Latencies in microseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Latencies(Histogram<u64>);

/// The summary written to files, in microseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Number of latencies.
    pub records: u64,
    /// Mean.
    pub mean_us: f64,
    /// Median.
    pub p50_us: u64,
    /// 90th percentile.
    pub p90_us: u64,
    /// 99th percentile.
    pub p99_us: u64,
    /// 99.9th percentile.
    pub p999_us: u64,
    /// 99.99th percentile.
    pub p9999_us: u64,
    /// The longest.
    pub max_us: u64,
}

impl Summary {
    /// Of two summaries whose histograms are not at hand: percentiles do not add up, so each is the larger one, which is
    /// no less than that of both together.
    pub fn worst_of(&self, other: &Self) -> Self {
        let records = self.records + other.records;
        let sum_us = self.mean_us * self.records as f64 + other.mean_us * other.records as f64;
        Self {
            records,
            mean_us: sum_us / records.max(1) as f64,
            p50_us: self.p50_us.max(other.p50_us),
            p90_us: self.p90_us.max(other.p90_us),
            p99_us: self.p99_us.max(other.p99_us),
            p999_us: self.p999_us.max(other.p999_us),
            p9999_us: self.p9999_us.max(other.p9999_us),
            max_us: self.max_us.max(other.max_us),
        }
    }
}

impl Serialize for Latencies {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.summary().serialize(serializer)
    }
}

impl Latencies {
    /// An empty histogram.
    pub fn new() -> Result<Self, CreationError> {
        Histogram::new_with_bounds(1, LONGEST.as_micros() as u64, DIGITS).map(Self)
    }

    /// Adds one. Latencies below a microsecond count as one.
    pub fn record(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.0.saturating_record(micros.max(1));
    }

    /// Adds all of another histogram, also one with other bounds that was read from a file.
    pub fn add(&mut self, other: &Histogram<u64>) {
        for value in other.iter_recorded() {
            self.0
                .saturating_record_n(value.value_iterated_to(), value.count_at_value());
        }
    }

    /// Removes all latencies.
    pub fn clear(&mut self) {
        self.0.reset();
    }

    /// Number of latencies.
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The latency that this share of the records did not exceed.
    pub fn quantile(&self, quantile: f64) -> Duration {
        Duration::from_micros(self.0.value_at_quantile(quantile))
    }

    /// The longest.
    pub fn max(&self) -> Duration {
        Duration::from_micros(self.0.max())
    }

    /// How many are longer, within the histogram's precision.
    pub fn longer_than(&self, latency: Duration) -> u64 {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.0.len() - self.0.count_between(0, micros)
    }

    /// The histogram of microseconds.
    pub fn histogram(&self) -> &Histogram<u64> {
        &self.0
    }

    /// The usual percentiles.
    pub fn summary(&self) -> Summary {
        let at = |quantile| self.0.value_at_quantile(quantile);
        Summary {
            records: self.0.len(),
            mean_us: self.0.mean(),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            p9999_us: at(0.9999),
            max_us: self.0.max(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn adding_two_is_recording_all_in_one(first in prop::collection::vec(1u64..4_000_000_000, 0..50), second in prop::collection::vec(1u64..4_000_000_000, 0..50)) {
            let of = |values: &[u64]| {
                let mut latencies = Latencies::new().unwrap();
                for &value in values {
                    latencies.record(Duration::from_micros(value));
                }
                latencies
            };
            let mut sum = of(&first);
            sum.add(of(&second).histogram());
            let all: Vec<u64> = first.iter().chain(&second).copied().collect();
            prop_assert_eq!(sum.summary(), of(&all).summary());
        }
    }

    #[test]
    fn what_is_longer_than_a_bound_is_counted() {
        let mut latencies = Latencies::new().unwrap();
        for millis in [1, 10, 100, 1_000] {
            latencies.record(Duration::from_millis(millis));
        }
        assert_eq!(latencies.longer_than(Duration::from_millis(50)), 2);
        assert_eq!(latencies.longer_than(Duration::from_secs(7_200)), 0);
    }
}
