//! Questions to Kafka by a client outside the group, so that they never hold up polling: bounds of logs, commits of the
//! group, single records. Never joins a group, never commits. All calls block.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::config::KafkaConfig;
use crate::connection::Connection;
use crate::intent::{CommitMetadata, Committed, ForeignMetadata};
use crate::range::{PartitionId, RecordMark, raw_record};

/// How long one request to the broker may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a question has no answer just now.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The broker did not answer, or not with what was asked for.
    #[error("kafka: {0}")]
    Kafka(#[from] KafkaError),
    /// The commit is somebody else's.
    #[error(transparent)]
    Foreign(#[from] ForeignMetadata),
    /// The record that was asked for did not arrive.
    #[error("the record at offset {0} did not arrive in time")]
    Record(i64),
}

/// A client for questions about the offsets of a group and the logs.
pub struct Probe {
    consumer: BaseConsumer<Connection>,
    /// Sees records of open transactions; used only for the ends of logs.
    uncommitted: BaseConsumer<Connection>,
    group: String,
    config: ClientConfig,
    /// Idle clients that read one record at a time each, as many as there were questions at a time. A client whose
    /// question failed is not used again: librdkafka keeps asking for the leader epoch of a deleted topic, and gets
    /// nothing from the one that has its name now.
    readers: Mutex<Vec<BaseConsumer<Connection>>>,
}

/// What the log of a partition is right now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogBounds {
    /// First offset.
    pub start: i64,
    /// The last stable offset: the start of the earliest open transaction, or `end` if there is none. Nothing from here
    /// on is handed out (KIP-98).
    pub stable_end: i64,
    /// Offset after the last.
    pub end: i64,
}

/// A record that was found.
struct Found {
    offset: i64,
    mark: RecordMark,
}

impl Probe {
    /// A probe for the offsets of `group`.
    pub fn new(config: &KafkaConfig, group: &str) -> Result<Self, KafkaError> {
        let mut config = config.consumer_config(group);
        // Leaders alone answer: a follower (KIP-392) may not have the last record yet, which would make another log of
        // this one.
        config.remove("client.rack");
        config
            .set("queued.max.messages.kbytes", "1024")
            // A question waits until the long poll of the previous one ends.
            .set("fetch.wait.max.ms", "10")
            .set("enable.partition.eof", "true");
        let mut uncommitted = config.clone();
        uncommitted.set("isolation.level", "read_uncommitted");
        Ok(Self {
            consumer: config.create_with_context(Connection::default())?,
            uncommitted: uncommitted.create_with_context(Connection::default())?,
            group: group.to_owned(),
            config,
            readers: Mutex::default(),
        })
    }

