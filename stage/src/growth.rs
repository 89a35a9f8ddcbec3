//! How a partition that is added to a topic comes to count, so that completeness never goes back and nothing in the new
//! partition is on time for hours that were complete without it. Pure.
//!
//! Enters: the progress of the topic's partitions, and the number of partitions that the broker has. A row of progress
//! names the number of partitions that its writer counts. A row *counts itself* if its partition is among those; the
//! topic is complete through the smallest watermark of the partitions that every row counts which counts itself
//! ([`crate::completeness`]).
//!
//! 1. The owner of the new partition *announces* it, by a row that counts only the older partitions.
//! 2. An owner that knows of a partition that does not count itself yet states no later watermark ([`Growth::is_whole`]).
//!    Once the new partition is announced, it counts it.
//! 3. When all that count themselves count the new one too, nothing is claimed without it any more. It takes the
//!    smallest watermark of the older ones, states that with a row that counts itself, and begins to read.

use crate::completeness::{PartitionProgress, partition_count};

/// What an owner may state about the number of partitions of its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Growth {
    /// How many it counts.
    pub counted: i32,
    /// Whether these are all, and all count themselves. Until then its watermark stays where it is.
    pub is_whole: bool,
}

impl Growth {
    /// Of an owner that has counted so many partitions, when the broker has `partitions`.
    pub fn of(counted: i32, partitions: i32, progress: &[PartitionProgress]) -> Self {
        let partitions = partitions.max(counted); // a broker that answers with fewer has yet to catch up
        let is_known = |partition: &i32| row(progress, *partition).is_some();
        let known = (counted..partitions).take_while(is_known).count();
        let counted = counted + known as i32;
        let is_waiting = |row: &PartitionProgress| row.kafka_partition < partitions && !row.counts_itself();
        Self {
            counted,
            is_whole: counted >= partitions && !progress.iter().any(is_waiting),
        }
    }

    /// Whether it counts all of so many partitions, and all of them count.
    pub fn is_all_of(self, partitions: i32) -> bool {
        self.is_whole && self.counted >= partitions
    }

    /// Of an owner that cannot read what the others state.
    pub fn waiting(self) -> Self {
        Self {
            is_whole: false,
            ..self
        }
    }

    /// What the owner of `partition` begins with: what is stated in this life of its log, or what the broker has. A topic
    /// that was recreated may have fewer.
    pub fn at_start(partition: i32, log_epoch: u32, partitions: i32, progress: &[PartitionProgress]) -> Self {
        let partitions = partitions.max(partition + 1);
        let stated = row(progress, partition).filter(|row| row.counts_itself() && row.log_epoch == log_epoch);
        let counted = stated.map_or(partitions, |row| row.partition_count);
        Self::of(counted, partitions, progress)
    }

    /// The same of one that has just joined: it counts as many as any other, whatever the broker says.
    pub fn at_join(partition: i32, log_epoch: u32, partitions: i32, progress: &[PartitionProgress]) -> Self {
        Self::at_start(partition, log_epoch, partitions.max(counted_by_any(progress)), progress)
    }
}

/// Where a partition stands of which nothing has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joining {
    /// It counts, or no number has been stated yet that it is not in.
    Counts,
    /// It was added, and another partition does not count it yet.
    Waits {
        /// The older partitions.
        counted: i32,
        /// The one that is waited for.
        partition: i32,
    },
    /// It was added, and all count it.
    Joins {
        /// The older partitions.
        counted: i32,
        /// How many it counts, itself among them.
        counts: i32,
    },
}

impl Joining {
    /// Of this partition.
    pub fn of(partition: i32, progress: &[PartitionProgress]) -> Self {
        let own = row(progress, partition);
        let counted = match own {
            Some(own) if own.counts_itself() => return Self::Counts,
            Some(own) => own.partition_count,
            None => partition_count(progress),
        };
        if counted == 0 || counted > partition {
            return Self::Counts;
        }
        let counts_without = |row: &&PartitionProgress| row.counts_itself() && row.partition_count <= partition;
        let without = progress.iter().find(counts_without).map(|row| row.kafka_partition);
        let unknown = (0..counted).find(|&older| !is_announced(older, progress));
        match without.or(unknown) {
            Some(partition) => Self::Waits { counted, partition },
            None => Self::Joins {
                counted,
                counts: counted_by_any(progress).max(partition + 1),
            },
        }
    }
}

/// Whether the partition has a row.
pub fn is_announced(partition: i32, progress: &[PartitionProgress]) -> bool {
    row(progress, partition).is_some()
}

/// The largest number of partitions that any counts which counts itself. If one that joins counted fewer, nothing would
/// be claimed with the others.
fn counted_by_any(progress: &[PartitionProgress]) -> i32 {
    let counting = progress.iter().filter(|row| row.counts_itself());
    counting.map(|row| row.partition_count).max().unwrap_or(0)
}

/// The smallest watermark of those of the first `counted` partitions that count themselves, ms since 1970; 0 if one has
/// none.
pub fn stated_by(counted: i32, progress: &[PartitionProgress]) -> i64 {
    let older = progress
        .iter()
        .filter(|row| row.kafka_partition < counted && row.counts_itself());
    older.map(|row| row.watermark_ms).min().unwrap_or(0)
}

fn row(progress: &[PartitionProgress], partition: i32) -> Option<&PartitionProgress> {
    progress.iter().find(|row| row.kafka_partition == partition)
}

#[cfg(test)]
mod tests;
