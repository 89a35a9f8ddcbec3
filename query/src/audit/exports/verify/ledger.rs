//! Checks the arithmetic of a manifest: counted = written + left out, by month and partition; records = rows +
//! rejected, and contiguous ranges, by partition of the ledger; and that its claims about the span follow from them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Report, stored};
use crate::api::Instant;
use crate::audit::exports::completeness::Completeness;
use crate::audit::exports::manifest::{self, Manifest};
use crate::audit::exports::snapshot::{Log, Snapshot};

/// How many ids a note names.
const NAMED_MAX: usize = 5;

/// Adds what holds and what does not.
pub fn check(report: &mut Report, manifest: &Manifest) {
    sums(report, manifest);
    months(report, manifest);
    repeats(report, manifest);
    logs(report, &manifest.ledger);
    stored::check(report, &manifest.filter, &manifest.ledger);
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
            "ONLY events of the teams {:?}: the requester could see no others, so they are not in it",
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

/// Totals and months equal the sums of the files.
fn sums(report: &mut Report, manifest: &Manifest) {
    let rows: u64 = manifest.files.iter().map(|file| file.rows).sum();
    let bytes: u64 = manifest.files.iter().map(|file| file.bytes).sum();
    report.claim(
        (rows, bytes) == (manifest.rows, manifest.bytes),
        "the totals are the sums of the files",
        || {
            format!(
                "the files add up to {rows} rows and {bytes} bytes, but the manifest says {} and {}",
                manifest.rows, manifest.bytes
            )
        },
    );
    let mut of_files: BTreeMap<u32, Vec<_>> = BTreeMap::new();
    for file in &manifest.files {
        let sums = of_files.entry(file.month).or_default();
        file.partitions.iter().for_each(|rows| manifest::add(sums, rows));
    }
    let same = manifest.months.iter().all(|month| {
        let of_files = of_files.remove(&month.month).unwrap_or_default();
        manifest::written(&month.written) == manifest::written(&of_files)
    });
    report.claim(
        same && of_files.is_empty(),
        "the months are the sums of their files",
        || "the months of the manifest are not the sums of their files".to_owned(),
    );
}

/// The rows counted in advance equal those written plus those left out.
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
        "in every month and partition, the rows that the store counted are those written plus the later copies left out",
        || {
            format!(
                "rows written plus copies left out do not add up to what the store counted in {}",
                wrong.join(", ")
            )
        },
    );
}

/// The copies left out are those of all months; those that say something else than the event are named.
fn repeats(report: &mut Report, manifest: &Manifest) {
    let written = || manifest.months.iter().flat_map(|month| &month.written);
    let repeats: u64 = written().map(|rows| rows.repeats).sum();
    let differing: u64 = written().map(|rows| rows.differing).sum();
    report.claim(
        [repeats, differing] == [manifest.repeats, manifest.differing],
        format!("{repeats} later copies of events were left out"),
        || {
            format!(
                "{repeats} later copies were left out, {differing} of which say something else than the first, but the manifest says {} and {}",
                manifest.repeats, manifest.differing
            )
        },
    );
    if differing > 0 {
        let events: BTreeSet<_> = written().flat_map(|rows| &rows.differing_events).collect();
        let named: Vec<String> = events.iter().take(NAMED_MAX).map(ToString::to_string).collect();
        report.noted.push(format!(
            "{differing} of the later copies SAY SOMETHING ELSE than the first copy of their event, which alone is in the files. \
             What they say is stored; ask for each event by its id, of which the manifest names {}: {}{}",
            events.len(),
            named.join(", "),
            if events.len() > NAMED_MAX { ", …" } else { "" }
        ));
    }
}