    /// Why a question has no answer: the error, and what the client reported about its connections meanwhile.
    pub fn why(&self, error: &KafkaError) -> String {
        self.consumer
            .context()
            .why(error, |timeout| drop(self.consumer.poll(timeout)))
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

    /// Whether no member is in the group.
    pub fn group_is_empty(&self) -> Result<bool, KafkaError> {
        let list = self
            .consumer
            .client()
            .fetch_group_list(Some(&self.group), REQUEST_TIMEOUT)?;
        Ok(list.groups().iter().all(|group| group.members().is_empty()))
    }

    /// The log's bounds. The end is asked for last: if both ends are equal, no transaction was open then.
    pub fn bounds(&self, id: &PartitionId) -> Result<LogBounds, KafkaError> {
        let (committed, uncommitted) = (bounds_by(&self.consumer, id), bounds_by(&self.uncommitted, id));
        // These clients fetch nothing, so what they report about their connections would pile up.
        for client in [&self.consumer, &self.uncommitted] {
            while client.poll(Duration::ZERO).is_some() {}
        }
        let ((start, stable_end), (_, end)) = (committed?, uncommitted?);
        Ok(LogBounds { start, stable_end, end })
    }

    /// Where the earliest open transaction begins, if it is all that keeps a reader who is at `offset` from going on.
    pub fn open_transaction(&self, id: &PartitionId, offset: i64) -> Result<Option<i64>, ProbeError> {
        let earlier = self.bounds(id)?;
        // What was there at the earlier look and is not stable yet is in a transaction, or behind one; records that come
        // between the two answers of a single look are not.
        let bounds = self.bounds(id)?;
        if bounds.stable_end >= earlier.end {
            return Ok(None);
        }
        let can_go_on = offset < bounds.stable_end && self.has_record_from(id, offset.max(bounds.start))?;
        Ok((!can_go_on).then_some(bounds.stable_end))
    }

    /// The group's commit.
    pub fn committed(&self, id: &PartitionId) -> Result<Option<Committed>, ProbeError> {
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

    /// The mark of the record at `offset`, which must be within the log's bounds. `None` if the log has no record at
    /// exactly that offset: there is a transaction marker, or a record of an aborted transaction.
    pub fn record_at(&self, id: &PartitionId, offset: i64) -> Result<Option<RecordMark>, ProbeError> {
        let mut found = self.first_from(id, offset)?;
        if found.is_none() {
            // Only markers follow, provided that the log ends behind `offset`: a new leader may learn late where the
            // log ends, and a transaction may be open.
            if self.bounds(id)?.stable_end <= offset {
                return Err(ProbeError::Record(offset));
            }
            found = self.first_from(id, offset)?;
        }
        Ok(found.filter(|found| found.offset == offset).map(|found| found.mark))
    }

    /// Whether the log has a record from `offset` on. It may end with transaction markers, which are no records.
    pub fn has_record_from(&self, id: &PartitionId, offset: i64) -> Result<bool, ProbeError> {
        Ok(self.first_from(id, offset)?.is_some())
    }

    fn first_from(&self, id: &PartitionId, offset: i64) -> Result<Option<Found>, ProbeError> {
        let readers = || self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = readers().pop();
        let reader = match kept {
            Some(reader) => reader,
            None => self.config.create_with_context(Connection::default())?,
        };
        let found = first_of(&reader, id, offset)?;
        readers().push(reader);
        Ok(found)
    }
}

/// First offset, and the one after the last that this client may see.
fn bounds_by(client: &BaseConsumer<Connection>, id: &PartitionId) -> Result<(i64, i64), KafkaError> {
    let ask = || client.fetch_watermarks(&id.topic, id.partition, REQUEST_TIMEOUT);
    match ask() {
        // A client that reads nothing trusts its cached metadata, such as of a partition that had no leader just then,
        // until that is `metadata.max.age.ms` old (15 minutes).
        Err(error) if is_gone(&error) => {
            client.fetch_metadata(Some(&id.topic), REQUEST_TIMEOUT)?;
            ask()
        }
        answer => answer,
    }
}

fn first_of(reader: &BaseConsumer<Connection>, id: &PartitionId, offset: i64) -> Result<Option<Found>, ProbeError> {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&id.topic, id.partition, Offset::Offset(offset))?;
    reader.assign(&list)?;
    let found = poll_until(reader, offset, Instant::now() + REQUEST_TIMEOUT);
    reader.unassign()?;
    found
}

/// librdkafka handles other errors itself: it reconnects, and reports each refused connection meanwhile.
fn poll_until(reader: &BaseConsumer<Connection>, offset: i64, deadline: Instant) -> Result<Option<Found>, ProbeError> {
    let mut last_error = None;
    while Instant::now() < deadline {
        match reader.poll(Duration::from_millis(100)) {
            None => (),
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(None),
            Some(Err(error)) if is_gone(&error) => return Err(error.into()),
            Some(Err(error)) => last_error = Some(error),
            Some(Ok(message)) => {
                let record = raw_record(&message);
                return Ok(Some(Found {
                    offset: record.offset,
                    mark: RecordMark::of(&record),
                }));
            }
        }
    }
    Err(last_error.map_or(ProbeError::Record(offset), ProbeError::from))
}

/// Whether the client does not know the partition, as while a topic is being recreated.
fn is_gone(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{UnknownPartition, UnknownTopicOrPartition};
    matches!(
        error.rdkafka_error_code(),
        Some(UnknownPartition | UnknownTopicOrPartition)
    )
}
