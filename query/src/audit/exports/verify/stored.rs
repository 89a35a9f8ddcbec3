//! Checks what the table held against the ledger, month by month.
//!
//! Enters: the ledger of a manifest, and its filter. Leaves: a claim for the months of the span from which nothing may
//! be missing; what retention may have deleted is noted. Pure.

use std::collections::BTreeMap;
use std::fmt;

use super::Report;
use crate::api::Instant;
use crate::audit::exports::completeness::bound;
use crate::audit::exports::snapshot::Snapshot;
use crate::audit::months;

/// Whether the table had, month by month, what the ledger says was stored: of all tenants, because the ledger knows no
/// tenants. A month of the span that is in no file is compared too: everything in it may be missing, as may the whole
/// table.
pub fn check(report: &mut Report, filter: &BTreeMap<String, String>, ledger: &Snapshot) {
    let begins = kept_from(ledger);
    let of_span = differences(ledger, span_of(filter));
    let (kept, older): (Vec<_>, Vec<_>) = of_span
        .into_iter()
        .partition(|difference| begins.is_some_and(|begins| months::bounds(difference.month)[0] >= begins));
    for difference in older {
        report.noted.push(format!(
            "MISSING in a month that the retention had reached (or, if an earlier release did not record how far that was, before the oldest \
             month in the table): past their retention, or deleted: {difference}"
        ));
    }
    let kept: Vec<String> = kept.iter().map(Difference::to_string).collect();
    report.claim(
        kept.is_empty(),
        "in every month of the span that the retention had not reached, the table held as many rows as the ledger says were stored",
        || {
            format!(
                "the table did not hold what the ledger says was stored in {}; rows that a shorter retention deleted earlier count as such a difference",
                kept.join(", ")
            )
        },
    );
}

/// From this microsecond on nothing may be missing. If an earlier release did not write how far retention had reached,
/// it is the beginning of the oldest month of which the table had anything; none if it had nothing.
fn kept_from(ledger: &Snapshot) -> Option<i64> {
    let of_table = || ledger.stored_months.iter().filter(|entry| entry.rows > 0);
    let oldest = || of_table().map(|entry| months::bounds(entry.month)[0]).min();
    ledger
        .kept_from
        .map(|millis| millis.saturating_mul(1_000))
        .or_else(oldest)
}

/// First microsecond of a filter's span, and the one after its last.
pub(super) fn span_of(filter: &BTreeMap<String, String>) -> std::ops::Range<i64> {
    bound(filter, "from").map_or(i64::MIN, Instant::micros)..bound(filter, "to").map_or(i64::MAX, Instant::micros)
}

/// A month of which the table does not have what the ledger says.
#[derive(Debug, PartialEq, Eq)]
struct Difference {
    month: u32,
    ledger: u64,
    table: u64,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (ledger {}, table {})", self.month, self.ledger, self.table)
    }
}