/// Consistency of the ledger with the log.
fn logs(report: &mut Report, ledger: &Snapshot) {
    let holes = ledger.logs.iter().filter(|log| !log.contiguous);
    let holes: Vec<String> = holes
        .map(|log| format!("{} of log epoch {}", log.partition, log.log_epoch))
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
    let has_too_many = |log: &&Log| i128::from(log.records) > i128::from(log.end_offset) - i128::from(log.start_offset);
    let too_many: Vec<String> = (ledger.logs.iter())
        .filter(|log| log.contiguous && has_too_many(log))
        .map(|log| format!("{} of log epoch {}", log.partition, log.log_epoch))
        .collect();
    report.claim(
        too_many.is_empty(),
        "in the ledger, no partition has more records than offsets",
        || {
            format!(
                "in the ledger, there are more records than offsets in partitions {}",
                too_many.join(", ")
            )
        },
    );
    let (whole, lossy): (Vec<&Log>, Vec<&Log>) = ledger.logs.iter().partition(|log| log.gap_offsets == 0);
    let unbalanced = |logs: &[&Log]| -> Vec<String> {
        let unbalanced = logs.iter().filter(|log| log.rows + log.rejected != log.records);
        unbalanced
            .map(|log| format!("{} of log epoch {}", log.partition, log.log_epoch))
            .collect()
    };
    let lossy = unbalanced(&lossy);
    if !lossy.is_empty() {
        report.noted.push(format!(
            "in the ledger, rows and rejected records do not add up to the records of partitions that lost some: {}",
            lossy.join(", ")
        ));
    }
    let unbalanced = unbalanced(&whole);
    report.claim(
        unbalanced.is_empty(),
        "in the ledger, every record of a partition that lost none is a row or a rejected record",
        || {
            format!(
                "in the ledger, rows and rejected records do not add up to the records of partitions {}",
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
            "{} partition {} (log epoch {}): offsets {} to {}, {} records, {} rows, {} rejected, newest record sent at {}",
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
            "LOST before they could be read: partition {} (log epoch {}), offsets {} to {}, of which {} are stored nevertheless, sent between {} and {}",
            gap.partition,
            gap.log_epoch,
            gap.start_offset,
            gap.end_offset,
            gap.stored,
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
    of_topic(report, &manifest.ledger, told);
    if let Some(begins) = &told.ledger_begins {
        report.noted.push(format!(
            "the ledger BEGINS with records sent at {begins}: what was sent before, and may belong to the span, is not in it"
        ));
    }
    if told.lost_offsets > 0 {
        let lost = format!(
            "{} offsets of which no record was read may be LOST events of the span",
            told.lost_offsets
        );
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
            "the ledger counted {of_ledger} rejected records, of which {of_table} were still stored: the others are past their retention"
        ));
    }
}

/// How far the topic was read, and what was not read of it or of other topics.
fn of_topic(report: &mut Report, ledger: &Snapshot, told: &Completeness) {
    let partitions: BTreeSet<i32> = ledger.logs.iter().map(|log| log.partition).collect();
    let read = format!(
        "every record sent before {} to the {} partitions of {:?} in the ledger was read",
        told.complete_through.as_deref().unwrap_or("no moment"),
        partitions.len(),
        ledger.topic
    );
    report.noted.push(match told.covers_end {
        Some(true) => format!("{read}, which covers the whole span"),
        Some(false) if ledger.unread.is_empty() => {
            format!("{read}; the span ENDS LATER, and more may belong to it")
        }
        Some(false) => format!("{read}; MORE may belong to the span"),
        None => format!("{read}; the span has no end"),
    });
    if !ledger.unread.is_empty() {
        let unread = format!(
            "NOTHING was read from the partitions {:?}, which may be empty: what was sent to them is not in it",
            ledger.unread
        );
        report.noted.push(unread);
    }
    report
        .unknown
        .push("whether the topic had partitions that the ledger does not know".to_owned());
    for other in &ledger.other_topics {
        report.noted.push(format!(
            "NOT in it: {} rows that match the filter but are from another topic, {:?}",
            other.rows, other.topic
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_that_lost_offsets_is_noted_where_its_sums_differ_and_any_other_is_broken() {
        let log = |partition, gap_offsets| Log {
            topic: "audit-events".to_owned(),
            log_epoch: 1,
            partition,
            start_offset: 0,
            end_offset: 10,
            batches: 1,
            records: 10,
            rows: 8,
            rejected: 1,
            gap_offsets,
            contiguous: true,
            oldest_record_at: 0,
            newest_record_at: 0,
            written_at: 0,
        };
        let said = |log| {
            let (mut report, ledger) = (Report::default(), stored::tests::snapshot(&[], &[]));
            logs(
                &mut report,
                &Snapshot {
                    logs: vec![log],
                    ..ledger
                },
            );
            (report.noted.join("\n"), report.broken.join("\n"))
        };
        let differs = "rows and rejected records do not add up to the records of partitions";
        let shorter = Log {
            end_offset: 9,
            ..log(4, 0)
        };
        assert!(
            said(shorter)
                .1
                .contains("more records than offsets in partitions 4 of log epoch 1")
        );
        let (noted, broken) = said(log(7, 3));
        assert!(
            broken.is_empty() && noted.contains(&format!("{differs} that lost some: 7 of log epoch 1")),
            "{noted}{broken}"
        );
        let (noted, broken) = said(log(8, 0));
        assert!(
            !noted.contains(differs) && broken.contains(&format!("{differs} 8 of log epoch 1")),
            "{noted}{broken}"
        );
    }
}
