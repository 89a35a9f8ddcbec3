//! Gathers what [`crate::plan`] decides on: the group's commit and the log from Kafka, the ledger and the rows from ClickHouse.
//!
//! Only reads. Takes as long as it takes: while a server is away the partition is not fetched, so nothing is lost by waiting.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use clickhouse::Row;
use horolog_schemas::RawRecord;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde::Deserialize;

use crate::intent::{CommitMetadata, ForeignMetadata};
use crate::ledger;
use crate::plan::{Committed, LedgerEnd};
use crate::range::{PartitionId, fingerprint};
use crate::store::{Store, StoreError, classify};

/// How long one request to the broker may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Why facts could not be had just now.
#[derive(Debug, thiserror::Error)]
pub enum FactsError {
    /// The broker did not answer, or not with what was asked for.
    #[error("kafka: {0}")]
    Kafka(#[from] KafkaError),
    /// ClickHouse did not.
    #[error("clickhouse: {0}")]
    Store(#[from] StoreError),
    /// The commit is somebody else's.
    #[error(transparent)]
    Foreign(#[from] ForeignMetadata),
    /// Nobody answered in time.
    #[error("no answer in time")]
    Timeout,
    /// The record before the ledger's end did not come.
    #[error("the record at offset {0} did not arrive in time")]
    Tail(i64),
}

/// A second Kafka client that is no member of the group: for questions, so that they never hold up the polling thread.
pub struct Probe {
    consumer: BaseConsumer,
    /// Only one assignment at a time.
    reading: Mutex<()>,
}

/// What the log of a partition is right now.
#[derive(Debug, Clone, Copy)]
pub struct LogBounds {
    /// First offset.
    pub start: i64,
    /// Offset after the last.
    pub end: i64,
}

impl Probe {
    /// A probe for the offsets of `group`.
    pub fn new(config: &ClientConfig, group: &str) -> Result<Self, KafkaError> {
        let mut config = config.clone();
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false");
        config
            .set("auto.offset.reset", "error")
            .set("queued.max.messages.kbytes", "1024");
        Ok(Self {
            consumer: config.create()?,
            reading: Mutex::new(()),
        })
    }

    /// Identifier of the cluster, for the tokens.
    pub fn cluster_id(&self) -> Option<String> {
        self.consumer.client().fetch_cluster_id(REQUEST_TIMEOUT)
    }

    /// Number of partitions of a topic; 0 where it does not exist.
    pub fn partition_count(&self, topic: &str) -> Result<i32, KafkaError> {
        let metadata = self.consumer.fetch_metadata(Some(topic), REQUEST_TIMEOUT)?;
        Ok(metadata
            .topics()
            .first()
            .map_or(0, |topic| topic.partitions().len() as i32))
    }

    /// The log's bounds.
    pub fn bounds(&self, id: &PartitionId) -> Result<LogBounds, KafkaError> {
        let (start, end) = self
            .consumer
            .fetch_watermarks(&id.topic, id.partition, REQUEST_TIMEOUT)?;
        Ok(LogBounds { start, end })
    }

    /// The group's commit.
    pub fn committed(&self, id: &PartitionId) -> Result<Option<Committed>, FactsError> {
        let mut list = TopicPartitionList::new();
        list.add_partition(&id.topic, id.partition);
        let list = self.consumer.committed_offsets(list, REQUEST_TIMEOUT)?;
        let Some(element) = list.find_partition(&id.topic, id.partition) else {
            return Ok(None);
        };
        element.error()?;
        match element.offset() {
            Offset::Offset(offset) => Ok(Some(Committed {
                offset,
                metadata: CommitMetadata::decode(element.metadata())?,
            })),
            _ => Ok(None),
        }
    }

    /// Kafka timestamp and fingerprint of the record at `offset`; none where the log has no record at just that offset.
    pub fn record_at(&self, id: &PartitionId, offset: i64) -> Result<Option<(i64, u64)>, FactsError> {
        let _reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&id.topic, id.partition, Offset::Offset(offset))?;
        self.consumer.assign(&list)?;
        let found = self.poll_until(offset, Instant::now() + REQUEST_TIMEOUT);
        self.consumer.unassign()?;
        found
    }

    /// Errors in between are librdkafka's own business: it reconnects, and tells of every connection that was refused meanwhile.
    fn poll_until(&self, offset: i64, deadline: Instant) -> Result<Option<(i64, u64)>, FactsError> {
        let mut last_error = None;
        while Instant::now() < deadline {
            match self.consumer.poll(Duration::from_millis(100)) {
                None => (),
                Some(Err(error)) => last_error = Some(error),
                Some(Ok(message)) => {
                    let record = RawRecord {
                        offset: message.offset(),
                        timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
                        key: message.key(),
                        payload: message.payload(),
                    };
                    let found = (record.offset == offset).then(|| (record.timestamp_ms, fingerprint(&record)));
                    return Ok(found);
                }
            }
        }
        Err(last_error.map_or(FactsError::Tail(offset), FactsError::from))
    }
}

/// What the log is right now, and the record before the ledger's end in it. Blocks.
///
/// Asked last: a log that is the same is never shorter than what was known of it before, however long we slept in between.
pub fn of_log(
    probe: &Probe,
    id: &PartitionId,
    tail: Option<&ledger::Tail>,
) -> Result<(LogBounds, Option<LedgerEnd>), FactsError> {
    let bounds = probe.bounds(id)?;
    let tail_offset = tail.filter(|tail| tail.records > 0).map(|tail| tail.end_offset - 1);
    let readable = tail_offset.filter(|offset| (bounds.start..bounds.end).contains(offset));
    let found = match readable {
        Some(offset) => probe.record_at(id, offset)?,
        None => None,
    };
    Ok((bounds, tail.map(|tail| tail.end(found))))
}

/// Offset after the last row of this life of the log in `tables`, looking from `from` on.
pub async fn rows_end(
    store: &Store,
    tables: &[&'static str],
    id: &PartitionId,
    log_epoch: u32,
    from: i64,
) -> Result<Option<i64>, StoreError> {
    let mut end = None;
    for table in tables {
        let (rows, last): (u64, i64) = store
            .client
            .query(&format!(
                "select count(), max(kafka_offset) from {table} \
                 where kafka_topic = ? and kafka_partition = ? and log_epoch = ? and kafka_offset >= ?"
            ))
            .bind(&*id.topic)
            .bind(id.partition)
            .bind(log_epoch)
            .bind(from)
            .fetch_one()
            .await
            .map_err(classify)?;
        end = end.max((rows > 0).then_some(last + 1));
    }
    Ok(end)
}

/// What was stated of a partition's progress, by this owner of it or an earlier one.
#[derive(Debug, Clone, Copy, Default, Row, Deserialize)]
pub struct Stated {
    /// Largest watermark of this life of the log, ms since 1970; 0 where there is none.
    pub watermark_ms: i64,
    /// The same of all its lives.
    pub watermark_ever_ms: i64,
    /// Epoch of the partial aggregates.
    pub write_epoch: u32,
    /// Partitions of the topic, as any owner of any of them last saw it.
    pub partitions: i32,
}

/// Reads what was stated.
pub async fn stated(store: &Store, id: &PartitionId, log_epoch: u32) -> Result<Stated, StoreError> {
    store
        .client
        .query(
            "select maxIf(toUnixTimestamp64Milli(watermark), kafka_partition = ? and log_epoch = ?) as watermark_ms, \
             maxIf(toUnixTimestamp64Milli(watermark), kafka_partition = ?) as watermark_ever_ms, \
             maxIf(p.write_epoch, kafka_partition = ?) as write_epoch, max(p.partitions) as partitions \
             from partition_progress as p where kafka_topic = ?",
        )
        .bind(id.partition)
        .bind(log_epoch)
        .bind(id.partition)
        .bind(id.partition)
        .bind(&*id.topic)
        .fetch_one()
        .await
        .map_err(classify)
}
