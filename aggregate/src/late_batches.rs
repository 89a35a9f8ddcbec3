//! Whether a record was late, decided long afterwards: by the batch of the aggregate stage that covered its offset.
//!
//! In: the ledger's batches for which some hour was late. Out: for a record, the minute in which it revised its hour,
//! or 0 if it was on time, exactly as the stage wrote it. A record that no such batch covers was on time.

use std::collections::HashMap;

use horolog_stage::range::PartitionId;

use crate::time_frame::{is_late, minute_of};

/// A batch of the aggregate stage, as the ledger has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// First offset.
    pub start: i64,
    /// Offset after the last.
    pub end: i64,
    /// The partition's watermark before it, ms since 1970.
    pub watermark_ms: i64,
    /// When it began, which the ledger calls `closed_at`; ms since 1970.
    pub begun_at_ms: i64,
}

/// The batches for which hours were late, by life of a log.
#[derive(Debug, Default)]
pub struct LateBatches {
    /// By log and life: batches by offset.
    logs: HashMap<(PartitionId, u32), Vec<Batch>>,
}

impl LateBatches {
    /// From batches in any order.
    pub fn new(batches: impl IntoIterator<Item = (PartitionId, u32, Batch)>) -> Self {
        let mut logs: HashMap<(PartitionId, u32), Vec<Batch>> = HashMap::new();
        for (log, log_epoch, batch) in batches {
            logs.entry((log, log_epoch)).or_default().push(batch);
        }
        for batches in logs.values_mut() {
            batches.sort_unstable_by_key(|batch| batch.start);
        }
        Self { logs }
    }

    /// The batches of one life of a log.
    pub fn of(&self, log: &PartitionId, log_epoch: u32) -> &[Batch] {
        self.logs.get(&(log.clone(), log_epoch)).map_or(&[], Vec::as_slice)
    }
}

/// The minute in which the record at `offset` revised `hour`, seconds since 1970; 0 for a record on time. `batches` are
/// those of its log, by offset.
pub fn revised_at(batches: &[Batch], offset: i64, hour: u32) -> u32 {
    let after = batches.partition_point(|batch| batch.start <= offset);
    let covering = after.checked_sub(1).map(|position| &batches[position]);
    covering
        .filter(|batch| offset < batch.end && is_late(hour, batch.watermark_ms))
        .map_or(0, |batch| minute_of(batch.begun_at_ms) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::HOUR_S;

    const HOUR: u32 = 1_700_000_000 / HOUR_S * HOUR_S;

    #[test]
    fn a_record_is_late_by_the_batch_that_covers_it() {
        let end_ms = (i64::from(HOUR) + 3_600) * 1_000;
        let batch = |start, watermark_ms| Batch {
            start,
            end: start + 10,
            watermark_ms,
            begun_at_ms: end_ms + 90_000,
        };
        let batches = [batch(0, end_ms - 1), batch(10, end_ms), batch(30, end_ms + 5)];
        let late = HOUR + 3_600 + 60;
        assert_eq!(
            revised_at(&batches, 9, HOUR),
            0,
            "before the watermark reached the end of the hour"
        );
        assert_eq!(revised_at(&batches, 10, HOUR), late);
        assert_eq!(revised_at(&batches, 20, HOUR), 0, "in no batch");
        assert_eq!(revised_at(&batches, 39, HOUR), late);
        assert_eq!(revised_at(&batches, 39, HOUR + 3_600), 0, "another hour");
    }
}
