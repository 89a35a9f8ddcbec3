//! When records are meant to leave. Pure: numbers in, durations since the beginning out; no clock.
//!
//! A record's latency counts from its scheduled time, however late it really leaves. A stall of the target thus shows
//! in the latencies of all records that had to wait, instead of silently slowing down the tester. [`Shape`] is how the
//! rate varies, [`Schedule`] a shape with its mean rate and length, [`Arrivals`] the times.

mod arrivals;
mod shape;
mod trace;

use std::time::Duration;

pub use arrivals::Arrivals;
pub use shape::{Shape, ShapeError};
pub use trace::{TraceError, read_times};

/// When records are sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    shape: Shape,
    per_second: f64,
    length: Duration,
}

impl Schedule {
    /// A shape with this mean rate and length. A trace has its own.
    pub fn new(shape: Shape, per_second: f64, length: Duration) -> Result<Self, ShapeError> {
        shape.check(per_second)?;
        Ok(Self {
            shape,
            per_second,
            length,
        })
    }

    /// The times, in order. The seed only matters for Poisson.
    pub fn arrivals(&self, seed: u64) -> Arrivals {
        Arrivals::new(self, seed)
    }

    /// The number of records; for Poisson, the expected number.
    pub fn records(&self) -> u64 {
        match &self.shape {
            Shape::Trace(times) => times.len() as u64,
            Shape::Ramp { from } => ((from + self.per_second) / 2.0 * self.length.as_secs_f64()).ceil() as u64,
            // Off by part of a burst if the end cuts one off; the arrivals themselves are exact.
            Shape::Constant | Shape::Poisson | Shape::Bursts { .. } => {
                (self.per_second * self.length.as_secs_f64()).ceil() as u64
            }
        }
    }

    /// The time of its end.
    pub fn length(&self) -> Duration {
        match &self.shape {
            Shape::Trace(times) => times.last().copied().unwrap_or_default(),
            _ => self.length,
        }
    }

    /// The highest sustained rate, which the generator must be able to reach.
    pub fn peak_per_second(&self) -> f64 {
        match &self.shape {
            Shape::Constant | Shape::Poisson => self.per_second,
            Shape::Bursts { factor, .. } => self.per_second * factor,
            Shape::Ramp { from } => from.max(self.per_second),
            Shape::Trace(times) => trace::peak_per_second(times),
        }
    }
}
