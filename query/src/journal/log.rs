//! The journal's topic: one partition, compacted, written in transactions under one transactional id.
//!
//! Guarantees: a writer that began before another one cannot commit after it (Kafka fences it, KIP-98), so whoever
//! holds a [`Writer`] and has read the log to its end decides on the current state until it commits. All calls block.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use horolog_stage::cleanup_policy::{self, CLEANUP_POLICY, COMPACT};
use horolog_stage::connection::Connection;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, DeliveryResult, Message};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::topic_partition_list::Offset;
use rdkafka::{ClientConfig, ClientContext, TopicPartitionList};

use crate::journal::view::Record;

const PARTITION: i32 = 0;
/// Timeout of one request to the broker.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest that a writer killed within a transaction holds others up.
const TRANSACTION_TIMEOUT_MS: &str = "15000";
/// A read fails if no record arrives for this long.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Timeout of one poll.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

const GONE: KafkaError = KafkaError::MessageConsumption(RDKafkaErrorCode::UnknownTopicOrPartition);

/// A change to a key; no value deletes it.
pub type Change = (String, Option<serde_json::Value>);

/// The topic.
#[derive(Clone)]
pub(super) struct Log {
    config: ClientConfig,
    topic: String,
}

impl Log {
    pub(super) fn new(mut config: ClientConfig, topic: &str) -> Self {
        config.set("socket.timeout.ms", "10000");
        Self {
            config,
            topic: topic.to_owned(),
        }
    }

    pub(super) fn topic(&self) -> &str {
        &self.topic
    }

    /// Creates the topic if it does not exist: compacted, one partition, with the broker's default replication factor.
    pub(super) async fn ensure(&self) -> KafkaResult<()> {
        let admin: AdminClient<DefaultClientContext> = self.config.create()?;
        let topic = NewTopic::new(&self.topic, 1, TopicReplication::Fixed(-1)).set(CLEANUP_POLICY, COMPACT);
        let options = AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT));
        for result in admin.create_topics([&topic], &options).await? {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                // Not fatal: the topic may have been created by somebody with more rights.
                Err((_, code)) => tracing::debug!(%code, topic = self.topic, "cannot create the journal's topic"),
            }
        }
        Ok(())
    }

    /// Waits until the topic has a leader, which takes a moment for a new topic. Blocks.
    pub(super) fn wait_for_leader(&self) -> KafkaResult<()> {
        let consumer: BaseConsumer = self.config.create()?;
        let deadline = Instant::now() + REQUEST_TIMEOUT;
        loop {
            let metadata = consumer.fetch_metadata(Some(&self.topic), REQUEST_TIMEOUT)?;
            let mut partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
            let partition = partitions.find(|partition| partition.id() == PARTITION && partition.leader() >= 0);
            if let Some(partition) = partition {
                if metadata.brokers().len() > 1 && partition.replicas().len() == 1 {
                    tracing::warn!(
                        topic = self.topic,
                        "all keys would be lost with one broker: give the journal's topic more replicas"
                    );
                }
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition));
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// The topic's cleanup policy; `None` if the ACLs do not allow asking.
    pub(super) async fn cleanup_policy(&self) -> KafkaResult<Option<String>> {
        cleanup_policy::of_topic(&self.config, &self.topic).await
    }

    /// A reader of committed records that starts at an offset. It never jumps to another offset: if the log no longer
    /// has the offset, that is an error for which [`is_lost`] is true.
    pub(super) fn reader(&self, from: i64) -> KafkaResult<Reader> {
        self.reader_of(self.config.clone(), from)
    }

    /// A reader that learns immediately where the log ends, because the broker does not wait half a second for new
    /// records. Only for short use.
    pub(super) fn prompt_reader(&self, from: i64) -> KafkaResult<Reader> {
        let mut config = self.config.clone();
        config.set("fetch.wait.max.ms", "10");
        self.reader_of(config, from)
    }

    fn reader_of(&self, mut config: ClientConfig, from: i64) -> KafkaResult<Reader> {
        config
            // Manual assignment joins no group, but librdkafka requires a name.
            .set("group.id", "horolog-query-journal")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("isolation.level", "read_committed")
            .set("allow.auto.create.topics", "false")
            .set("auto.offset.reset", "error")
            .set("topic.metadata.refresh.interval.ms", "10000");
        let reader = Reader {
            consumer: config.create_with_context(Connection::default())?,
            topic: self.topic.clone(),
        };
        reader.start(from)?;
        Ok(reader)
    }

    /// The right to write, taken from whoever had it.
    pub(super) fn writer(&self) -> KafkaResult<Writer> {
        let last = Arc::new(AtomicI64::new(-1));
        let mut config = self.config.clone();
        config
            .set("transactional.id", format!("{}-writer", self.topic))
            .set("transaction.timeout.ms", TRANSACTION_TIMEOUT_MS)
            .set("linger.ms", "0");
        let producer: ThreadedProducer<LastOffset> = config.create_with_context(LastOffset(last.clone()))?;
        // A broker that has just started first creates its transaction topic.
        producer.init_transactions(3 * REQUEST_TIMEOUT)?;
        Ok(Writer {
            producer,
            topic: self.topic.clone(),
            last,
        })
    }
}

