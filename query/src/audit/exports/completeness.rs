//! What an export can claim about its span: up to when everything was stored, what was lost, what was rejected.
//!
//! Enters: filter and snapshot, both in the manifest. Leaves: claims that anyone with only the manifest can recompute,
//! which is how they are verified. Pure. An event is sent no earlier than it happens, so what was sent before the span
//! begins is not in it; what was sent after its end may be. Lost and rejected records have no readable tenant: they are
//! those of the whole topic.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::snapshot::{Gap, Log, Snapshot};
use crate::api::Instant;
use crate::audit::months;

/// What is known about the span.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completeness {
    /// All partitions of which the ledger has records were read at least up to records of this time, by Kafka's
    /// timestamps (a producer that sets them itself may set them back, or ahead up to when they were stored). RFC 3339;
    /// absent if the ledger has no records.
    pub complete_through: Option<String>,
    /// Whether the span ends by then, and the ledger has records of every partition that it knows; absent if the span
    /// has no end.
    pub covers_end: Option<bool>,
    /// If the ledger of a partition does not begin with the first offset, and the span does not begin later: when the
    /// oldest record in it was sent, the latest of several such partitions. RFC 3339.
    pub ledger_begins: Option<String>,
    /// Offsets that the broker no longer had when they were to be read, or may not have had, and that may have held
    /// events of the span.
    pub lost_offsets: i64,
    /// Rejected records that may have been events of the span, by reason.
    pub rejected: BTreeMap<String, u64>,
}

impl Completeness {
    /// For the span of a filter, according to the snapshot.
    pub fn of(filter: &BTreeMap<String, String>, snapshot: &Snapshot) -> Self {
        let from = bound(filter, "from").map(Instant::micros);
        let through = complete_through(&snapshot.logs);
        let ends_by = |to: Instant| through.is_some_and(|through| to.micros() <= through * 1_000);
        let mut rejected = BTreeMap::new();
        for entry in &snapshot.rejected {
            if from.is_none_or(|from| from < months::bounds(entry.month)[1]) {
                *rejected.entry(entry.reason.clone()).or_default() += entry.records;
            }
        }
        Self {
            complete_through: through.map(|millis| Instant::from_millis(millis).to_rfc3339()),
            covers_end: bound(filter, "to").map(|to| snapshot.unread.is_empty() && ends_by(to)),
            ledger_begins: begins(&snapshot.logs)
                .filter(|millis| from.is_none_or(|from| from < millis * 1_000))
                .map(|millis| Instant::from_millis(millis).to_rfc3339()),
            lost_offsets: lost(snapshot, from),
            rejected,
        }
    }
}

/// An end of a filter's span: `from` or `to`.
pub fn bound(filter: &BTreeMap<String, String>, name: &str) -> Option<Instant> {
    filter.get(name).and_then(|text| Instant::parse(text).ok())
}

/// The earliest of the partitions' newest records, each in the latest life of its log. A silent partition holds it
/// back, because nobody has said that nothing is in flight there. Milliseconds since 1970.
fn complete_through(logs: &[Log]) -> Option<i64> {
    let last = of_each_partition(logs, |log, known| log.log_epoch > known.log_epoch);
    last.map(|log| log.newest_record_at).min()
}

/// One life of each partition's log: the best by `is_better`.
fn of_each_partition(logs: &[Log], is_better: fn(&Log, &Log) -> bool) -> impl Iterator<Item = &Log> {
    let mut best: BTreeMap<i32, &Log> = BTreeMap::new();
    for log in logs {
        let known = best.entry(log.partition).or_insert(log);
        if is_better(log, known) {
            *known = log;
        }
    }
    best.into_values()
}

/// The latest of the oldest records of the partitions whose ledger does not begin with the first offset, each in the
/// first life that it knows. Milliseconds since 1970.
fn begins(logs: &[Log]) -> Option<i64> {
    let first = of_each_partition(logs, |log, known| log.log_epoch < known.log_epoch);
    let later = first.filter(|log| log.start_offset > 0);
    later.map(|log| log.oldest_record_at).max()
}

