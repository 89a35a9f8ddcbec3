//! Cuts a rebuild into parts: runs of hours of raw rows, or ranges of offsets of a log.
//!
//! Pure. A part is done as a whole or not at all, and recorded when it is done. The same hours and counts give the same
//! parts, so an interrupted rebuild continues under the same tokens.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use horolog_stage::range::PartitionId;

use crate::cut::Position;
use crate::hour_runs::hour_runs;
use crate::ledger::HourBatch;

/// A part of a rebuild.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Where its records are.
    pub place: Place,
    /// The records by hour that must be found.
    pub expected: BTreeMap<u32, u64>,
}

/// Where the records of a part are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In `metrics`, in these hours; the end is exclusive.
    Hours(u32, u32),
    /// In a log, from here on, before an offset.
    Offsets(PartitionId, Position, i64),
}

impl Part {
    /// Its name in tokens and in `rebuild_parts`.
    pub fn name(&self) -> String {
        match &self.place {
            Place::Hours(from, to) => format!("hours/{from}-{to}"),
            Place::Offsets(log, start, end) => format!("{log}@{}/{}-{end}", start.log_epoch, start.offset),
        }
    }

    /// Its records.
    pub fn records(&self) -> u64 {
        self.expected.values().sum()
    }
}

/// Runs of hours with at most so many raw rows each, unless a single hour has more; without the hours that are done.
pub fn hours(counts: &BTreeMap<u32, u64>, done: &BTreeSet<u32>, records_max: u64) -> Vec<Part> {
    let part = |run: Range<u32>| Part {
        place: Place::Hours(run.start, run.end),
        expected: counts.range(run).map(|(hour, records)| (*hour, *records)).collect(),
    };
    hour_runs(counts, done, records_max).into_iter().map(part).collect()
}

/// Ranges of offsets that hold these batches, with at most so many records each, unless a single batch has more.
/// Batches without records of the hours are left out.
pub fn offsets(batches: &[HourBatch], records_max: u64) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for batch in batches {
        let records: u64 = batch.hours.values().sum();
        let last = parts.last_mut().filter(|part| part.records() + records <= records_max);
        match last {
            Some(Part {
                place: Place::Offsets(log, start, end),
                expected,
            }) if *log == batch.log && start.log_epoch == batch.start.log_epoch && *end == batch.start.offset => {
                *end = batch.end;
                for (hour, records) in &batch.hours {
                    *expected.entry(*hour).or_default() += records;
                }
            }
            _ => parts.push(Part {
                place: Place::Offsets(batch.log.clone(), batch.start, batch.end),
                expected: batch.hours.clone(),
            }),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::HOUR_S;

    fn names(parts: &[Part]) -> Vec<String> {
        parts.iter().map(Part::name).collect()
    }

    #[test]
    fn an_interrupted_rebuild_goes_on_with_the_part_it_was_at() {
        let counts: BTreeMap<u32, u64> = (0..10).map(|hour| (hour * HOUR_S, 700_000)).collect();
        let all = hours(&counts, &BTreeSet::new(), 2_000_000);
        assert_eq!(names(&all)[..2], ["hours/0-7200", "hours/7200-14400"]);
        assert_eq!(all.iter().map(Part::records).sum::<u64>(), 7_000_000);
        for done in 0..all.len() {
            let hours_done = all[..done]
                .iter()
                .flat_map(|part| part.expected.keys().copied())
                .collect();
            assert_eq!(hours(&counts, &hours_done, 2_000_000), all[done..]);
        }
    }

    #[test]
    fn an_hour_is_never_divided_and_none_is_done_twice() {
        let counts = BTreeMap::from([(0, 5_000_000), (HOUR_S, 1), (2 * HOUR_S, 1), (3 * HOUR_S, 1)]);
        let parts = hours(&counts, &BTreeSet::from([2 * HOUR_S]), 2_000_000);
        assert_eq!(names(&parts), ["hours/0-3600", "hours/3600-7200", "hours/10800-14400"]);
    }

    #[test]
    fn neighbouring_batches_are_read_together() {
        let batch = |partition, start, end, records| HourBatch {
            log: PartitionId::new("metrics", partition),
            start: Position {
                log_epoch: 1,
                offset: start,
            },
            end,
            hours: BTreeMap::from([(0, records)]),
        };
        let parts = offsets(
            &[
                batch(0, 0, 10, 10),
                batch(0, 10, 30, 20),
                batch(0, 40, 50, 1),
                batch(1, 50, 60, 200_000),
                batch(1, 60, 70, 60_000),
            ],
            250_000,
        );
        assert_eq!(
            names(&parts),
            [
                "metrics/0@1/0-30",
                "metrics/0@1/40-50",
                "metrics/1@1/50-60",
                "metrics/1@1/60-70"
            ]
        );
        assert_eq!(parts[0].expected, BTreeMap::from([(0, 30)]));
    }
}
