//! When a range is closed: it is full, or old enough. Pure.

use std::time::{Duration, Instant};

use crate::range::Filling;

/// A partition has gone quiet after so long without a record.
pub const QUIET: Duration = Duration::from_millis(250);
/// A range is large from this fraction (one in so many) of the rows that it may have.
const LARGE: usize = 16;

/// When a range is closed.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Records.
    pub rows_max: usize,
    /// Memory of the records.
    pub bytes_max: usize,
    /// Time since the first record.
    pub age_max: Duration,
    /// The same for a large range whose partition has gone quiet: its backlog is read, so nothing else is worth waiting
    /// for.
    pub age_min: Duration,
}

impl Limits {
    /// Whether a range has as much as it may.
    pub fn are_reached(&self, filling: &Filling) -> bool {
        filling.len() >= self.rows_max || filling.bytes() >= self.bytes_max
    }

    /// Whether a range is old enough; `is_quiet` if its partition has gone quiet.
    pub fn is_old(&self, filling: &Filling, is_quiet: bool, now: Instant) -> bool {
        let is_large = filling.len() >= self.rows_max / LARGE;
        let age_max = if is_large && is_quiet {
            self.age_min
        } else {
            self.age_max
        };
        filling
            .opened()
            .is_some_and(|opened| now.duration_since(opened) >= age_max)
    }
}
