//! Checks the arithmetic of a manifest: counted = written + left out, by month and partition; records = rows + rejected, and
//! ranges without a hole, by partition of the ledger; and that what it says of its span follows from them.

use std::collections::BTreeMap;
use std::fmt;

use super::Report;
use crate::api::Instant;
use crate::audit::exports::completeness::{Completeness, bound};
use crate::audit::exports::manifest::{self, Manifest};
use crate::audit::exports::snapshot::Snapshot;
use crate::audit::months;

/// Adds what holds and what does not.
pub fn check(report: &mut Report, manifest: &Manifest) {
    sums(report, manifest);
    months(report, manifest);
    logs(report, manifest);
    stored(report, manifest);
    span(report, manifest);
    report.unknown.extend(
        [
            "whether every service sent what happened: the log is where the proof begins",
            "whether the operator of log and store altered both before the export",
        ]
        .map(str::to_owned),
    );
    if !manifest.teams.is_empty() {
        report.noted.push(format!(
            "ONLY events of the teams {:?}, which are all that its requester could see: those of others are not in it",
            manifest.teams
        ));
    }
    if !manifest.masked.is_empty() {
        let columns: Vec<String> = manifest
            .masked
            .iter()
            .map(|(column, how)| format!("{column} ({how})"))
            .collect();
        report.noted.push(format!("masked: {}", columns.join(", ")));
    }
}

/// The totals are those of the files, and the months those of the files.
fn sums(report: &mut Report, manifest: &Manifest) {
    let rows: u64 = manifest.files.iter().map(|file| file.rows).sum();
    let bytes: u64 = manifest.files.iter().map(|file| file.bytes).sum();
    report.claim(
        (rows, bytes) == (manifest.rows, manifest.bytes),
        "the totals are the sums of the files",
        || {
            format!(
                "the files add up to {rows} rows and {bytes} bytes, the manifest names {} and {}",
                manifest.rows, manifest.bytes
            )
        },
    );
    let mut of_files: BTreeMap<u32, Vec<_>> = BTreeMap::new();
    for file in &manifest.files {
        let sums = of_files.entry(file.month).or_default();
        file.partitions.iter().for_each(|rows| manifest::add(sums, rows));
    }
    let key = |rows: &[crate::audit::exports::job::PartitionRows]| -> Vec<_> {
        let written = rows.iter().filter(|rows| rows.rows > 0);
        written
            .map(|rows| {
                (
                    rows.log_epoch,
                    rows.partition,
                    rows.rows,
                    rows.first_offset,
                    rows.last_offset,
                )
            })
            .collect()
    };
    let same = manifest
        .months
        .iter()
        .all(|month| key(&month.written) == of_files.remove(&month.month).map(|rows| key(&rows)).unwrap_or_default());
    report.claim(
        same && of_files.is_empty(),
        "the months are the sums of their files",
        || "the months of the manifest are not the sums of their files".to_owned(),
    );
}

/// What the store counted before it was read is what was written and left out.
fn months(report: &mut Report, manifest: &Manifest) {
    let mut wrong = Vec::new();
    for month in &manifest.months {
        let mut counted: BTreeMap<_, _> = month
            .counted
            .iter()
            .map(|count| ((count.log_epoch, count.partition), count.rows))
            .collect();
        let fits = month.written.iter().all(|written| {
            counted.remove(&(written.log_epoch, written.partition)) == Some(written.rows + written.repeats)
        });
        if !fits || !counted.is_empty() {
            wrong.push(month.month.to_string());
        }
    }
    report.claim(
        wrong.is_empty(),
        "in every month and partition, the rows that the store counted are those written and the later copies left out",
        || {
            format!(
                "written rows and left out copies do not come to what the store counted in {}",
                wrong.join(", ")
            )
        },
    );
    let repeats: u64 = manifest
        .months
        .iter()
        .flat_map(|month| &month.written)
        .map(|rows| rows.repeats)
        .sum();
    report.claim(
        repeats == manifest.repeats,
        format!("{repeats} later copies of events were left out"),
        || {
            format!(
                "{repeats} later copies were left out, the manifest names {}",
                manifest.repeats
            )
        },
    );
}

/// What the ledger says of the log.
fn logs(report: &mut Report, manifest: &Manifest) {
    let ledger = &manifest.ledger;
    let holes = ledger.logs.iter().filter(|log| !log.contiguous);
    let holes: Vec<String> = holes
        .map(|log| format!("{} of life {}", log.partition, log.log_epoch))
        .collect();
    report.claim(
        holes.is_empty(),
        "the ledger names every offset between its first and its last, once, in every partition",
        || {
            format!(
                "the ledger leaves offsets out, or names them twice, in partitions {}",
                holes.join(", ")
            )
        },
    );
    let unbalanced = ledger
        .logs
        .iter()
        .filter(|log| log.gap_offsets == 0 && log.rows + log.rejected != log.records);
    let unbalanced: Vec<String> = unbalanced.map(|log| log.partition.to_string()).collect();
    report.claim(
        unbalanced.is_empty(),
        "in the ledger, every record is a row or a rejected record",
        || {
            format!(
                "in the ledger, rows and rejected records do not come to the records of partitions {}",
                unbalanced.join(", ")
            )
        },
    );
    note_logs(report, ledger);
}

