//! The raw tail: samples that are stored, and not yet among the partial aggregates.
//!
//! Enters: how far each partition is aggregated. Leaves: a condition for the samples from there on. The two halves of an
//! answer are read in one statement, after the progress: a batch whose aggregates land between the two is counted twice in
//! that answer, and once in the next. Pure.

use horolog_stage::completeness::PartitionProgress;

use crate::store::{Parameter, TenantSelect};

/// A partition that nobody has reported on is all tail: element 0 of an array is 0.
const TAIL: &str = "r.kafka_topic = {tail_topic:String} and \
    (r.log_epoch, r.kafka_offset) >= (\
    ({tail_epochs:Array(UInt32)})[indexOf({tail_partitions:Array(Int32)}, r.kafka_partition) as tail_place], \
    ({tail_ends:Array(Int64)})[tail_place])";

/// From where on samples are not aggregated.
#[derive(Debug, Clone)]
pub struct RawTail {
    topic: String,
    progress: Vec<PartitionProgress>,
}

impl RawTail {
    /// Of a topic.
    pub fn new(topic: &str, progress: &[PartitionProgress]) -> Self {
        Self {
            topic: topic.to_owned(),
            progress: progress.to_vec(),
        }
    }

    /// Only the tail of `metrics as r`.
    pub fn only(&self, select: TenantSelect) -> TenantSelect {
        let numbers =
            |number: fn(&PartitionProgress) -> i64| Parameter::Integers(self.progress.iter().map(number).collect());
        select
            .and(TAIL)
            .bind("tail_topic", Parameter::Text(self.topic.clone()))
            .bind("tail_partitions", numbers(|row| row.kafka_partition.into()))
            .bind("tail_epochs", numbers(|row| row.log_epoch.into()))
            .bind("tail_ends", numbers(|row| row.aggregated_end))
    }
}
