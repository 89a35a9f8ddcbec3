//! Checks the arithmetic of a manifest: counted = written + left out, by month and partition; records = rows + rejected, and
//! ranges without a hole, by partition of the ledger; and that what it says of its span follows from them.

use std::collections::BTreeMap;

use super::Report;
use crate::api::Instant;
use crate::audit::exports::completeness::Completeness;
use crate::audit::exports::manifest::{self, Manifest};

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
    report.noted.push(match told.covers_span {
        Some(true) => format!("every record sent before {through} was read, which is all of the span"),
        Some(false) => {
            format!("every record sent before {through} was read; the span ENDS LATER, and more may belong to it")
        }
        None => format!("every record sent before {through} was read; the span has no end"),
    });
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

/// Whether the table had, month by month, what the ledger says was stored: of all tenants, because the ledger knows no tenants.
fn stored(report: &mut Report, manifest: &Manifest) {
    let ledger: BTreeMap<u32, u64> = manifest
        .ledger
        .ledger_months
        .iter()
        .map(|entry| (entry.month, entry.rows))
        .collect();
    let stored: BTreeMap<u32, u64> = manifest
        .ledger
        .stored_months
        .iter()
        .map(|entry| (entry.month, entry.rows))
        .collect();
    let months = manifest.months.iter().map(|month| month.month);
    let differ: Vec<String> = months
        .filter(|month| ledger.get(month) != stored.get(month))
        .map(|month| {
            let of = |rows: &BTreeMap<u32, u64>| rows.get(&month).copied().unwrap_or_default();
            format!("{month} (ledger {}, table {})", of(&ledger), of(&stored))
        })
        .collect();
    report.claim(differ.is_empty(), "in every exported month, the table held as many rows as the ledger says were stored", || {
        format!("the table did not hold what the ledger says was stored in {}; rows past their retention are such a difference", differ.join(", "))
    });
}
