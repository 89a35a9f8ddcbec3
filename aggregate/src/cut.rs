//! A position in every log: records before it are included, those from it on are not.
//!
//! A rebuild and a verification compare tables that different processes write at different speeds; a cut decides on
//! which side of it a record is, as a condition in SQL. Partitions that the cut does not know are behind it: nothing of
//! them has been aggregated.

use std::collections::{BTreeMap, BTreeSet};

use horolog_schemas::migrate::literal;
use horolog_stage::range::PartitionId;

/// A place in the log of a partition, over all its lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Life of the log.
    pub log_epoch: u32,
    /// Offset in it.
    pub offset: i64,
}

/// A position in every log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cut(BTreeMap<PartitionId, Position>);

impl Cut {
    /// The cut's position in a log.
    pub fn get(&self, log: &PartitionId) -> Option<Position> {
        self.0.get(log).copied()
    }

    /// Sets the position in a log.
    pub fn set(&mut self, log: PartitionId, position: Position) {
        self.0.insert(log, position);
    }

    /// Without these logs.
    pub fn without(&self, logs: &BTreeSet<PartitionId>) -> Self {
        let mut cut = self.clone();
        cut.0.retain(|log, _| !logs.contains(log));
        cut
    }

    /// All logs with their positions.
    pub fn iter(&self) -> impl Iterator<Item = (&PartitionId, Position)> {
        self.0.iter().map(|(log, position)| (log, *position))
    }

    /// The topics, sorted, each once.
    pub fn topics(&self) -> Vec<&str> {
        let mut topics: Vec<&str> = self.0.keys().map(|log| &*log.topic).collect();
        topics.dedup();
        topics
    }

    /// The logs, with the cut's positions, in which `stored` has not reached the cut.
    pub fn behind(&self, stored: &BTreeMap<PartitionId, Position>) -> impl Iterator<Item = (&PartitionId, Position)> {
        self.iter()
            .filter(|(log, end)| end.offset > 0 && stored.get(log).is_none_or(|at| at < end))
    }

    /// The condition that a row lies before the cut; `offset` names its column, `kafka_offset` or `start_offset`. One
    /// look-up per topic in a table of its partitions, so that the number of partitions does not affect the cost per
    /// row.
    pub fn condition(&self, offset: &str) -> String {
        let of_topic = |topic: &str| {
            let logs: Vec<_> = self.0.iter().filter(|(log, _)| *log.topic == *topic).collect();
            let list = |of: &dyn Fn(&PartitionId, &Position) -> i64, item: &str| {
                let items: Vec<String> = logs.iter().map(|(log, at)| of(log, at).to_string()).collect();
                format!("[{}]::Array({item})", items.join(", "))
            };
            let partitions = list(&|log, _| i64::from(log.partition), "Int32");
            let epochs = list(&|_, position| i64::from(position.log_epoch), "UInt32");
            let ends = list(&|_, position| position.offset, "Int64");
            let epoch = format!("transform(kafka_partition, {partitions}, {epochs}, toUInt32(0))");
            format!(
                "(kafka_topic = {topic} and (log_epoch < {epoch} or (log_epoch = {epoch} \
                 and {offset} < transform(kafka_partition, {partitions}, {ends}, toInt64(0)))))",
                topic = client_literal(topic)
            )
        };
        let topics: Vec<String> = self.topics().into_iter().map(of_topic).collect();
        if topics.is_empty() {
            "0".to_owned()
        } else {
            format!("({})", topics.join(" or "))
        }
    }
}

/// Text as a SQL string literal for the client, which reads `?` as a parameter and `??` as a question mark.
pub fn client_literal(text: &str) -> String {
    literal(text).replace('?', "??")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(partition: i32) -> PartitionId {
        PartitionId::new("metrics", partition)
    }

    #[test]
    fn earlier_lives_of_a_log_are_before_the_cut_and_unknown_partitions_behind_it() {
        let mut cut = Cut::default();
        for (partition, offset) in [(0, 100), (1, 7)] {
            cut.set(log(partition), Position { log_epoch: 2, offset });
        }
        let epoch = "transform(kafka_partition, [0, 1]::Array(Int32), [2, 2]::Array(UInt32), toUInt32(0))";
        assert_eq!(
            cut.condition("start_offset"),
            format!(
                "((kafka_topic = 'metrics' and (log_epoch < {epoch} or (log_epoch = {epoch} and start_offset < \
                 transform(kafka_partition, [0, 1]::Array(Int32), [100, 7]::Array(Int64), toInt64(0))))))"
            )
        );
    }

    #[test]
    fn nothing_is_before_an_empty_cut() {
        assert_eq!(Cut::default().condition("kafka_offset"), "0");
    }
}