/// How far the ledger goes, and what the log lost before it was read.
fn note_logs(report: &mut Report, ledger: &Snapshot) {
    for log in &ledger.logs {
        report.noted.push(format!(
            "{} partition {} (life {}): offsets {} to {}, {} records, {} rows, {} rejected, newest record of {}",
            log.topic,
            log.partition,
            log.log_epoch,
            log.start_offset,
            log.end_offset,
            log.records,
            log.rows,
            log.rejected,
            Instant::from_millis(log.newest_record_at).to_rfc3339()
        ));
    }
    for gap in &ledger.gaps {
        let sent = |millis: i64, otherwise: &str| match millis {
            0 => otherwise.to_owned(),
            millis => Instant::from_millis(millis).to_rfc3339(),
        };
        report.noted.push(format!(
            "LOST before it could be read: partition {} (life {}), offsets {} to {}, sent between {} and {}",
            gap.partition,
            gap.log_epoch,
            gap.start_offset,
            gap.end_offset,
            sent(gap.sent_after, "the beginning of the log"),
            sent(gap.sent_before, "now")
        ));
    }
}

/// Through when the span is complete, and what may be missing from it.
fn span(report: &mut Report, manifest: &Manifest) {
    let told = &manifest.completeness;
    let follows = *told == Completeness::of(&manifest.filter, &manifest.ledger);
    report.claim(
        follows,
        "what the manifest says of its span follows from its ledger",
        || "what the manifest says of its span does not follow from its ledger".to_owned(),
    );
    let through = told.complete_through.as_deref().unwrap_or("no moment");
    report.noted.push(match told.covers_end {
        Some(true) => format!("every record sent before {through} was read, which is all of the span"),
        Some(false) => {
            format!("every record sent before {through} was read; the span ENDS LATER, and more may belong to it")
        }
        None => format!("every record sent before {through} was read; the span has no end"),
    });
    if let Some(begins) = &told.ledger_begins {
        report.noted.push(format!(
            "the ledger BEGINS with records sent at {begins}: what was sent before, and may belong to the span, is not in it"
        ));
    }
    if told.lost_offsets > 0 {
        let lost = format!("{} LOST offsets may have held events of the span", told.lost_offsets);
        report.noted.push(lost);
    }
    for (reason, records) in &told.rejected {
        report.noted.push(format!(
            "{records} rejected records, of all tenants, may have been events of the span: {reason}"
        ));
    }
    let of_ledger: u64 = manifest.ledger.logs.iter().map(|log| log.rejected).sum();
    let of_table: u64 = manifest.ledger.rejected.iter().map(|entry| entry.records).sum();
    if of_ledger != of_table {
        report.noted.push(format!(
            "the ledger counted {of_ledger} rejected records, {of_table} were still there: the others are past their retention"
        ));
    }
}

/// Whether the table had, month by month, what the ledger says was stored: of all tenants, because the ledger knows no tenants. A
/// month of the span that is in no file is compared too: all of it may have been taken away.
fn stored(report: &mut Report, manifest: &Manifest) {
    let of_table = manifest.ledger.stored_months.iter().filter(|entry| entry.rows > 0);
    let first = of_table.map(|entry| entry.month).min();
    let of_span = differences(&manifest.ledger, span_of(&manifest.filter));
    let (later, before): (Vec<_>, Vec<_>) = of_span
        .into_iter()
        .partition(|difference| first.is_some_and(|first| difference.month >= first));
    for difference in before {
        report.noted.push(format!(
            "MISSING before the oldest month that the table had anything of, past their retention or taken away: {difference}"
        ));
    }
    let later: Vec<String> = later.iter().map(Difference::to_string).collect();
    report.claim(
        later.is_empty(),
        "in every month of the span from the oldest stored one on, the table held as many rows as the ledger says were stored",
        || {
            format!(
                "the table did not hold what the ledger says was stored in {}; rows past their retention are such a difference",
                later.join(", ")
            )
        },
    );
}

/// First microsecond of a filter's span, and the one after its last.
fn span_of(filter: &BTreeMap<String, String>) -> std::ops::Range<i64> {
    bound(filter, "from").map_or(i64::MIN, Instant::micros)..bound(filter, "to").map_or(i64::MAX, Instant::micros)
}

/// A month of which the table does not hold what the ledger says.
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

/// The months that a span has a part of, where ledger and table differ.
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
mod tests {
    use super::*;
    use crate::audit::months::MonthRows;

    fn months(rows: &[(u32, u64)]) -> Vec<MonthRows> {
        rows.iter().map(|&(month, rows)| MonthRows { month, rows }).collect()
    }

    #[test]
    fn a_month_that_the_table_lost_whole_differs_within_the_span() {
        let snapshot = Snapshot {
            topic: "audit-events".to_owned(),
            logs: Vec::new(),
            ledger_months: months(&[(202601, 5), (202602, 7), (202603, 9)]),
            stored_months: months(&[(202601, 5), (202603, 9), (202604, 1)]),
            rejected: Vec::new(),
            gaps: Vec::new(),
        };
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
}
