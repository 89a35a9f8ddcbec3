//! Questions of an operator's command to Kafka, and reading a partition from one offset to another. Never joins the group, never
//! commits. All calls block.

use std::time::{Duration, Instant};

use horolog_schemas::RawRecord;
use horolog_stage::config::KafkaConfig;
use horolog_stage::intent::CommitMetadata;
use horolog_stage::range::{Filling, PartitionId, Range};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use crate::cut::{Log, Position};
use crate::tool_error::ToolError;

/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the broker may send nothing in the middle of a partition.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// A client of the broker.
pub struct Broker {
    consumer: BaseConsumer,
    group: String,
}

/// What the group has committed for a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The offset.
    pub offset: i64,
    /// What is said with it.
    pub metadata: Option<CommitMetadata>,
}

impl Broker {
    /// A client that looks at the offsets of `group`.
    pub fn new(config: &KafkaConfig, group: &str) -> Result<Self, KafkaError> {
        let mut client = config.client_config();
        client
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "error");
        Ok(Self {
            consumer: client.create()?,
            group: group.to_owned(),
        })
    }

    /// Number of partitions of a topic; 0 where it does not exist.
    pub fn partition_count(&self, topic: &str) -> Result<i32, KafkaError> {
        let metadata = self.consumer.fetch_metadata(Some(topic), REQUEST_TIMEOUT)?;
        Ok(metadata
            .topics()
            .first()
            .map_or(0, |topic| topic.partitions().len() as i32))
    }

    /// First offset of a partition, and the offset after its last.
    pub fn bounds(&self, log: &Log) -> Result<(i64, i64), KafkaError> {
        self.consumer
            .fetch_watermarks(&log.topic, log.partition, REQUEST_TIMEOUT)
    }

    /// Whether no member is in the group.
    pub fn group_is_empty(&self) -> Result<bool, KafkaError> {
        let list = self
            .consumer
            .client()
            .fetch_group_list(Some(&self.group), REQUEST_TIMEOUT)?;
        Ok(list.groups().iter().all(|group| group.members().is_empty()))
    }

    /// The group's commit.
    pub fn committed(&self, log: &Log) -> Result<Option<Committed>, ToolError> {
        let mut list = TopicPartitionList::new();
        list.add_partition(&log.topic, log.partition);
        let list = self.consumer.committed_offsets(list, REQUEST_TIMEOUT)?;
        let Some(element) = list.find_partition(&log.topic, log.partition) else {
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

    /// The records of `log` from `start` on, before `end`. Offsets without a record are passed over.
    pub fn read(&self, log: &Log, start: Position, end: i64) -> Result<Range, ToolError> {
        let id = PartitionId {
            topic: log.topic.as_str().into(),
            partition: log.partition,
        };
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&log.topic, log.partition, Offset::Offset(start.offset))?;
        self.consumer.assign(&list)?;
        let mut filling = Filling::new(start.offset);
        let filled = self.fill(&mut filling, log, end);
        self.consumer.unassign()?;
        filled?;
        Ok(filling.close(&id, start.log_epoch, end))
    }

    fn fill(&self, filling: &mut Filling, log: &Log, end: i64) -> Result<(), ToolError> {
        let mut heard = Instant::now();
        let mut last_error = None;
        while filling.next() < end {
            match self.consumer.poll(Duration::from_millis(100)) {
                None => (),
                // Behind the last record there may be markers of transactions, which are never seen.
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(()),
                Some(Err(KafkaError::MessageConsumption(
                    RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange,
                ))) => {
                    let next = filling.next();
                    return Err(ToolError::Refused(format!(
                        "the log no longer has offset {next} of {log}"
                    )));
                }
                // librdkafka reconnects by itself.
                Some(Err(error @ KafkaError::MessageConsumption(_))) => last_error = Some(error),
                Some(Err(error)) => return Err(error.into()),
                Some(Ok(message)) if message.offset() >= end => return Ok(()),
                Some(Ok(message)) => {
                    heard = Instant::now();
                    let record = RawRecord {
                        offset: message.offset(),
                        timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
                        key: message.key(),
                        payload: message.payload(),
                    };
                    filling.push(&record, heard);
                }
            }
            if heard.elapsed() > SILENCE_MAX {
                let silent = || {
                    let next = filling.next();
                    ToolError::Refused(format!("kafka: {log} sends nothing from offset {next} on"))
                };
                return Err(last_error.map_or_else(silent, ToolError::from));
            }
        }
        Ok(())
    }
}