/// Whether the log no longer has records that it had: it was recreated, or lost its end.
pub(super) fn is_lost(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{AutoOffsetReset, OffsetOutOfRange};
    matches!(error.rdkafka_error_code(), Some(AutoOffsetReset | OffsetOutOfRange))
}

/// Reads records in order.
pub(super) struct Reader {
    consumer: BaseConsumer<Connection>,
    topic: String,
}

/// The result of a poll.
pub(super) enum Polled {
    /// A record.
    Record(Record),
    /// All committed records were read.
    End,
    /// Nothing yet.
    Nothing,
}

impl Reader {
    /// Continues at an offset. Everything after it is fetched from the broker anew, including the end.
    pub(super) fn start(&self, from: i64) -> KafkaResult<()> {
        // If nothing was read yet, start at the first offset that the log has.
        let from = match from {
            0 => Offset::Beginning,
            from => Offset::Offset(from),
        };
        let mut partitions = TopicPartitionList::new();
        partitions.add_partition_offset(&self.topic, PARTITION, from)?;
        self.consumer.assign(&partitions)
    }

    pub(super) fn poll(&self) -> KafkaResult<Polled> {
        match self.consumer.poll(POLL_INTERVAL) {
            None => Ok(Polled::Nothing),
            Some(Ok(message)) => Ok(record(&message).map_or(Polled::Nothing, Polled::Record)),
            Some(Err(KafkaError::PartitionEOF(_))) => Ok(Polled::End),
            Some(Err(error)) => Err(error),
        }
    }

    /// Passes on all committed records.
    pub(super) fn read_to_end(&self, mut take: impl FnMut(Record)) -> KafkaResult<()> {
        let is_end = |polled| match polled {
            Polled::Record(record) => {
                take(record);
                false
            }
            Polled::End => true,
            Polled::Nothing => false,
        };
        read(SILENCE_MAX, || self.poll(), is_end)
    }

    /// Passes on records until `enough`.
    pub(super) fn read_until(&self, mut take: impl FnMut(Record), enough: impl Fn() -> bool) -> KafkaResult<()> {
        let is_enough = |polled| {
            if let Polled::Record(record) = polled {
                take(record);
            }
            enough()
        };
        read(SILENCE_MAX, || self.poll(), is_enough)
    }
}

/// Polls until it is done. A long log takes long: only the time without a record is bounded.
fn read(
    silence_max: Duration,
    mut poll: impl FnMut() -> KafkaResult<Polled>,
    mut is_done: impl FnMut(Polled) -> bool,
) -> KafkaResult<()> {
    let (mut last_record, mut failed) = (Instant::now(), None);
    while last_record.elapsed() < silence_max {
        match poll() {
            Ok(polled) => {
                if matches!(polled, Polled::Record(_)) {
                    last_record = Instant::now();
                }
                if is_done(polled) {
                    return Ok(());
                }
            }
            Err(error) if is_lost(&error) || error == GONE => return Err(error),
            // Connections come and go; only an error that lasts is reported.
            Err(error) => failed = Some(error),
        }
    }
    Err(failed.unwrap_or(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut)))
}

