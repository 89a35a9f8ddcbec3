//! The raw rows of some hours, by the batch of the aggregate stage that has their offsets.
//!
//! Hours that have as many rows as the ledger counts may still lack some, where others are stored twice or were never
//! aggregated. A batch is the smallest thing of which the ledger says how many records of an hour it has.

use std::collections::BTreeMap;

use clickhouse::Row;
use horolog_stage::range::PartitionId;
use horolog_stage::store::Store;
use serde::Deserialize;

use crate::cut::{Cut, Position};
use crate::ledger::{self, HourBatch};
use crate::scope::Scope;
use crate::tool_error::ToolError;

/// The rows of one hour in a batch.
#[derive(Debug, Clone, Row, Deserialize)]
pub struct RawRows {
    kafka_topic: String,
    kafka_partition: i32,
    log_epoch: u32,
    /// First offset of the batch; -1 where no batch has their offsets.
    batch_start: i64,
    /// Start of the hour, seconds since 1970.
    pub hour: u32,
    rows: u64,
    /// How many offsets they have, each counted once.
    offsets: u64,
    /// Their first offset.
    pub first: i64,
    /// Their last offset.
    pub last: i64,
}

impl RawRows {
    /// Where they are from.
    pub fn log(&self) -> PartitionId {
        PartitionId::new(self.kafka_topic.as_str(), self.kafka_partition)
    }

    /// Whether one of them is stored more than once.
    pub fn has_doubles(&self) -> bool {
        self.rows > self.offsets
    }
}

/// Reads the rows of all tenants and metrics before the cut. Offsets are counted in bitmaps, which take a bit or two
/// bytes each, where a set of the offsets of a large hour would not fit into memory.
pub async fn read(store: &Store, hours: &Scope, cut: &Cut) -> Result<Vec<RawRows>, ToolError> {
    let query = format!(
        "select kafka_topic, kafka_partition, log_epoch, batch_start, toUnixTimestamp(start) as hour, count() as rows, \
           groupBitmap(toUInt64(kafka_offset)) as offsets, min(kafka_offset) as first, max(kafka_offset) as last \
         from ({}) group by kafka_topic, kafka_partition, log_epoch, batch_start, start order by all",
        ledger::raw_by_batch(hours, cut, ["start", "toStartOfHour(time)"], "")
    );
    Ok(store.client.query(&query).fetch_all().await?)
}

/// How many records of these batches have no row, by hour. What a batch has more than it counts makes up for nothing:
/// the aggregate stage did not see it.
pub fn lacking(batches: &[HourBatch], rows: &[RawRows]) -> BTreeMap<u32, u64> {
    let found: BTreeMap<(PartitionId, Position, u32), u64> = rows
        .iter()
        .map(|rows| {
            let start = Position {
                log_epoch: rows.log_epoch,
                offset: rows.batch_start,
            };
            ((rows.log(), start, rows.hour), rows.offsets)
        })
        .collect();
    let mut missing = BTreeMap::new();
    for batch in batches {
        for (&hour, &records) in &batch.hours {
            let offsets = found.get(&(batch.log.clone(), batch.start, hour));
            let lacks = records.saturating_sub(offsets.copied().unwrap_or(0));
            if lacks > 0 {
                *missing.entry(hour).or_default() += lacks;
            }
        }
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(partition: i32, start: i64, end: i64, hours: &[(u32, u64)]) -> HourBatch {
        HourBatch {
            log: PartitionId::new("metrics", partition),
            start: Position {
                log_epoch: 1,
                offset: start,
            },
            end,
            hours: hours.iter().copied().collect(),
        }
    }

    fn raw(partition: i32, batch_start: i64, hour: u32, rows: u64, offsets: u64) -> RawRows {
        RawRows {
            kafka_topic: "metrics".to_owned(),
            kafka_partition: partition,
            log_epoch: 1,
            batch_start,
            hour,
            rows,
            offsets,
            first: batch_start,
            last: batch_start + rows as i64 - 1,
        }
    }

    #[test]
    fn a_missing_row_is_made_up_for_by_no_other() {
        let batches = [
            batch(0, 0, 20, &[(0, 10), (3_600, 10)]),
            batch(0, 20, 30, &[(0, 10)]),
            batch(1, 0, 10, &[(0, 10)]),
        ];
        let whole = [
            raw(0, 0, 0, 10, 10),
            raw(0, 0, 3_600, 10, 10),
            raw(0, 20, 0, 10, 10),
            raw(1, 0, 0, 10, 10),
        ];
        assert!(lacking(&batches, &whole).is_empty());

        let mut doubled = whole.clone();
        doubled[2] = raw(0, 20, 0, 10, 9);
        assert_eq!(lacking(&batches, &doubled), BTreeMap::from([(0, 1)]));
        assert!(doubled[2].has_doubles());

        let mut elsewhere = whole.clone();
        elsewhere[0] = raw(0, 0, 0, 8, 8);
        elsewhere[1] = raw(0, 0, 3_600, 12, 12);
        elsewhere[3] = raw(1, 0, 0, 12, 12);
        assert_eq!(lacking(&batches, &elsewhere), BTreeMap::from([(0, 2)]));
    }

    #[test]
    fn rows_that_no_batch_has_are_welcome_beside_all_the_others() {
        let batches = [batch(0, 0, 10, &[(0, 10)])];
        let never_seen = [raw(0, -1, 0, 5, 5), raw(0, 0, 0, 10, 10)];
        assert!(lacking(&batches, &never_seen).is_empty());
        let in_its_place = [raw(0, -1, 0, 1, 1), raw(0, 0, 0, 9, 9)];
        assert_eq!(lacking(&batches, &in_its_place), BTreeMap::from([(0, 1)]));
        assert_eq!(lacking(&batches, &[]), BTreeMap::from([(0, 10)]));
    }
}
