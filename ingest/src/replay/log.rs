//! The topic as a replay sees it: one transaction a replay, which commits the records and the replay's identifier together.
//!
//! The identifier is the metadata of an offset commit of a group that nobody is a member of (KIP-98: offsets are part of the
//! transaction). The transactional id is the topic's: who takes it fences whoever had it before, so one replay of a topic goes on at a
//! time, and the identifier of the last one tells whether it was sent. All calls block.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};

use super::ReplayError;
use super::rejected::Record;

/// How long one request to the broker may take, and with it a transaction.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// The group whose commits name the last replay of a topic.
const GROUP: &str = "horolog-replay";
/// The commit is of this partition; which does not matter, but each topic has it.
const COMMITTED_PARTITION: i32 = 0;
/// Names the replay that a record came with.
const REPLAY_HEADER: &str = "horolog-replay";
/// Names the place where it was rejected.
const PLACE_HEADER: &str = "horolog-replayed-from";

/// The right to replay to a topic, until somebody else takes it.
pub struct Log {
    topic: String,
    partitions: i32,
    producer: ThreadedProducer<DefaultProducerContext>,
    consumer: BaseConsumer,
}

impl Log {
    /// Takes the right to replay; a transaction that is under way elsewhere is over then, one way or the other.
    pub fn take(config: &ClientConfig, topic: &str) -> Result<Self, ReplayError> {
        let (mut sending, mut asking) = (config.clone(), config.clone());
        sending
            .set("transactional.id", format!("horolog-replay-{topic}"))
            .set("transaction.timeout.ms", REQUEST_TIMEOUT.as_millis().to_string())
            // A record that was once taken is taken again: how large it may be is the topic's to say.
            .set("message.max.bytes", "100000000");
        asking.set("group.id", GROUP).set("enable.auto.commit", "false");
        let failed = |what| move |source| ReplayError::Kafka { what, source };
        let producer: ThreadedProducer<_> = sending.create().map_err(failed("make a client"))?;
        let consumer: BaseConsumer = asking.create().map_err(failed("make a client"))?;
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
            .map_err(failed("take the right to replay"))?;
        Ok(Self {
            topic: topic.to_owned(),
            partitions: i32::try_from(partitions).unwrap_or(i32::MAX),
            producer,
            consumer,
        })
    }

    /// The replay that was sent last; none where there was none, or the broker has forgotten it.
    pub fn last_replay(&self) -> Result<Option<String>, ReplayError> {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic, COMMITTED_PARTITION);
        let asked = self.consumer.committed_offsets(list, REQUEST_TIMEOUT);
        let list = asked.map_err(|source| ReplayError::Kafka {
            what: "ask for the last replay",
            source,
        })?;
        let element = list.find_partition(&self.topic, COMMITTED_PARTITION);
        let metadata = element.map(|element| element.metadata().to_owned());
        Ok(metadata.filter(|metadata| !metadata.is_empty()))
    }

    /// Sends records and commits the identifier of their replay, all or nothing. After an error the outcome may be unknown.
    pub fn send(&self, replay: &str, records: &[Record]) -> Result<(), ReplayError> {
        self.transaction(replay, records).map_err(|source| {
            // Frees the right at once where the transaction can still be given up.
            drop(self.producer.abort_transaction(REQUEST_TIMEOUT));
            ReplayError::Kafka {
                what: "send the records (those of this replay are looked at again by the next run)",
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
        // Where it was, beside the other records of its key; unless the topic was made again with fewer partitions.
        if place.partition < self.partitions {
            message = message.partition(place.partition);
        }
        if !record.key().is_empty() {
            message = message.key(record.key());
        }
        self.producer.send(message).map_err(|(error, _)| error)
    }
}
