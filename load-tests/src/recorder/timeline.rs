//! A measure over time: a histogram of everything, and one of the current interval.

use std::time::Duration;

use hdrhistogram::CreationError;

use crate::latencies::Latencies;

/// A measure over time.
#[derive(Debug)]
pub struct Timeline {
    total: Latencies,
    current: Latencies,
    begins: Duration,
}

/// What was recorded between two moments of the run.
#[derive(Debug, Clone)]
pub struct Interval {
    /// Its start.
    pub begins: Duration,
    /// Its length.
    pub length: Duration,
    /// The latencies recorded in it.
    pub latencies: Latencies,
}

impl Timeline {
    /// Empty, starting at the beginning of the run.
    pub fn new() -> Result<Self, CreationError> {
        Ok(Self {
            total: Latencies::new()?,
            current: Latencies::new()?,
            begins: Duration::ZERO,
        })
    }

    /// Adds one.
    pub fn record(&mut self, latency: Duration) {
        self.total.record(latency);
        self.current.record(latency);
    }

    /// Everything so far.
    pub fn total(&self) -> &Latencies {
        &self.total
    }

    /// Ends the interval; `None` if nothing was recorded in it.
    pub fn close(&mut self, at: Duration) -> Option<Interval> {
        let interval = (!self.current.is_empty()).then(|| Interval {
            begins: self.begins,
            length: at.saturating_sub(self.begins),
            latencies: self.current.clone(),
        });
        if interval.is_some() {
            self.current.clear();
        }
        self.begins = at;
        interval
    }
}
