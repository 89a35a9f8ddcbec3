//! Sends records to Kafka as a service should: idempotent, keyed, acknowledged by all replicas.
//!
//! Enters: metric samples and audit events. Leaves: one Kafka record each, in single-object encoding. Guarantees that every
//! record that was accepted is counted once: as delivered or as failed. Its queue is bounded; when it is full,
//! `send` waits for the broker. Never creates a topic.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use horolog_schemas::{AuditEvent, Kind, MetricSample};
use horolog_stage::config::KafkaConfig;
use horolog_stage::connection::Connection;
use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};

use crate::broker::MESSAGE_BYTES_MAX;

/// How long the first answer of the broker may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait at a time for a place in the queue.
const QUEUE_WAIT: Duration = Duration::from_millis(100);
/// How often it is told that records wait for the broker: for a place in the queue, or at the end to be acknowledged.
pub const WAITING_TOLD: Duration = Duration::from_secs(5);
/// How long one poll serves delivery reports.
const REPORTS_TIME: Duration = Duration::from_millis(1);
/// Delivery reports are served once per this many records.
const POLL_EVERY_RECORDS: u64 = 512;

/// Our defaults; the user's properties override them.
const PROPERTIES: [(&str, &str); 8] = [
    // No duplicates and no reordering when librdkafka retries; implies acks=all.
    ("enable.idempotence", "true"),
    // The partition that Java clients would choose, so that a key keeps its order whatever language sends it.
    ("partitioner", "murmur2_random"),
    ("compression.type", "lz4"),
    ("linger.ms", "20"),
    ("batch.size", "1000000"),
    // Kilobytes: bounds the memory of records in flight.
    ("queue.buffering.max.kbytes", "65536"),
    // As much as the local broker accepts, so that what is too large for the pipeline shows up among the rejected
    // records.
    ("message.max.bytes", MESSAGE_BYTES_MAX),
    // Never give a record up because the broker is away: it would be missing between others that are stored, and metrics
    // that are sent again count twice.
    ("message.timeout.ms", "0"),
];

/// Other names under which librdkafka takes some of them.
const ALIASES: [(&str, &str); 3] = [
    ("message.timeout.ms", "delivery.timeout.ms"),
    ("linger.ms", "queue.buffering.max.ms"),
    ("compression.type", "compression.codec"),
];

/// The topics by kind of record.
#[derive(Debug, Clone, clap::Args)]
pub struct Topics {
    /// Topic of metrics.
    #[arg(long, value_name = "TOPIC", default_value = Kind::MetricSample.default_topic())]
    pub topic_metrics: String,
    /// Topic of audit events.
    #[arg(long, value_name = "TOPIC", default_value = Kind::AuditEvent.default_topic())]
    pub topic_audit: String,
}

/// Why nothing more can be sent.
#[derive(Debug, thiserror::Error)]
pub enum ProduceError {
    /// A property that librdkafka does not take.
    #[error("kafka properties: {0}")]
    Configuration(KafkaError),
    /// Nobody answers.
    #[error("kafka at {bootstrap} does not answer ({reason}); is it running? (`horolog up`, or --kafka HOST:PORT)")]
    Unreachable {
        /// Where it was looked for.
        bootstrap: String,
        /// What librdkafka said.
        reason: String,
    },
    /// A topic is missing.
    #[error("kafka at {bootstrap} has no topic `{topic}`; create it, or name another with {flag}")]
    NoTopic {
        /// The broker.
        bootstrap: String,
        /// The topic.
        topic: String,
        /// The flag that changes it.
        flag: &'static str,
    },
    /// The broker does not say where a topic ends.
    #[error("kafka does not report the end offsets of the topic `{topic}` ({reason})")]
    Ends {
        /// The topic.
        topic: String,
        /// What librdkafka said.
        reason: KafkaError,
    },
    /// One record is larger than the client sends; the next one may not be.
    #[error("a record of {bytes} bytes exceeds message.max.bytes")]
    TooLarge {
        /// Of the record.
        bytes: usize,
    },
    /// The client gave up.
    #[error("kafka refused a record: {0}")]
    Refused(KafkaError),
}

/// How many records were delivered, and how many not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delivered {
    /// Acknowledged by the broker.
    pub delivered: u64,
    /// Given up by the client.
    pub failed: u64,
    /// Why the first of those was given up.
    pub first_error: Option<String>,
}

/// A connected producer.
pub struct Producer {
    client: BaseProducer<Deliveries>,
    topics: Topics,
    payload: Vec<u8>,
    sent: u64,
    told_of_waiting: Option<Box<dyn Fn(u64) + Send + Sync>>,
}

