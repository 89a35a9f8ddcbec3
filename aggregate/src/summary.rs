//! What is kept of the values of one key besides their distribution: count, sum, extremes, the last value.
//!
//! Folding is commutative and associative except for the sum, whose last bits depend on the order of addition: it is
//! folded in the order of offsets within a chunk, and of chunks within a batch, so that equal batches give equal bits.

use serde::{Deserialize, Serialize};

/// Sums of the same values in different orders may differ by this share of the sum of magnitudes.
pub const SUM_TOLERANCE: f64 = 1e-9;

/// Count, sum, extremes and last of at least one value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// How many values.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// The latest.
    pub last: Observation,
}

/// A value, when it was observed (microseconds since 1970) and where it stands in its partition.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// Event time, microseconds since 1970.
    pub time_us: i64,
    /// Offset in the partition.
    pub offset: i64,
    /// The value.
    pub value: f64,
}

impl Summary {
    /// Of one value.
    pub fn of(observation: Observation) -> Self {
        let value = observation.value;
        Self {
            count: 1,
            sum: value,
            min: value,
            max: value,
            last: observation,
        }
    }

    /// Adds the values of a later part of the same batch.
    pub fn fold(&mut self, later: &Self) {
        self.count += later.count;
        self.sum += later.sum;
        self.min = self.min.min(later.min);
        self.max = self.max.max(later.max);
        if (later.last.time_us, later.last.offset) > (self.last.time_us, self.last.offset) {
            self.last = later.last;
        }
    }
}
