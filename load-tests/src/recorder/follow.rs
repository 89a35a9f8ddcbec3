//! Follows each acknowledged record until both stages have processed it.
//!
//! Enters: offsets with their intended times, in partition order, and the progress observed of a stage. Leaves: the
//! intended times of the records that it has processed since. A record is dropped once all its stages have processed
//! it, so memory is bounded by the records in flight, 24 bytes each. Progress is observed late, so latencies are upper
//! bounds, too long by at most the time between two polls.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use horolog_schemas::Kind;

use super::measure::Measure;

/// A stage that processes records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Stores raw rows.
    Ingest,
    /// Stores hourly aggregates.
    Aggregate,
}

impl Stage {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ingest, Self::Aggregate];

    /// Its name in the ledger.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Aggregate => "aggregate",
        }
    }

    /// The latency that ends when it has processed a record.
    pub const fn measure(self) -> Measure {
        match self {
            Self::Ingest => Measure::Stored,
            Self::Aggregate => Measure::Hourly,
        }
    }

    /// Whether it processes records of this kind.
    pub const fn takes(self, kind: Kind) -> bool {
        matches!((self, kind), (Self::Ingest, _) | (Self::Aggregate, Kind::MetricSample))
    }
}

/// Every partition that received records.
#[derive(Debug, Default)]
pub(super) struct Lanes(BTreeMap<(Kind, i32), Lane>);

/// The records of a partition that are in flight.
#[derive(Debug)]
pub(super) struct Lane {
    /// Records that some stage has not processed yet, by offset.
    pending: VecDeque<(i64, Duration)>,
    /// Number of records dropped before these.
    forgotten: u64,
    stages: [Progress; 2],
    /// For each measure, when a closed-loop tester would have sent its next record.
    free_at: [Duration; Measure::OF_RECORDS.len()],
}

#[derive(Debug, Clone, Copy)]
struct Progress {
    /// Offset after the last record seen.
    end: i64,
    /// Records processed.
    passed: u64,
}

impl Lanes {
    pub(super) fn of(&mut self, kind: Kind, partition: i32) -> &mut Lane {
        self.0.entry((kind, partition)).or_insert_with(|| Lane::new(kind))
    }
}

impl Lane {
    fn new(kind: Kind) -> Self {
        // A stage that does not take this kind has nothing left to process.
        let progress = Stage::ALL.map(|stage| Progress {
            end: i64::MIN,
            passed: if stage.takes(kind) { 0 } else { u64::MAX },
        });
        Self {
            pending: VecDeque::new(),
            forgotten: 0,
            stages: progress,
            free_at: [Duration::ZERO; Measure::OF_RECORDS.len()],
        }
    }

    pub(super) fn push(&mut self, offset: i64, intended: Duration) {
        self.pending.push_back((offset, intended));
    }

    pub(super) fn reached(&mut self, stage: Stage, end: i64) {
        let progress = &mut self.stages[stage as usize];
        progress.end = progress.end.max(end);
    }

    /// The intended time of the next record that the stage has processed.
    pub(super) fn pass(&mut self, stage: Stage) -> Option<Duration> {
        let Progress { end, passed } = self.stages[stage as usize];
        let next = usize::try_from(passed.checked_sub(self.forgotten)?).ok()?;
        let &(offset, intended) = self.pending.get(next).filter(|(offset, _)| *offset < end)?;
        debug_assert!(offset < end);
        self.stages[stage as usize].passed += 1;
        let by_all = self
            .stages
            .iter()
            .map(|progress| progress.passed)
            .min()
            .unwrap_or_default();
        while self.forgotten < by_all && self.pending.pop_front().is_some() {
            self.forgotten += 1;
        }
        Some(intended)
    }

    /// Whether a closed-loop tester with one record in flight in this partition would have measured this one: it sends
    /// its next record at the first intended time after the answer to its last. Records that it skips while it waits,
    /// it does not measure.
    pub(super) fn answer(&mut self, measure: Measure, intended: Duration, at: Duration) -> bool {
        let index = Measure::OF_RECORDS.iter().position(|known| *known == measure);
        let Some(free_at) = index.and_then(|index| self.free_at.get_mut(index)) else {
            return false;
        };
        let sends = intended >= *free_at;
        if sends {
            *free_at = at;
        }
        sends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn passed(lane: &mut Lane, stage: Stage) -> Vec<Duration> {
        std::iter::from_fn(|| lane.pass(stage)).collect()
    }

    #[test]
    fn a_record_is_forgotten_once_both_stages_have_passed_it() {
        let mut lane = Lane::new(Kind::MetricSample);
        for offset in 0..4 {
            lane.push(offset * 2, MS * offset as u32);
        }
        lane.reached(Stage::Ingest, 5);
        assert_eq!(passed(&mut lane, Stage::Ingest), [Duration::ZERO, MS, MS * 2]);
        assert_eq!(lane.pending.len(), 4);
        lane.reached(Stage::Aggregate, 3);
        assert_eq!(passed(&mut lane, Stage::Aggregate), [Duration::ZERO, MS]);
        assert_eq!(lane.pending.len(), 2);
        lane.reached(Stage::Aggregate, 100);
        lane.reached(Stage::Ingest, 100);
        assert_eq!(passed(&mut lane, Stage::Aggregate), [MS * 2, MS * 3]);
        assert_eq!(passed(&mut lane, Stage::Ingest), [MS * 3]);
        assert!(lane.pending.is_empty());
    }

    #[test]
    fn an_audit_event_needs_ingest_alone() {
        let mut lane = Lane::new(Kind::AuditEvent);
        lane.push(0, MS);
        lane.reached(Stage::Ingest, 1);
        assert_eq!(passed(&mut lane, Stage::Ingest), [MS]);
        assert!(lane.pending.is_empty());
    }

    #[test]
    fn an_end_never_goes_back() {
        let mut lane = Lane::new(Kind::MetricSample);
        lane.push(7, MS);
        lane.reached(Stage::Ingest, 8);
        lane.reached(Stage::Ingest, 3);
        assert_eq!(passed(&mut lane, Stage::Ingest), [MS]);
    }
}