impl Producer {
    /// Connects, and makes sure that the topics exist.
    pub fn connect(kafka: &KafkaConfig, topics: Topics) -> Result<Self, ProduceError> {
        let mut properties = kafka.client_config();
        for (name, value) in PROPERTIES {
            let alias = ALIASES.iter().find(|(known, _)| *known == name);
            let is_set = |name: &str| properties.get(name).is_some();
            if !is_set(name) && !alias.is_some_and(|(_, alias)| is_set(alias)) {
                properties.set(name, value);
            }
        }
        let client: BaseProducer<Deliveries> = properties
            .create_with_context(Deliveries::default())
            .map_err(ProduceError::Configuration)?;
        // For all topics: asking for one by name makes a broker with auto.create.topics.enable create it.
        let metadata =
            client
                .client()
                .fetch_metadata(None, CONNECT_TIMEOUT)
                .map_err(|error| ProduceError::Unreachable {
                    bootstrap: kafka.bootstrap.clone(),
                    reason: client.context().connection.why(&error, |timeout| client.poll(timeout)),
                })?;
        for (topic, flag) in [
            (&topics.topic_metrics, "--topic-metrics"),
            (&topics.topic_audit, "--topic-audit"),
        ] {
            if !metadata.topics().iter().any(|known| known.name() == topic) {
                let (bootstrap, topic) = (kafka.bootstrap.clone(), topic.clone());
                return Err(ProduceError::NoTopic { bootstrap, topic, flag });
            }
        }
        Ok(Self {
            client,
            topics,
            payload: Vec::new(),
            sent: 0,
            told_of_waiting: None,
        })
    }

    /// Who is told, every few seconds, that no place in the queue gets free, and how many records are under way.
    pub fn tell_of_waiting(&mut self, told: impl Fn(u64) + Send + Sync + 'static) {
        self.told_of_waiting = Some(Box::new(told));
    }

    /// Whether the topic of metrics ever had a record.
    pub fn metrics_were_sent(&self) -> Result<bool, ProduceError> {
        let (client, topic) = (self.client.client(), self.topics.topic_metrics.as_str());
        let failed = |reason| ProduceError::Ends {
            topic: topic.to_owned(),
            reason,
        };
        let metadata = client.fetch_metadata(Some(topic), CONNECT_TIMEOUT).map_err(failed)?;
        for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
            let (_, end) = client
                .fetch_watermarks(topic, partition.id(), CONNECT_TIMEOUT)
                .map_err(failed)?;
            if end > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Sends a metric sample; says how many bytes its payload has.
    pub fn metric(&mut self, sample: &MetricSample) -> Result<usize, ProduceError> {
        self.payload.clear();
        sample.encode_single_object(&mut self.payload);
        self.send(&self.topics.topic_metrics, &sample.key())?;
        self.accepted();
        Ok(self.payload.len())
    }

    /// Sends an audit event; says how many bytes its payload has.
    pub fn audit(&mut self, event: &AuditEvent) -> Result<usize, ProduceError> {
        self.payload.clear();
        event.encode_single_object(&mut self.payload);
        self.send(&self.topics.topic_audit, &event.key())?;
        self.accepted();
        Ok(self.payload.len())
    }

    /// Puts the payload into the queue, and waits for a place in it.
    fn send(&self, topic: &str, key: &str) -> Result<(), ProduceError> {
        let mut record = BaseRecord::to(topic).key(key).payload(&self.payload);
        let mut waiting_since = None;
        loop {
            match self.client.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), returned)) => {
                    let since = waiting_since.get_or_insert_with(Instant::now);
                    self.client.poll(QUEUE_WAIT);
                    if let Some(told) = &self.told_of_waiting
                        && since.elapsed() >= WAITING_TOLD
                    {
                        told(self.in_flight());
                        waiting_since = None;
                    }
                    record = returned;
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge), _)) => {
                    let bytes = self.payload.len();
                    return Err(ProduceError::TooLarge { bytes });
                }
                Err((error, _)) => return Err(ProduceError::Refused(error)),
            }
        }
    }

    fn accepted(&mut self) {
        self.sent += 1;
        if self.sent.is_multiple_of(POLL_EVERY_RECORDS) {
            self.client.poll(Duration::ZERO);
        }
    }

    /// Serves delivery reports for a millisecond. With a timeout of zero it would serve one batch's only, and with many
    /// small batches ever more records would count as in flight.
    pub fn poll(&self) {
        self.client.poll(REPORTS_TIME);
    }

    /// What became of the records so far.
    pub fn delivered(&self) -> Delivered {
        self.client.context().so_far()
    }

    /// Waits until every record is delivered or given up, at most until the deadline; `false` when some are still in
    /// flight.
    pub fn finish(&self, deadline: Duration) -> bool {
        // `flush` serves the delivery reports, so whatever is no longer in flight has been counted.
        self.client.flush(deadline).is_ok()
    }

    /// Records that are neither delivered nor given up.
    pub fn in_flight(&self) -> u64 {
        self.client.in_flight_count().max(0).unsigned_abs().into()
    }
}

/// Counts delivery reports.
#[derive(Debug, Default)]
struct Deliveries {
    connection: Connection,
    delivered: AtomicU64,
    failed: AtomicU64,
    first_error: Mutex<Option<String>>,
}

impl Deliveries {
    fn so_far(&self) -> Delivered {
        Delivered {
            delivered: self.delivered.load(Relaxed),
            failed: self.failed.load(Relaxed),
            first_error: self.first_error.lock().clone(),
        }
    }
}

impl ClientContext for Deliveries {
    fn error(&self, error: KafkaError, reason: &str) {
        self.connection.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _: Self::DeliveryOpaque) {
        let Err((error, _)) = result else {
            self.delivered.fetch_add(1, Relaxed);
            return;
        };
        self.failed.fetch_add(1, Relaxed);
        self.first_error.lock().get_or_insert_with(|| error.to_string());
    }
}
