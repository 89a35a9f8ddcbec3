//! The completeness of an answer, and which partitions limit it. Pure.
//!
//! Enters: the newest progress of each partition, read before the rows (see [`horolog_stage::completeness`]).

use horolog_stage::completeness::{PartitionProgress, complete_through_ms, watermarks_ms};

use crate::api::Instant;

/// A partition that limits completeness.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct LaggingPartition {
    /// The partition.
    partition: i32,
    /// How far it is; `null` if it has not reported yet.
    watermark: Option<Instant>,
}

/// Through when a topic is complete, and which partitions limit that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completeness {
    /// Everything that ends at or before this moment is complete; absent while a partition has not reported.
    pub through: Option<Instant>,
    /// The partitions that limit it.
    pub held_back_by: Vec<LaggingPartition>,
}

impl Completeness {
    /// From the progress of a topic's partitions.
    pub fn of(progress: &[PartitionProgress]) -> Self {
        let through = complete_through_ms(progress).map(Instant::from_millis);
        let lagging = watermarks_ms(progress).map(|(partition, watermark_ms)| LaggingPartition {
            partition,
            watermark: watermark_ms.map(Instant::from_millis),
        });
        Self {
            through,
            held_back_by: lagging.filter(|partition| partition.watermark <= through).collect(),
        }
    }

    /// Lowers the claim to what data derived from the topic allows.
    pub fn limit(&mut self, derived_through: Option<Instant>) {
        self.through = self.through.min(derived_through);
    }

    /// Whether what ends at `end` is complete.
    pub fn covers(&self, end: Instant) -> bool {
        self.through.is_some_and(|through| end <= through)
    }
}

#[cfg(test)]
mod tests {
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
}