/// The months overlapping a span in which ledger and table differ.
fn differences(snapshot: &Snapshot, span: std::ops::Range<i64>) -> Vec<Difference> {
    let mut rows: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    for entry in &snapshot.ledger_months {
        rows.entry(entry.month).or_default().0 = entry.rows;
    }
    for entry in &snapshot.stored_months {
        rows.entry(entry.month).or_default().1 = entry.rows;
    }
    let is_in_span = |month: u32| {
        let [begin, end] = months::bounds(month);
        begin < span.end && span.start < end
    };
    rows.into_iter()
        .filter(|&(month, (ledger, table))| ledger != table && is_in_span(month))
        .map(|(month, (ledger, table))| Difference { month, ledger, table })
        .collect()
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::audit::months::MonthRows;

    fn months(rows: &[(u32, u64)]) -> Vec<MonthRows> {
        rows.iter().map(|&(month, rows)| MonthRows { month, rows }).collect()
    }

    /// With nothing but months.
    pub fn snapshot(ledger: &[(u32, u64)], stored: &[(u32, u64)]) -> Snapshot {
        Snapshot {
            topic: "audit-events".to_owned(),
            logs: Vec::new(),
            ledger_months: months(ledger),
            stored_months: months(stored),
            rejected: Vec::new(),
            gaps: Vec::new(),
            unread: Vec::new(),
            other_topics: Vec::new(),
            kept_from: None,
        }
    }

    #[test]
    fn a_month_that_the_table_lost_whole_differs_within_the_span() {
        let snapshot = snapshot(
            &[(202601, 5), (202602, 7), (202603, 9)],
            &[(202601, 5), (202603, 9), (202604, 1)],
        );
        let found = |from: &str, to: &str| {
            let filter = [("from", from), ("to", to)];
            let filter = filter.iter().filter(|(_, text)| !text.is_empty());
            let filter = filter.map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
            let found = differences(&snapshot, span_of(&filter.collect()));
            found.iter().map(Difference::to_string).collect::<Vec<_>>()
        };
        let [february, april] = ["202602 (ledger 7, table 0)", "202604 (ledger 0, table 1)"];
        assert_eq!(found("", ""), [february, april]);
        assert_eq!(found("2026-02-28T00:00:00Z", "2026-04-01T00:00:00Z"), [february]);
        assert_eq!(found("2026-03-01T00:00:00Z", ""), [april]);
        assert!(found("", "2026-02-01T00:00:00Z").is_empty());
    }

    /// How many notes there are, and what is broken, if retention had reached this time. Milliseconds since 1970.
    fn said(ledger: &Snapshot, kept_from: Option<i64>) -> (usize, String) {
        let (mut report, ledger) = (Report::default(), ledger.clone());
        check(&mut report, &BTreeMap::new(), &Snapshot { kept_from, ..ledger });
        (report.noted.len(), report.broken.join(""))
    }

    const NEVER: i64 = 0;
    const NEW_YEAR: i64 = 1_767_225_600_000;
    const IN_FEBRUARY: i64 = 1_770_000_000_000;

    #[test]
    fn a_month_that_the_retention_had_reached_may_differ() {
        let ledger = snapshot(
            &[(202601, 5), (202602, 7), (202603, 9)],
            &[(202601, 4), (202602, 6), (202603, 8)],
        );
        let (noted, broken) = said(&ledger, Some(IN_FEBRUARY));
        assert!(
            noted == 2 && broken.contains(" 202603 ") && !broken.contains(" 202602 "),
            "{broken}"
        );
        for kept_from in [None, Some(NEVER), Some(NEW_YEAR)] {
            let (noted, broken) = said(&ledger, kept_from);
            assert!(noted == 0 && broken.contains(" 202601 "), "{broken}");
        }
    }

    #[test]
    fn oldest_months_and_a_whole_table_may_be_missing_only_where_the_retention_had_reached_them() {
        let stored = [(202601, 5), (202602, 7), (202603, 9)];
        let cut = snapshot(&stored, &stored[2..]);
        let emptied = snapshot(&stored, &[]);
        let [january, february, march] = stored.map(|(month, rows)| format!("{month} (ledger {rows}, table 0)"));
        for (ledger, kept_from, noted, broken) in [
            (&cut, Some(NEVER), 0, vec![&january, &february]),
            (&cut, Some(NEW_YEAR), 0, vec![&january, &february]),
            (&cut, Some(IN_FEBRUARY), 2, vec![]),
            (&cut, None, 2, vec![]),
            (&emptied, Some(NEVER), 0, vec![&january, &february, &march]),
            (&emptied, Some(IN_FEBRUARY), 2, vec![&march]),
            (&emptied, None, 3, vec![]),
        ] {
            let said = said(ledger, kept_from);
            assert_eq!(said.0, noted, "{kept_from:?}: {}", said.1);
            for month in [&january, &february, &march] {
                assert_eq!(
                    said.1.contains(month),
                    broken.contains(&month),
                    "{kept_from:?}: {}",
                    said.1
                );
            }
        }
    }
}
