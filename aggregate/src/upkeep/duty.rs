//! Who does the upkeep: the member that holds partition 0 of the topic, of which there is one at a time.
//!
//! In: the partitions of which this member reports progress, which it does for each batch and while a partition is
//! idle. Out: whether partition 0 was recently among them. Two members that overlap for a while do the same work twice
//! and harm nothing: what they write are revisions, of which the newest counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use horolog_stage::clock::now_ms;

/// The partition whose holder does the upkeep.
const DECIDING_PARTITION: i32 = 0;
/// A holder that reported nothing for so long has lost the partition, or has nothing from which a revision could be
/// made.
const HELD_FOR: Duration = Duration::from_secs(120);

/// Shared between the stage and the upkeep.
#[derive(Debug, Clone, Default)]
pub struct Duty(Arc<AtomicI64>);

impl Duty {
    /// This member reports progress of a partition.
    pub fn reported(&self, partition: i32) {
        if partition == DECIDING_PARTITION {
            self.0.store(now_ms(), Ordering::Release);
        }
    }

    /// Whether the upkeep is for this member to do.
    pub fn is_ours(&self) -> bool {
        let reported_ms = self.0.load(Ordering::Acquire);
        reported_ms > 0 && now_ms() - reported_ms < HELD_FOR.as_millis() as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_duty_follows_partition_0() {
        let duty = Duty::default();
        assert!(!duty.is_ours());
        duty.reported(3);
        assert!(!duty.is_ours());
        duty.reported(0);
        assert!(duty.clone().is_ours());
    }
}
