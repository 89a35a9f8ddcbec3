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
    /// Partitions of the topic, as the writer saw them.
    pub partition_count: i32,
    /// Milliseconds since 1970; 0 where no record has been seen.
    pub watermark_ms: i64,
    /// When it was written, milliseconds since 1970.
    pub written_ms: i64,
}

/// The statement that gives the newest progress of each partition of `{topic:String}`. Log epochs are counted a
/// partition: one that never held a record stays at its first when the topic is made again.
pub const PROGRESS_SQL: &str = "\
    select p.kafka_partition as kafka_partition, max(p.partitions) as partition_count, \
    toUnixTimestamp64Milli(max(p.watermark)) as watermark_ms, toUnixTimestamp64Milli(max(p.inserted_at)) as written_ms \
    from partition_progress as p where p.kafka_topic = {topic:String} \
    group by p.kafka_partition, p.log_epoch order by p.kafka_partition, p.log_epoch desc limit 1 by p.kafka_partition";

/// The claim; `None` while a partition has no row or no watermark.
pub fn complete_through(progress: &[PartitionProgress]) -> Option<Instant> {
    // The newest row knows how many partitions there are now: a topic made again with fewer leaves rows of the others.
    let partitions = progress
        .iter()
        .max_by_key(|row| (row.written_ms, row.partition_count))?
        .partition_count;
    let smallest = (0..partitions).map(|partition| {
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
            partition_count,
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
