//! Recorded times: a text file with a number of seconds per line, in order; the first is the beginning.
//!
//! `#` starts a comment. Pure: text in, durations out.

use std::time::Duration;

/// Why a file is not a trace.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum TraceError {
    /// A line that is not a number of seconds.
    #[error("line {0}: not a number of seconds")]
    Line(usize),
    /// The times are not in order.
    #[error("line {0}: earlier than the line before; sort the file")]
    Order(usize),
    /// There are no times.
    #[error("it contains no times")]
    Empty,
}

/// Reads the times, relative to the first.
pub fn read_times(text: &str) -> Result<Vec<Duration>, TraceError> {
    let mut times: Vec<f64> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let seconds = line.parse::<f64>().ok().filter(|seconds| seconds.is_finite());
        let seconds = seconds.ok_or(TraceError::Line(number))?;
        if times.last().is_some_and(|last| seconds < *last) {
            return Err(TraceError::Order(number));
        }
        times.push(seconds);
    }
    let first = *times.first().ok_or(TraceError::Empty)?;
    let since_first = |seconds: &f64| Duration::try_from_secs_f64(seconds - first).map_err(|_| TraceError::Empty);
    times.iter().map(since_first).collect()
}

/// The maximum number of times within a second.
pub(super) fn peak_per_second(times: &[Duration]) -> f64 {
    let mut first = 0;
    let mut peak = 0;
    for (number, time) in times.iter().enumerate() {
        while *time - times[first] >= Duration::from_secs(1) {
            first += 1;
        }
        peak = peak.max(number + 1 - first);
    }
    peak as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_count_from_the_first() {
        let times = read_times("# seconds\n1000.5\n1000.5\n1001.75 # a pause\n").unwrap();
        assert_eq!(times, [0, 0, 1_250].map(Duration::from_millis));
    }

    #[test]
    fn what_is_wrong_is_named_by_its_line() {
        assert_eq!(read_times("1\nx\n"), Err(TraceError::Line(2)));
        assert_eq!(read_times("2\n\n1\n"), Err(TraceError::Order(3)));
        assert_eq!(read_times("# none\n"), Err(TraceError::Empty));
    }

    #[test]
    fn the_peak_is_the_fullest_second() {
        let times = [0, 100, 200, 1_100, 5_000].map(Duration::from_millis);
        assert_eq!(peak_per_second(&times), 3.0);
        assert_eq!(peak_per_second(&[]), 0.0);
    }
}
