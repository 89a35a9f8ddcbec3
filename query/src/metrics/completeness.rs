//! Through when a topic is complete: the smallest watermark over all its partitions.
//!
//! Enters: the newest progress of each partition. Leaves: a moment before which no record on time will be added to the
//! hours, or nothing while a partition has not reported. An hour is complete when it ends at or before that moment. Must be
//! read *before* the rows it is said of, so that the claim never exceeds what they hold. Pure.

use crate::api::Instant;

/// How far one partition is, in the newest life of its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clickhouse::Row, serde::Deserialize)]
pub struct PartitionProgress {
    /// The partition.
    pub kafka_partition: i32,
    /// Which life of its log.
    pub log_epoch: u32,
    /// Partitions of the topic, as the writer saw them.
    pub partition_count: i32,
    /// Up to where its records are aggregated; exclusive.
    pub aggregated_end: i64,
    /// Milliseconds since 1970; 0 where no record has been seen.
    pub watermark_ms: i64,
    /// When it was written, milliseconds since 1970.
    pub written_ms: i64,
}

/// The statement that gives the newest progress of each partition of `{topic:String}`. Log epochs are counted a
/// partition: one that never held a record stays at its first when the topic is made again.
pub const PROGRESS_SQL: &str = "\
    select p.kafka_partition as kafka_partition, p.log_epoch as log_epoch, max(p.partitions) as partition_count, \
    max(p.aggregated_end) as aggregated_end, \
    toUnixTimestamp64Milli(max(p.watermark)) as watermark_ms, toUnixTimestamp64Milli(max(p.inserted_at)) as written_ms \
    from partition_progress as p where p.kafka_topic = {topic:String} \
    group by p.kafka_partition, p.log_epoch order by p.kafka_partition, p.log_epoch desc limit 1 by p.kafka_partition";

/// The same as it was at `{as_of:Int64}` (microseconds since 1970), from the batches that were closed by then. A watermark that
/// advanced with the clock, without a batch, is in no batch: the claim of then may have been later, never earlier.
pub const PROGRESS_THEN_SQL: &str = "\
    select l.kafka_partition as kafka_partition, l.log_epoch as log_epoch, \
    toInt32(assumeNotNull((select max(p.partitions) from partition_progress as p where p.kafka_topic = {topic:String}))) \
    as partition_count, \
    max(l.end_offset) as aggregated_end, toUnixTimestamp64Milli(max(l.watermark)) as watermark_ms, \
    toUnixTimestamp64Milli(max(l.closed_at)) as written_ms \
    from batch_ledger as l final where l.stage = 'aggregate' and l.kafka_topic = {topic:String} \
    and l.entry in ('batch', 'recovered') and l.closed_at <= fromUnixTimestamp64Micro({as_of:Int64}, 'UTC') \
    group by l.kafka_partition, l.log_epoch order by l.kafka_partition, l.log_epoch desc limit 1 by l.kafka_partition";

/// A partition that the claim waits for.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct LaggingPartition {
    /// The partition.
    partition: i32,
    /// How far it is; `null` while it has not reported.
    watermark: Option<Instant>,
}

/// Through when a topic is complete, and which partitions that is due to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completeness {
    /// Everything that ends at or before this moment; nothing while a partition has not reported.
    pub through: Option<Instant>,
    /// The partitions that are no further than that.
    pub held_back_by: Vec<LaggingPartition>,
}

impl Completeness {
    /// Of the progress of a topic's partitions.
    pub fn of(progress: &[PartitionProgress]) -> Self {
        let through = complete_through(progress);
        let watermark = |partition| {
            let row = progress.iter().find(|row| row.kafka_partition == partition);
            row.map(|row| row.watermark_ms)
                .filter(|&ms| ms > 0)
                .map(Instant::from_millis)
        };
        let lagging = (0..partition_count(progress)).map(|partition| LaggingPartition {
            partition,
            watermark: watermark(partition),
        });
        Self {
            through,
            held_back_by: lagging.filter(|partition| partition.watermark <= through).collect(),
        }
    }

    /// Whether what ends at `end` is complete.
    pub fn covers(&self, end: Instant) -> bool {
        self.through.is_some_and(|through| end <= through)
    }
}

/// The newest row knows how many partitions there are now: a topic made again with fewer leaves rows of the others.
pub fn partition_count(progress: &[PartitionProgress]) -> i32 {
    let newest = progress.iter().max_by_key(|row| (row.written_ms, row.partition_count));
    newest.map_or(0, |row| row.partition_count)
}

/// The claim; `None` while a partition has no row or no watermark.
pub fn complete_through(progress: &[PartitionProgress]) -> Option<Instant> {
    let smallest = (0..partition_count(progress)).map(|partition| {
        progress
            .iter()
            .find(|row| row.kafka_partition == partition)
            .map(|row| row.watermark_ms)
            .filter(|&ms| ms > 0)
    });
    smallest.min()?.map(Instant::from_millis)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(kafka_partition: i32, partition_count: i32, watermark_ms: i64, written_ms: i64) -> PartitionProgress {
        PartitionProgress {
            kafka_partition,
            log_epoch: 1,
            partition_count,
            aggregated_end: 10,
            watermark_ms,
            written_ms,
        }
    }

    #[test]
    fn a_topic_no_one_reported_on_is_not_complete() {
        assert_eq!(complete_through(&[]), None);
    }

    #[test]
    fn a_partition_without_a_watermark_holds_the_topic_back() {
        assert_eq!(complete_through(&[row(0, 2, 5_000, 1), row(1, 2, 0, 1)]), None);
    }

    #[test]
    fn partitions_of_a_topic_that_is_gone_do_not_count() {
        let progress = [row(0, 1, 9_000, 20), row(1, 2, 5_000, 10)];
        assert_eq!(complete_through(&progress), Some(Instant::from_millis(9_000)));
    }

    #[test]
    fn the_partitions_that_hold_it_back_are_named() {
        let held_back_by = |progress: &[PartitionProgress]| {
            let completeness = Completeness::of(progress);
            completeness
                .held_back_by
                .iter()
                .map(|lagging| lagging.partition)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            held_back_by(&[row(0, 3, 5_000, 1), row(1, 3, 7_000, 1), row(2, 3, 5_000, 1)]),
            [0, 2]
        );
        assert_eq!(held_back_by(&[row(0, 3, 5_000, 1), row(2, 3, 0, 1)]), [1, 2]);
        assert!(held_back_by(&[]).is_empty());
    }

    proptest! {
        #[test]
        fn is_the_minimum_once_all_reported_and_nothing_before(marks in prop::collection::vec(1i64..1_000_000, 1..20), missing in any::<prop::sample::Index>()) {
            let count = marks.len() as i32;
            let mut progress: Vec<_> = marks.iter().enumerate().map(|(index, &ms)| row(index as i32, count, ms, 7)).collect();
            prop_assert_eq!(complete_through(&progress), marks.iter().min().map(|&ms| Instant::from_millis(ms)));
            progress.remove(missing.index(marks.len()));
            prop_assert_eq!(complete_through(&progress), None);
        }
    }
}
