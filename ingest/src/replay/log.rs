//! The topic as a replay sees it: each replay is one transaction, which commits its records and its identifier
//! together.
//!
//! The identifier is the metadata of an offset commit by a group without members (KIP-98: offset commits take part in
//! transactions). The transactional id belongs to the topic: taking it fences the previous holder, so only one replay
//! of a topic runs at a time, and the last committed identifier says whether a replay was sent. All calls block.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};

use super::ReplayError;
use super::rejected::Record;

/// Timeout of one request to the broker, and of a transaction.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// The group whose offset commits carry the identifier of a topic's last replay.
const GROUP: &str = "horolog-replay";
/// The partition whose offset is committed. Any would do; every topic has this one.
const COMMITTED_PARTITION: i32 = 0;
/// Header with the identifier of the replay that sent the record.
const REPLAY_HEADER: &str = "horolog-replay";
/// Header with the place where the record was rejected.
const PLACE_HEADER: &str = "horolog-replayed-from";

/// The exclusive right to replay to a topic, until another process takes it.
pub struct Log {
    topic: String,
    partitions: i32,
    producer: ThreadedProducer<DefaultProducerContext>,
    consumer: BaseConsumer,
}

impl Log {
    /// Takes the right to replay. This aborts or completes any transaction that another process has open.
    pub fn take(config: &ClientConfig, topic: &str) -> Result<Self, ReplayError> {
        let (mut sending, mut asking) = (config.clone(), config.clone());
        sending
            .set("transactional.id", format!("horolog-replay-{topic}"))
            .set("transaction.timeout.ms", REQUEST_TIMEOUT.as_millis().to_string())
            // The topic accepted the record once, so its own size limit decides, not the client's.
            .set("message.max.bytes", "100000000");
        asking.set("group.id", GROUP).set("enable.auto.commit", "false");
        let failed = |what| move |source| ReplayError::Kafka { what, source };
        let producer: ThreadedProducer<_> = sending.create().map_err(failed("create a client"))?;
        let consumer: BaseConsumer = asking.create().map_err(failed("create a client"))?;
        let metadata = consumer
            .fetch_metadata(Some(topic), REQUEST_TIMEOUT)
            .map_err(failed("ask for the topic"))?;
        let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
        if partitions == 0 {
            return Err(ReplayError::Refused(format!(
                "--topic {topic}: the topic does not exist"
            )));
        }
        producer
            .init_transactions(REQUEST_TIMEOUT)
            .map_err(failed("acquire the right to replay"))?;
        Ok(Self {
            topic: topic.to_owned(),
            partitions: i32::try_from(partitions).unwrap_or(i32::MAX),
            producer,
            consumer,
        })
    }

    /// The identifier of the last replay that was sent; `None` if there was none or the broker has forgotten it.
    pub fn last_replay(&self) -> Result<Option<String>, ReplayError> {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic, COMMITTED_PARTITION);
        let asked = self.consumer.committed_offsets(list, REQUEST_TIMEOUT);
        let failed = |source| ReplayError::Kafka {
            what: "ask for the last replay",
            source,
        };
        let list = asked.map_err(failed)?;
        let element = list.find_partition(&self.topic, COMMITTED_PARTITION);
        element
            .as_ref()
            .map_or(Ok(()), |element| element.error())
            .map_err(failed)?;
        let metadata = element.map(|element| element.metadata().to_owned());
        Ok(metadata.filter(|metadata| !metadata.is_empty()))
    }

    /// Sends records and commits the replay's identifier atomically. After an error the outcome may be unknown.
    pub fn send(&self, replay: &str, records: &[Record]) -> Result<(), ReplayError> {
        self.transaction(replay, records).map_err(|source| {
            // If the transaction can still be aborted, do so now, so that the next run need not wait for its timeout.
            drop(self.producer.abort_transaction(REQUEST_TIMEOUT));
            ReplayError::Kafka {
                what: "send the records (the next run finds out whether those of this replay were sent)",
                source,
            }
        })
    }

    fn transaction(&self, replay: &str, records: &[Record]) -> KafkaResult<()> {
        self.producer.begin_transaction()?;
        for record in records {
            self.produce(replay, record)?;
        }
        let group = self.consumer.group_metadata();
        let group = group.ok_or(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownGroup))?;
        let mut list = TopicPartitionList::new();
        let mut element = list.add_partition(&self.topic, COMMITTED_PARTITION);
        element.set_offset(Offset::Offset(0))?;
        element.set_metadata(replay);
        self.producer
            .send_offsets_to_transaction(&list, &group, REQUEST_TIMEOUT)?;
        self.producer.commit_transaction(REQUEST_TIMEOUT)
    }

    fn produce(&self, replay: &str, record: &Record) -> KafkaResult<()> {
        let place = record.place();
        let from = format!(
            "{}/{}@{}/{}",
            self.topic, place.partition, place.log_epoch, place.offset
        );
        let headers = OwnedHeaders::new()
            .insert(Header {
                key: REPLAY_HEADER,
                value: Some(replay),
            })
            .insert(Header {
                key: PLACE_HEADER,
                value: Some(&from),
            });
        let mut message = BaseRecord::<[u8], [u8]>::to(&self.topic)
            .payload(record.payload())
            .headers(headers);
        // The original partition, with the other records of its key, unless the topic was recreated with fewer
        // partitions.
        if place.partition < self.partitions {
            message = message.partition(place.partition);
        }
        if !record.key().is_empty() {
            message = message.key(record.key());
        }
        self.producer.send(message).map_err(|(error, _)| error)
    }
}
