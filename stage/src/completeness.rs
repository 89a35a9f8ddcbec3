//! Through when a topic is complete: the smallest watermark over all its partitions, whoever holds them.
//!
//! Enters: the newest progress of each partition, read by one of the statements here. Leaves: a moment before which no
//! record on time will be added to the hours, or nothing while a partition has not reported. An hour is complete if it
//! ends at or before that moment. Read the progress *before* the rows that it is about, so that the claim never exceeds
//! what they hold. Pure. How partitions that are added come to count: [`crate::growth`].

use clickhouse::Row;
use serde::Deserialize;

const HOUR_MS: i64 = 3_600_000;

/// Progress of a partition in the newest life of its log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Row, Deserialize)]
pub struct PartitionProgress {
    /// Its topic.
    pub kafka_topic: String,
    /// The partition.
    pub kafka_partition: i32,
    /// Life of its log, numbered per partition: one that never held a record stays at its first when the topic is
    /// recreated.
    pub log_epoch: u32,
    /// Partitions of the topic that the writer counts.
    pub partition_count: i32,
    /// Everything before this offset is in the hours.
    pub aggregated_end: i64,
    /// Batches from there on carry at least this epoch.
    pub write_epoch: u32,
    /// The partition's watermark, ms since 1970; 0 where no record has been seen.
    pub watermark_ms: i64,
    /// When the row was written, ms since 1970.
    pub written_ms: i64,
}

impl PartitionProgress {
    /// Whether the partition is among those that its writer counts. Nothing has been read of one that is not.
    pub fn counts_itself(&self) -> bool {
        self.kafka_partition < self.partition_count
    }
}

/// The common text of both statements about the current progress.
macro_rules! progress_sql {
    ($condition:literal) => {
        concat!(
            "select p.kafka_topic as kafka_topic, p.kafka_partition as kafka_partition, p.log_epoch as log_epoch, \
             max(p.partitions) as partition_count, max(p.aggregated_end) as aggregated_end, \
             max(p.write_epoch) as write_epoch, toUnixTimestamp64Milli(max(p.watermark)) as watermark_ms, \
             toUnixTimestamp64Milli(max(p.inserted_at)) as written_ms from partition_progress as p ",
            $condition,
            " group by p.kafka_topic, p.kafka_partition, p.log_epoch \
             order by p.kafka_topic, p.kafka_partition, p.log_epoch desc limit 1 by p.kafka_topic, p.kafka_partition"
        )
    };
}

/// The newest progress of each partition of `{topic:String}`.
pub const PROGRESS_SQL: &str = progress_sql!("where p.kafka_topic = {topic:String}");

/// The newest progress of each partition of every topic.
pub const PROGRESS_OF_ALL_SQL: &str = progress_sql!("");

/// The watermarks that the batches of each partition of `{topic:String}` froze: the largest one by `{as_of:Int64}`
/// (microseconds since 1970), in the newest life of the log that had begun by then; and the smallest one after it, in
/// that life or a later one, because what a later life adds on time is visible at every moment. Batches that are begun
/// and not yet stored count, and so does the beginning of a life, with the watermark that it continues (0 for a
/// recreated topic, and what the older partitions had stated for one that was added).
pub const FROZEN_SQL: &str = "\
    with fromUnixTimestamp64Micro({as_of:Int64}, 'UTC') as as_of \
    select l.kafka_partition as kafka_partition, \
    (maxIf((l.log_epoch, toUnixTimestamp64Milli(l.watermark)), l.known_at <= as_of) as newest).1 as log_epoch, newest.2 as by_then_ms, \
    minOrNullIf(toUnixTimestamp64Milli(l.watermark), l.known_at > as_of) as after_ms \
    from (select kafka_partition, log_epoch, watermark, if(entry = 'epoch', inserted_at, closed_at) as known_at \
    from batch_ledger final where stage = 'aggregate' and kafka_topic = {topic:String} and entry != 'gap') as l \
    group by l.kafka_partition";

