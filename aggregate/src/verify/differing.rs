//! Hours that differ, or could not be compared because records kept arriving for them, which the running stage compares
//! again until they are equal, however long ago they were.
//!
//! In: what verifications found. Out: spans of hours to compare again, and the differences as of the last comparison of
//! each hour. Pure.

use std::collections::BTreeMap;

use super::finding::Finding;
use super::verifier::{MOVING, Outcome};
use crate::key::HOUR_S;
use crate::scope::Scope;

/// Maximum number of hours of either kind kept beyond the newest ones: each may cost several statements every time.
const HOURS_MAX: usize = 24;

/// Hours that differ, with their findings; those for which records kept arriving may have none.
#[derive(Debug, Default)]
pub struct DifferingHours(BTreeMap<u32, Vec<Finding>>);

impl DifferingHours {
    /// Takes what a verification of these hours found. An hour that could not be compared stays as it was, and is added
    /// if records kept arriving for it: it may have to be passed by.
    pub fn take(&mut self, scope: &Scope, outcome: &Outcome) {
        self.0
            .retain(|hour, _| !scope.has_hour(*hour) || outcome.not_compared.contains_key(hour));
        let mut found: BTreeMap<u32, Vec<Finding>> = BTreeMap::new();
        for finding in &outcome.findings {
            if let Some(hour) = finding.hour() {
                found.entry(hour).or_default().push(finding.clone());
            }
        }
        self.0.extend(found);
        for (&hour, _) in outcome.not_compared.iter().filter(|(_, why)| **why == MOVING) {
            self.0.entry(hour).or_default();
        }
    }

    /// Forgets hours before `oldest`, and of those before `newest` all but the last [`HOURS_MAX`] that differ and as many
    /// that do not.
    pub fn forget(&mut self, oldest: u32, newest: u32) {
        for differs in [true, false] {
            let alike = |findings: &Vec<Finding>| differs != findings.is_empty();
            let mut hours = self.0.range(..newest).rev().filter(|(_, findings)| alike(findings));
            let last = hours.nth(HOURS_MAX - 1);
            let first = last.map_or(oldest, |(hour, _)| oldest.max(*hour));
            self.0.retain(|hour, findings| *hour >= first || !alike(findings));
        }
    }

    /// Whether an hour is one of them.
    pub fn has_hour(&self, hour: u32) -> bool {
        self.0.contains_key(&hour)
    }

    /// The hours before `end` as spans, adjacent ones together.
    pub fn spans_before(&self, end: u32) -> Vec<(u32, u32)> {
        let mut spans: Vec<(u32, u32)> = Vec::new();
        for &hour in self.0.range(..end).map(|(hour, _)| hour) {
            match spans.last_mut() {
                Some(span) if span.1 == hour => span.1 += HOUR_S,
                _ => spans.push((hour, hour + HOUR_S)),
            }
        }
        spans
    }

    /// What differs, newest hours first.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.0.values().rev().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differs(hour: u32, count: u64) -> Finding {
        Finding::RawAgainstLedger {
            hour: hour * HOUR_S,
            count: (count, 10),
            offsets: Vec::new(),
        }
    }

    fn hours(from: u32, to: u32) -> Scope {
        Scope::all(from * HOUR_S, to * HOUR_S)
    }

    fn found(findings: impl IntoIterator<Item = Finding>) -> Outcome {
        Outcome {
            findings: findings.into_iter().collect(),
            ..Outcome::default()
        }
    }

    #[test]
    fn an_hour_is_kept_until_it_is_compared_and_equal() {
        let mut differing = DifferingHours::default();
        differing.take(&hours(0, 4), &found([differs(1, 9), differs(2, 9), differs(3, 9)]));
        differing.take(&hours(4, 8), &found([]));
        assert_eq!(differing.spans_before(3 * HOUR_S), [(HOUR_S, 3 * HOUR_S)]);

        let unknown = Outcome {
            not_compared: BTreeMap::from([(2 * HOUR_S, MOVING)]),
            ..found([differs(1, 8)])
        };
        differing.take(&hours(1, 4), &unknown);
        let left: Vec<Finding> = differing.findings().cloned().collect();
        assert_eq!(left, [differs(2, 9), differs(1, 8)], "the third is equal now");
        differing.forget(2 * HOUR_S, 8 * HOUR_S);
        assert_eq!(differing.spans_before(u32::MAX), [(2 * HOUR_S, 3 * HOUR_S)]);
        assert!(differing.has_hour(2 * HOUR_S) && !differing.has_hour(HOUR_S));
    }

    fn not_compared(hours: impl IntoIterator<Item = u32>, why: &'static str) -> Outcome {
        Outcome {
            not_compared: hours.into_iter().map(|hour| (hour * HOUR_S, why)).collect(),
            ..Outcome::default()
        }
    }

    #[test]
    fn an_hour_for_which_records_keep_arriving_is_compared_again_without_a_finding() {
        let mut differing = DifferingHours::default();
        differing.take(&hours(0, 4), &not_compared([1], MOVING));
        differing.take(&hours(0, 4), &not_compared([1, 2], "ingest is behind"));
        assert_eq!(differing.spans_before(u32::MAX), [(HOUR_S, 2 * HOUR_S)]);
        assert_eq!(differing.findings().count(), 0);
        differing.take(&hours(0, 4), &found([]));
        assert_eq!(differing.spans_before(u32::MAX), []);
    }

    #[test]
    fn hours_for_which_records_keep_arriving_drive_out_none_that_differs() {
        let mut differing = DifferingHours::default();
        let many = HOURS_MAX as u32 + 5;
        differing.take(&hours(0, 1), &found([differs(0, 9)]));
        differing.take(&hours(1, many), &not_compared(1..many, MOVING));
        differing.forget(0, many * HOUR_S);
        assert_eq!(
            differing.spans_before(u32::MAX),
            [(0, HOUR_S), (5 * HOUR_S, many * HOUR_S)]
        );
    }

    #[test]
    fn of_too_many_hours_those_are_kept_that_are_newest() {
        let mut differing = DifferingHours::default();
        let many = HOURS_MAX as u32 + 5;
        differing.take(&hours(0, many), &found((0..many).map(|hour| differs(hour, 9))));
        differing.forget(0, (many - 3) * HOUR_S);
        assert_eq!(differing.spans_before(u32::MAX), [(2 * HOUR_S, many * HOUR_S)]);
    }
}
