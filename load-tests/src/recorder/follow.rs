//! Follows each acknowledged record until both stages have passed it.
//!
//! Enters: offsets with their intended times, in the order of the partition, and how far a stage was seen to be. Leaves: the
//! intended times of the records that it passed since. A record is forgotten once all its stages have passed it, so memory is
//! that of the records under way, 24 bytes each. An observation comes after the fact: latencies are upper bounds, too long by at
//! most the time between two looks.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use horolog_schemas::Kind;

use super::measure::Measure;

/// A stage that records pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// To raw rows.
    Ingest,
    /// To hourly rows.
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

    /// What ends when it has passed a record.
    pub const fn measure(self) -> Measure {
        match self {
            Self::Ingest => Measure::Stored,
            Self::Aggregate => Measure::Hourly,
        }
    }

    /// Whether records of this kind pass it.
    pub const fn takes(self, kind: Kind) -> bool {
        matches!((self, kind), (Self::Ingest, _) | (Self::Aggregate, Kind::MetricSample))
    }
}

/// Every partition that records went to.
#[derive(Debug, Default)]
pub(super) struct Lanes(BTreeMap<(Kind, i32), Lane>);

/// The records of a partition that are under way.
#[derive(Debug)]
pub(super) struct Lane {
    /// Those that some stage has not passed, by offset.
    pending: VecDeque<(i64, Duration)>,
    /// Records that were forgotten before the first of those.
    forgotten: u64,
    stages: [Progress; 2],
    /// Of each measure, when a tester that waits for each answer would have sent its next record.
    free_at: [Duration; Measure::OF_RECORDS.len()],
}

#[derive(Debug, Clone, Copy)]
struct Progress {
    /// Offset after the last record that was seen.
    end: i64,
    /// Records that it has passed.
    passed: u64,
}

impl Lanes {
    pub(super) fn of(&mut self, kind: Kind, partition: i32) -> &mut Lane {
        self.0.entry((kind, partition)).or_insert_with(|| Lane::new(kind))
    }
}

impl Lane {
    fn new(kind: Kind) -> Self {
        // A stage that takes nothing of this kind has passed everything.
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

    /// The next record that the stage has passed, by its intended time.
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

    /// Whether a tester with one record under way in this partition would have measured this one: it sends its next record at the
    /// first intended time after the answer to its last. What it does not send while it waits, it does not measure.
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