/// A row of [`FROZEN_SQL`].
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct Frozen {
    kafka_partition: i32,
    log_epoch: u32,
    /// The largest watermark by then, ms since 1970.
    by_then_ms: i64,
    /// The smallest one after it, in any life; `None` while no batch has begun.
    after_ms: Option<i64>,
}

impl Frozen {
    /// A moment, at most `as_of_ms`, such that no record before it was added on time after `as_of_ms`, or will be.
    /// `now` was read before the ledger.
    ///
    /// A batch judges its records by the watermark that it froze: what it adds on time is in hours that end after that.
    /// So the smallest watermark frozen since is such a moment. If there is none, so are the largest one frozen before
    /// and the stated one: no batch freezes less from then on, and one that froze less before was in the ledger, as
    /// begun, when the ledger was read.
    fn watermark_ms(&self, now: &PartitionProgress, as_of_ms: i64) -> i64 {
        let stated_ms = match now.log_epoch == self.log_epoch {
            true => now.watermark_ms,
            false => 0,
        };
        let watermark_ms = self.after_ms.unwrap_or(self.by_then_ms.max(stated_ms));
        watermark_ms.min(as_of_ms)
    }
}

/// The progress as it was at `as_of_ms`, from the current one and from the ledger, read in this order. A later call may
/// prove more about a moment than an earlier one, and nothing once a log has begun anew after it. A partition that the
/// ledger does not know has no watermark.
pub fn progress_then(now: Vec<PartitionProgress>, ledger: &[Frozen], as_of_ms: i64) -> Vec<PartitionProgress> {
    let then = |row: PartitionProgress| {
        let frozen = ledger
            .iter()
            .find(|frozen| frozen.kafka_partition == row.kafka_partition);
        let watermark_ms = frozen.map_or(0, |frozen| frozen.watermark_ms(&row, as_of_ms));
        PartitionProgress { watermark_ms, ..row }
    };
    now.into_iter().map(then).collect()
}

/// Number of partitions that all count which count themselves; 0 if there is none. A topic recreated with fewer
/// partitions leaves rows of the others, which count more.
pub fn partition_count(progress: &[PartitionProgress]) -> i32 {
    let counting = progress.iter().filter(|row| row.counts_itself());
    counting.map(|row| row.partition_count).min().unwrap_or(0)
}

/// The watermark of each of those partitions, ms since 1970; `None` if it has not reported. Without one that does not
/// count itself yet, which will begin with what is claimed without it.
pub fn watermarks_ms(progress: &[PartitionProgress]) -> impl Iterator<Item = (i32, Option<i64>)> {
    let row = |partition| progress.iter().find(move |row| row.kafka_partition == partition);
    (0..partition_count(progress))
        .map(move |partition| (partition, row(partition)))
        .filter(|(_, row)| row.is_none_or(PartitionProgress::counts_itself))
        .map(|(partition, row)| (partition, row.map(|row| row.watermark_ms).filter(|&ms| ms > 0)))
}

/// The moment through which a topic is complete, ms since 1970; `None` while a partition has no row or no watermark.
pub fn complete_through_ms(progress: &[PartitionProgress]) -> Option<i64> {
    watermarks_ms(progress).map(|(_, watermark_ms)| watermark_ms).min()?
}