/// The list of gaps is bounded: those beyond it count as within the span, and so does what is missing from batches that
/// a crash interrupted.
fn lost(snapshot: &Snapshot, from: Option<i64>) -> i64 {
    let length = |gap: &Gap| gap.end_offset - gap.start_offset - gap.stored;
    let all: i64 = snapshot.logs.iter().map(|log| log.gap_offsets).sum();
    let before = |gap: &&Gap| gap.sent_before > 0 && from.is_some_and(|from| gap.sent_before * 1_000 < from);
    all - snapshot.gaps.iter().filter(before).map(length).sum::<i64>()
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::Rejected;
    use super::*;

    const DAY: i64 = 86_400_000;
    /// 2026-01-01 in milliseconds.
    const NEW_YEAR: i64 = 1_767_225_600_000;

    fn log(log_epoch: u32, partition: i32, newest_day: i64, gap_offsets: i64) -> Log {
        Log {
            topic: "audit-events".to_owned(),
            log_epoch,
            partition,
            start_offset: 0,
            end_offset: 100,
            batches: 1,
            records: 100,
            rows: 100,
            rejected: 0,
            gap_offsets,
            contiguous: true,
            oldest_record_at: NEW_YEAR - DAY,
            newest_record_at: NEW_YEAR + newest_day * DAY,
            written_at: NEW_YEAR,
        }
    }

    fn gap(offsets: i64, sent_before_day: Option<i64>) -> Gap {
        Gap {
            log_epoch: 2,
            partition: 0,
            start_offset: 10,
            end_offset: 10 + offsets,
            stored: 0,
            sent_after: 0,
            sent_before: sent_before_day.map_or(0, |day| NEW_YEAR + day * DAY),
        }
    }

    fn snapshot() -> Snapshot {
        let rejected = |month, records| Rejected {
            month,
            reason: "bad_uuid".to_owned(),
            records,
        };
        Snapshot {
            topic: "audit-events".to_owned(),
            logs: vec![log(1, 0, 0, 0), log(2, 0, 20, 16), log(2, 1, 10, 0)],
            ledger_months: Vec::new(),
            stored_months: Vec::new(),
            rejected: vec![rejected(202512, 5), rejected(202601, 7)],
            gaps: vec![gap(3, Some(2)), gap(4, Some(8)), gap(8, None)],
            unread: Vec::new(),
            other_topics: Vec::new(),
            kept_from: None,
        }
    }

    fn of(filter: &[(&str, &str)]) -> Completeness {
        let filter = filter
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Completeness::of(&filter.collect(), &snapshot())
    }

    #[test]
    fn the_slowest_partition_of_the_last_life_says_through_when_it_is_complete() {
        let all = of(&[]);
        assert_eq!(all.complete_through.as_deref(), Some("2026-01-11T00:00:00Z"));
        assert_eq!(all.covers_end, None);
        assert_eq!(of(&[("to", "2026-01-11T00:00:00Z")]).covers_end, Some(true));
        assert_eq!(of(&[("to", "2026-01-11T00:00:00.000001Z")]).covers_end, Some(false));
        let mut unread = snapshot();
        unread.unread = vec![3];
        let filter = [("to".to_owned(), "2026-01-11T00:00:00Z".to_owned())];
        let held = Completeness::of(&filter.into(), &unread);
        assert_eq!(
            held.covers_end,
            Some(false),
            "what was sent to partition 3 may be of the span"
        );
        // The other partition's log was not recreated: it is still in its first life.
        let mut snapshot = snapshot();
        snapshot.logs.push(log(1, 2, 5, 0));
        let all = Completeness::of(&BTreeMap::new(), &snapshot);
        assert_eq!(all.complete_through.as_deref(), Some("2026-01-06T00:00:00Z"));
    }

    #[test]
    fn a_ledger_without_its_beginning_does_not_cover_what_was_before() {
        let mut snapshot = snapshot();
        let begins = |snapshot: &Snapshot, from: Option<&str>| {
            let filter = from.map(|from| ("from".to_owned(), from.to_owned()));
            Completeness::of(&filter.into_iter().collect(), snapshot).ledger_begins
        };
        assert_eq!(begins(&snapshot, None), None);
        snapshot.logs[1].start_offset = 7; // a later life that begins where the previous one ended
        assert_eq!(begins(&snapshot, None), None);
        snapshot.logs[2].start_offset = 7;
        assert_eq!(begins(&snapshot, None).as_deref(), Some("2025-12-31T00:00:00Z"));
        assert_eq!(begins(&snapshot, Some("2025-12-31T00:00:00Z")), None);
    }

    #[test]
    fn what_was_lost_or_rejected_before_the_span_began_is_not_of_it() {
        let all = of(&[]);
        assert_eq!((all.lost_offsets, all.rejected["bad_uuid"]), (16, 12));
        let later = of(&[("from", "2026-01-05T00:00:00Z")]);
        assert_eq!((later.lost_offsets, later.rejected["bad_uuid"]), (13, 7));
        let last = of(&[("from", "2026-02-01T00:00:00Z")]);
        assert_eq!(
            last.lost_offsets, 9,
            "those that are not listed, and the one that nothing follows, may be of it"
        );
        assert!(last.rejected.is_empty());
    }
}
