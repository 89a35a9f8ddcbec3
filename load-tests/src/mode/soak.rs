//! Detects what only a long run shows: something that grows. Pure.
//!
//! Compares the second quarter of the run with the last; the first is warm-up. Uses medians, so that a merge or batch
//! that happens to be in progress does not count as growth.

use crate::recorder::Measure;
use crate::results::{Results, Second, TESTER, thousands};

/// Smaller growth is noise.
const MEMORY_GROWTH_MAX: f64 = 1.15;
const MEMORY_GROWTH_MIN_BYTES: u64 = 48 << 20;
const LATENCY_GROWTH_MAX: f64 = 1.5;
const LATENCY_GROWTH_MIN_US: u64 = 250_000;
/// Growth of the lag, in seconds at the run's rate.
const LAG_GROWTH_MIN_S: f64 = 3.0;

/// Lag at the end of a second.
type Lag = fn(&Second) -> u64;

/// Everything that grows, one line each.
pub(super) fn drifts(results: &Results) -> Vec<String> {
    let mut drifts = Vec::new();
    let sent = results.seconds.iter().map(|second| (second.at_s, second.sent));
    if quarters(sent, results.sending_s).is_none() {
        drifts.push("too short to tell what grows: a quarter of it has no second".to_owned());
    }
    // The tester keeps the course of the run, some 40 MB a day, which is no growth of the target.
    for process in results.processes.iter().filter(|process| process.name != TESTER) {
        let memory = process
            .samples
            .iter()
            .map(|sample| (sample.at_s, sample.resident_bytes));
        let Some((before, after)) = quarters(memory, results.sending_s) else {
            continue;
        };
        if after > before + MEMORY_GROWTH_MIN_BYTES && after as f64 > before as f64 * MEMORY_GROWTH_MAX {
            let mb = |bytes: u64| bytes as f64 / 1e6;
            drifts.push(format!(
                "memory of {} grows: {:.0} MB in the second quarter, {:.0} MB in the last",
                process.name,
                mb(before),
                mb(after)
            ));
        }
    }
    let lags: [(&str, Lag); 2] = [
        ("raw rows", |second| second.stored_lag),
        ("hourly rows", |second| second.aggregated_lag),
    ];
    for (what, lag) in lags {
        let course = results.seconds.iter().map(|second| (second.at_s, lag(second)));
        let Some((before, after)) = quarters(course, results.sending_s) else {
            continue;
        };
        if after.saturating_sub(before) as f64 > LAG_GROWTH_MIN_S * results.settings.records_per_s {
            drifts.push(format!(
                "the lag to {what} grows: {} records in the second quarter, {} in the last",
                thousands(before),
                thousands(after)
            ));
        }
    }
    for (measure, figures) in &results.measures {
        let course = figures.points.iter().map(|point| (point.at_s, point.p99_us));
        let Some((before, after)) = quarters(course, results.sending_s).filter(|_| *measure != Measure::Lateness)
        else {
            continue;
        };
        if after > before + LATENCY_GROWTH_MIN_US && after as f64 > before as f64 * LATENCY_GROWTH_MAX {
            drifts.push(format!(
                "{measure} p99 grows: {:.2} s in the second quarter, {:.2} s in the last",
                before as f64 / 1e6,
                after as f64 / 1e6
            ));
        }
    }
    drifts
}

/// Medians of the second and the last quarter; `None` if one has no values.
fn quarters(course: impl Iterator<Item = (f64, u64)>, length_s: f64) -> Option<(u64, u64)> {
    let quarter = length_s / 4.0;
    let (mut second, mut last) = (Vec::new(), Vec::new());
    for (at_s, value) in course.filter(|(at_s, _)| *at_s <= length_s) {
        if at_s >= 3.0 * quarter {
            last.push(value);
        } else if (quarter..2.0 * quarter).contains(&at_s) {
            second.push(value);
        }
    }
    Some((median(second)?, median(last)?))
}

fn median(mut values: Vec<u64>) -> Option<u64> {
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quarters_are_compared_by_their_medians() {
        let course = (0..100).map(|second| {
            (
                f64::from(second),
                if second == 80 { 1_000 } else { u64::from(second >= 50) },
            )
        });
        assert_eq!(quarters(course, 100.0), Some((0, 1)));
        assert_eq!(quarters(std::iter::empty(), 100.0), None);
    }
}