/// A record that [`Writer`] wrote; any other is skipped with an error in the log.
fn record(message: &BorrowedMessage<'_>) -> Option<Record> {
    let parsed = || {
        let key = std::str::from_utf8(message.key()?).ok()?.to_owned();
        let value = match message.payload() {
            None => None,
            Some(payload) => Some(serde_json::from_slice(payload).ok()?),
        };
        Some((key, value))
    };
    let Some((key, value)) = parsed() else {
        tracing::error!(
            offset = message.offset(),
            "a record of the journal has an unknown format"
        );
        return None;
    };
    Some(Record {
        offset: message.offset(),
        key,
        value,
    })
}

/// Offset of a writer's last record.
struct LastOffset(Arc<AtomicI64>);

impl ClientContext for LastOffset {}

impl ProducerContext for LastOffset {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Ok(message) = result {
            self.0.fetch_max(message.offset(), Ordering::SeqCst);
        }
    }
}

/// The right to write, until another writer takes it.
pub(super) struct Writer {
    producer: ThreadedProducer<LastOffset>,
    topic: String,
    last: Arc<AtomicI64>,
}

impl Writer {
    /// Writes all changes or none; returns the offset of the last one. Also an error if that is before `next`, up to
    /// which the log was known: then it is a different log.
    pub(super) fn commit(&self, changes: &[Change], next: i64) -> KafkaResult<i64> {
        self.producer.begin_transaction()?;
        for (key, value) in changes {
            let payload = value.as_ref().map(ToString::to_string);
            let mut record = BaseRecord::<str, str>::to(&self.topic)
                .partition(PARTITION)
                .key(key.as_str());
            if let Some(payload) = &payload {
                record = record.payload(payload.as_str());
            }
            self.producer.send(record).map_err(|(error, _)| error)?;
        }
        self.producer.commit_transaction(REQUEST_TIMEOUT)?;
        let last = self.last.load(Ordering::SeqCst);
        match last < next {
            true => Err(KafkaError::MessageProduction(RDKafkaErrorCode::OffsetOutOfRange)),
            false => Ok(last),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Short, to keep the test short; each record takes this long.
    const SILENCE: Duration = Duration::from_millis(50);
    const DAY: Duration = Duration::from_secs(86_400);

    fn next(offset: &mut i64) -> KafkaResult<Polled> {
        std::thread::sleep(SILENCE);
        *offset += 1;
        Ok(Polled::Record(Record {
            offset: *offset,
            key: "key".to_owned(),
            value: None,
        }))
    }

    #[test]
    fn a_log_that_takes_long_is_read_to_its_end() {
        let (mut offset, mut seen) = (0, 0);
        let read = read(
            SILENCE,
            || next(&mut offset),
            |_| {
                seen += 1;
                seen == 5
            },
        );
        assert_eq!((read, seen), (Ok(()), 5));
    }

    #[test]
    fn a_log_that_says_nothing_ends_the_reading() {
        let mut offset = 0;
        let few = |offset: &mut i64| if *offset < 3 { next(offset) } else { Ok(Polled::Nothing) };
        let timed_out = KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut);
        assert_eq!(read(SILENCE, || few(&mut offset), |_| false), Err(timed_out));
        let away = KafkaError::MessageConsumption(RDKafkaErrorCode::BrokerTransportFailure);
        assert_eq!(read(SILENCE, || Err(away.clone()), |_| false), Err(away.clone()));
        let lost = KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset);
        for at_once in [GONE, lost] {
            assert_eq!(read(DAY, || Err(at_once.clone()), |_| false), Err(at_once.clone()));
        }
    }
}
