//! Rejected records that have not been replayed yet, in log order.
//!
//! Enters: the operator's selection. Leaves: places, one page at a time, and on request the records with their bytes,
//! so that memory is bounded by what one transaction sends.

use clickhouse::Row;
use clickhouse::query::Query;
use horolog_schemas::KAFKA_TIMESTAMP_END_MS;
use horolog_stage::clock::now_ms;
use horolog_stage::store::Store;
use serde_bytes::ByteBuf;

use super::{Args, Place, ReplayError};

/// Places in a page.
const PAGE_RECORDS: u32 = 50_000;

/// The selected records after a given place that were not replayed yet. Records rejected after the run began are left
/// to the next run, because this run may have sent them itself.
const PAGE_SQL: &str = "\
    select kafka_partition, log_epoch, kafka_offset, length(payload) + length(record_key) as bytes \
    from rejected_records \
    where kafka_topic = {topic:String} and (empty({reasons:Array(String)}) or has({reasons:Array(String)}, reason)) \
    and kafka_timestamp >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') \
    and kafka_timestamp < fromUnixTimestamp64Milli({to:Int64}, 'UTC') \
    and inserted_at < fromUnixTimestamp64Milli({asked:Int64}, 'UTC') \
    and (kafka_partition, log_epoch, kafka_offset) > ({partition:Int32}, {log_epoch:UInt32}, {offset:Int64}) \
    and (kafka_partition, log_epoch, kafka_offset) not in \
    (select kafka_partition, log_epoch, kafka_offset from replayed_records final where kafka_topic = {topic:String} and state = 'sent') \
    order by kafka_partition, log_epoch, kafka_offset limit 1 by kafka_partition, log_epoch, kafka_offset limit {limit:UInt32}";

const RECORDS_SQL: &str = "\
    select kafka_partition, log_epoch, kafka_offset, record_key, payload from rejected_records \
    where kafka_topic = {topic:String} and (kafka_partition, log_epoch, kafka_offset) in \
    (select arrayJoin(arrayZip({partitions:Array(Int32)}, {log_epochs:Array(UInt32)}, {offsets:Array(Int64)}))) \
    order by kafka_partition, log_epoch, kafka_offset limit 1 by kafka_partition, log_epoch, kafka_offset";

/// The operator's selection of rejected records.
pub struct RejectedRecords {
    store: Store,
    args: Args,
    /// When the run began, ms since 1970.
    asked_ms: i64,
}

/// A record that may be replayed.
#[derive(Debug, Clone, Copy, Row, serde::Deserialize)]
pub struct Candidate {
    kafka_partition: i32,
    log_epoch: u32,
    kafka_offset: i64,
    /// Size of its key and payload.
    pub bytes: u64,
}

/// A record with its bytes.
#[derive(Debug, Row, serde::Deserialize)]
pub struct Record {
    kafka_partition: i32,
    log_epoch: u32,
    kafka_offset: i64,
    // Neither need be UTF-8.
    record_key: ByteBuf,
    payload: ByteBuf,
}

impl RejectedRecords {
    /// The records that the arguments select.
    pub fn new(store: Store, args: &Args) -> Self {
        Self {
            store,
            args: args.clone(),
            asked_ms: now_ms(),
        }
    }

    /// The records after a place, in order; empty when there are no more.
    pub async fn page(&self, after: Option<Place>) -> Result<Vec<Candidate>, ReplayError> {
        let millis = |time: Option<chrono::DateTime<chrono::Utc>>, otherwise| {
            time.map_or(otherwise, |time| time.timestamp_millis())
        };
        let after = after.unwrap_or(Place {
            partition: -1,
            log_epoch: 0,
            offset: 0,
        });
        let query = self
            .query(PAGE_SQL)
            .param("reasons", &self.args.reason)
            .param("from", millis(self.args.from, 0))
            .param("to", millis(self.args.to, KAFKA_TIMESTAMP_END_MS))
            .param("asked", self.asked_ms)
            .param("partition", after.partition)
            .param("log_epoch", after.log_epoch)
            .param("offset", after.offset)
            .param("limit", PAGE_RECORDS);
        Ok(query.fetch_all().await?)
    }

    /// The records at these places, with their bytes.
    pub async fn records(&self, of: &[Candidate]) -> Result<Vec<Record>, ReplayError> {
        Ok(Places::of(of).bind(self.query(RECORDS_SQL)).fetch_all().await?)
    }

    fn query(&self, sql: &str) -> Query {
        self.store.client.query(sql).param("topic", &self.args.topic)
    }
}

/// Places as query parameters: `{partitions:Array(Int32)}`, `{log_epochs:Array(UInt32)}`, `{offsets:Array(Int64)}`.
pub struct Places {
    partitions: Vec<i32>,
    log_epochs: Vec<u32>,
    offsets: Vec<i64>,
}

impl Places {
    /// The places of these records.
    pub fn of(records: &[Candidate]) -> Self {
        Self {
            partitions: records.iter().map(|record| record.kafka_partition).collect(),
            log_epochs: records.iter().map(|record| record.log_epoch).collect(),
            offsets: records.iter().map(|record| record.kafka_offset).collect(),
        }
    }

    /// Binds them to a query.
    pub fn bind(self, query: Query) -> Query {
        query
            .param("partitions", self.partitions)
            .param("log_epochs", self.log_epochs)
            .param("offsets", self.offsets)
    }
}

impl Candidate {
    /// Where it was rejected.
    pub fn place(&self) -> Place {
        Place {
            partition: self.kafka_partition,
            log_epoch: self.log_epoch,
            offset: self.kafka_offset,
        }
    }
}

impl Record {
    /// Where it was rejected.
    pub fn place(&self) -> Place {
        Place {
            partition: self.kafka_partition,
            log_epoch: self.log_epoch,
            offset: self.kafka_offset,
        }
    }

    /// Its key; empty if it had none.
    pub fn key(&self) -> &[u8] {
        &self.record_key
    }

    /// Its payload; empty if it had none.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }
}