/// The end of the last complete hour, seconds since 1970; `None` while a partition has not reported.
pub fn complete_hours_end(progress: &[PartitionProgress]) -> Option<u32> {
    let through_ms = complete_through_ms(progress)?;
    u32::try_from((through_ms - through_ms.rem_euclid(HOUR_MS)) / 1_000).ok()
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
            ..PartitionProgress::default()
        }
    }

    #[test]
    fn a_topic_no_one_reported_on_is_not_complete() {
        assert_eq!(complete_through_ms(&[]), None);
    }

    #[test]
    fn a_partition_without_a_watermark_holds_the_topic_back() {
        assert_eq!(complete_through_ms(&[row(0, 2, 5_000, 1), row(1, 2, 0, 1)]), None);
    }

    #[test]
    fn partitions_of_a_topic_that_is_gone_do_not_count() {
        let progress = [row(0, 1, 9_000, 20), row(1, 2, 5_000, 10)];
        assert_eq!(complete_through_ms(&progress), Some(9_000));
    }

    #[test]
    fn a_partition_that_is_added_counts_once_it_and_all_others_count_it() {
        let announced = row(2, 2, 0, 5);
        for (counted, own, through_ms) in [
            ([2, 2], announced.clone(), 7_000),
            ([3, 2], announced.clone(), 7_000),
            ([3, 3], announced, 7_000),
            ([3, 3], row(2, 3, 6_000, 9), 6_000),
        ] {
            let progress = [row(0, counted[0], 8_000, 1), row(1, counted[1], 7_000, 1), own];
            assert_eq!(complete_through_ms(&progress), Some(through_ms), "{counted:?}");
        }
        let unreported = [row(0, 3, 8_000, 1), row(1, 3, 7_000, 1)];
        assert_eq!(complete_through_ms(&unreported), None);
    }

    #[test]
    fn a_moment_is_as_complete_as_what_came_after_it_proves() {
        let frozen = |log_epoch, by_then_ms, after_ms| Frozen {
            kafka_partition: 0,
            log_epoch,
            by_then_ms,
            after_ms,
        };
        let now = PartitionProgress {
            log_epoch: 2,
            ..row(0, 1, 9_000, 1)
        };
        let of = |ledger: &[Frozen], as_of_ms| {
            let then = progress_then(vec![now.clone()], ledger, as_of_ms);
            watermarks_ms(&then)
                .map(|(_, watermark_ms)| watermark_ms)
                .collect::<Vec<_>>()
        };
        let this_life = now.log_epoch;
        assert_eq!(of(&[], 5_000), [None], "it was not known then");
        assert_eq!(
            of(&[frozen(this_life, 4_000, None)], 5_000),
            [Some(5_000)],
            "nothing came since"
        );
        assert_eq!(of(&[frozen(this_life, 4_000, None)], 9_500), [Some(9_000)]);
        assert_eq!(of(&[frozen(this_life, 4_000, Some(4_500))], 5_000), [Some(4_500)]);
        assert_eq!(of(&[frozen(this_life, 4_000, Some(7_000))], 5_000), [Some(5_000)]);
        assert_eq!(
            of(&[frozen(this_life, 0, Some(0))], 5_000),
            [None],
            "the first batch knew no watermark"
        );
        assert_eq!(
            of(&[frozen(this_life + 1, 4_000, None)], 5_000),
            [Some(4_000)],
            "what is stated is of another life"
        );
        assert_eq!(
            of(&[frozen(this_life - 1, 4_000, Some(0))], 5_000),
            [None],
            "this life may bring anything"
        );
        assert_eq!(
            of(&[frozen(this_life - 1, 4_000, Some(4_000))], 5_000),
            [Some(4_000)],
            "this life was taken over"
        );
    }

    #[test]
    fn hours_are_complete_through_the_slowest_partition() {
        let all = [row(0, 2, 5 * HOUR_MS + 1, 1), row(1, 2, 4 * HOUR_MS - 1, 1)];
        assert_eq!(complete_hours_end(&all), Some(3 * 3_600));
        assert_eq!(complete_hours_end(&all[..1]), None, "partition 1 has not reported");
        assert_eq!(complete_hours_end(&[row(0, 1, 0, 1)]), None, "no record was seen");
        assert_eq!(complete_hours_end(&[]), None);
    }

    proptest! {
        #[test]
        fn is_the_minimum_once_all_reported_and_nothing_before(
            marks in prop::collection::vec(1i64..1_000_000, 1..20),
            missing in any::<prop::sample::Index>(),
        ) {
            let count = marks.len() as i32;
            let rows = marks.iter().enumerate().map(|(index, &ms)| row(index as i32, count, ms, 7));
            let mut progress: Vec<_> = rows.collect();
            prop_assert_eq!(complete_through_ms(&progress), marks.iter().min().copied());
            progress.remove(missing.index(marks.len()));
            prop_assert_eq!(complete_through_ms(&progress), None);
        }
    }
}
