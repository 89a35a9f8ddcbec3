//! Runs of hours that one statement reads, of a rebuild or of a verification. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::key::HOUR_S;

/// Runs with at most `records_max` of these records each, unless a single hour has more. A run goes on across hours
/// that have none, and ends before those to leave out.
pub fn hour_runs(records: &BTreeMap<u32, u64>, left_out: &BTreeSet<u32>, records_max: u64) -> Vec<Range<u32>> {
    let mut runs: Vec<Range<u32>> = Vec::new();
    let mut in_last = 0;
    for (&hour, &records) in records.iter().filter(|(hour, _)| !left_out.contains(hour)) {
        match runs.last_mut() {
            Some(run) if in_last + records <= records_max && left_out.range(run.end..hour).next().is_none() => {
                run.end = hour + HOUR_S;
                in_last += records;
            }
            _ => {
                runs.push(hour..hour + HOUR_S);
                in_last = records;
            }
        }
    }
    runs
}
