//! From what was seen when to latencies: an HDR histogram of how long records took until they could be seen.
//!
//! Enters: the intended time and the offset of each record, and observations, each "at this time, everything before these offsets
//! could be seen". Leaves: one histogram value a record, counted from the intended time. An observation comes after the
//! fact, so latencies are upper bounds, too long by at most the interval between two observations. No clock, no I/O.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Serialize, Serializer};

/// Significant decimal digits.
const DIGITS: u8 = 3;
/// Longest latency that is told apart.
const LONGEST: Duration = Duration::from_secs(3_600);

/// Latencies in microseconds.
#[derive(Debug, Clone)]
pub struct Latencies(Histogram<u64>);

/// As it is written to a file: microseconds.
#[derive(Serialize)]
struct Summary {
    records: u64,
    p50_us: u64,
    p90_us: u64,
    p99_us: u64,
    p999_us: u64,
    max_us: u64,
}

impl Serialize for Latencies {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let summary = Summary {
            records: self.0.len(),
            p50_us: self.0.value_at_quantile(0.5),
            p90_us: self.0.value_at_quantile(0.9),
            p99_us: self.0.value_at_quantile(0.99),
            p999_us: self.0.value_at_quantile(0.999),
            max_us: self.0.max(),
        };
        summary.serialize(serializer)
    }
}

/// A record by where it is in the log. Times count from the beginning of the run.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// When it was meant to be sent.
    pub intended: Duration,
}

/// What could be seen at a time: of each partition, everything before this offset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observation {
    /// When.
    pub at: Duration,
    /// Offset after the last record that could be seen, by partition.
    pub ends: BTreeMap<i32, i64>,
}

impl Latencies {
    /// None yet.
    pub fn new() -> Result<Self, hdrhistogram::CreationError> {
        Histogram::new_with_bounds(1, LONGEST.as_micros() as u64, DIGITS).map(Self)
    }

    /// Adds one.
    pub fn record(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.0.saturating_record(micros);
    }

    /// How many.
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
}

/// The latency of each record that was seen, and how many were not. Records of a partition come in the order of their offsets,
/// observations in the order of their times.
pub fn latencies(sent: &[Sent], observations: &[Observation]) -> Result<(Latencies, u64), hdrhistogram::CreationError> {
    let mut latencies = Latencies::new()?;
    let mut unseen = 0;
    let mut next: BTreeMap<i32, usize> = BTreeMap::new();
    for record in sent {
        // The first observation that covers a record is never before that of the record ahead of it in the partition.
        let position = next.entry(record.partition).or_default();
        let covers = |seen: &Observation| seen.ends.get(&record.partition).is_some_and(|&end| end > record.offset);
        while observations.get(*position).is_some_and(|seen| !covers(seen)) {
            *position += 1;
        }
        match observations.get(*position) {
            Some(seen) => latencies.record(seen.at.saturating_sub(record.intended)),
            None => unseen += 1,
        }
    }
    Ok((latencies, unseen))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn seen(at_ms: u32, ends: impl IntoIterator<Item = (i32, i64)>) -> Observation {
        Observation {
            at: MS * at_ms,
            ends: ends.into_iter().collect(),
        }
    }

    fn assert_near(found: Duration, expected: Duration) {
        let off = found.abs_diff(expected).as_secs_f64() / expected.as_secs_f64();
        assert!(off < 2e-3, "{found:?} is not {expected:?}");
    }

    /// One record a millisecond; each is seen 10 ms after it was meant to leave, but nothing is between 3 s and 5 s.
    #[test]
    fn a_stall_shows_in_the_latencies_of_all_that_waited() {
        let sent: Vec<Sent> = (0..10_000)
            .map(|number| Sent {
                partition: 0,
                offset: number,
                intended: MS * number as u32,
            })
            .collect();
        let observations: Vec<Observation> = (0..10_100)
            .filter(|at| !(3_000..5_000).contains(at))
            .map(|at| seen(at, [(0, i64::from(at) - 9)]))
            .collect();
        let (latencies, unseen) = latencies(&sent, &observations).unwrap();
        assert_eq!((latencies.len(), unseen), (10_000, 0));
        assert_near(latencies.quantile(0.5), MS * 10);
        // 2,000 of 10,000 records waited, evenly between 10 ms and 2,010 ms.
        assert_near(latencies.quantile(0.9), MS * 1_010);
        assert_near(latencies.quantile(0.99), MS * 1_910);
        assert_near(latencies.max(), MS * 2_010);
    }

    #[test]
    fn partitions_do_not_wait_for_each_other() {
        let at = |partition, offset| Sent {
            partition,
            offset,
            intended: Duration::ZERO,
        };
        let observations = [seen(10, [(1, 8)]), seen(30, [(0, 6), (1, 9)])];
        let (latencies, unseen) = latencies(&[at(0, 5), at(1, 7), at(1, 8)], &observations).unwrap();
        assert_eq!((latencies.len(), unseen), (3, 0));
        assert_near(latencies.quantile(0.3), MS * 10);
        assert_near(latencies.max(), MS * 30);
    }

    #[test]
    fn a_record_that_is_never_seen_is_counted_as_such() {
        let sent = [1, 2].map(|offset| Sent {
            partition: 0,
            offset,
            intended: Duration::ZERO,
        });
        let (latencies, unseen) = latencies(&sent, &[seen(10, [(0, 2)])]).unwrap();
        assert_eq!((latencies.len(), unseen), (1, 1));
    }
}
