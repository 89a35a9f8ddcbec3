//! Sends records to Kafka as a service should, and as fast as the broker takes them.
//!
//! Enters: key, payload and the record's number. Leaves: Kafka records, and what became of each: delivered where and when, or
//! given up. Guarantees: no record twice and none out of order, though librdkafka repeats what was not acknowledged. Its queue is
//! bounded: when it is full, `send` waits for the broker. Never creates a topic.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};

/// How long to wait at a time for a place in the queue.
const QUEUE_WAIT: Duration = Duration::from_millis(10);
/// How long the last records may take to be acknowledged.
const FLUSH_DEADLINE: Duration = Duration::from_secs(60);

const PROPERTIES: [(&str, &str); 6] = [
    ("enable.idempotence", "true"), // implies acks=all
    // The partition that Java clients would choose, by the key.
    ("partitioner", "murmur2_random"),
    ("compression.type", "lz4"),
    ("linger.ms", "20"),
    ("batch.size", "1000000"),
    ("queue.buffering.max.kbytes", "131072"),
];

/// Why records cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum ProduceError {
    /// The client gave up.
    #[error("kafka refused a record: {0}")]
    Refused(#[from] KafkaError),
    /// Records were given up.
    #[error("{failed} records were not delivered, the first because of: {first}")]
    Failed {
        /// How many.
        failed: u64,
        /// Why the first was.
        first: KafkaError,
    },
}

/// Where and when a record was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acknowledged {
    /// The record's number.
    pub number: usize,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// When we learnt of it.
    pub at: Instant,
}

/// What is kept of acknowledgements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Their number.
    Count,
    /// Each of them, 40 bytes a record.
    Each,
}

/// A connected producer to one topic.
pub struct Producer {
    client: BaseProducer<Deliveries>,
    topic: String,
}

impl Producer {
    /// For a topic that exists.
    pub fn connect(bootstrap: &str, topic: &str, keep: Keep) -> KafkaResult<Self> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", bootstrap);
        for (name, value) in PROPERTIES {
            config.set(name, value);
        }
        Ok(Self {
            client: config.create_with_context(Deliveries::new(keep))?,
            topic: topic.to_owned(),
        })
    }

    /// Puts a record into the queue, and waits for a place in it.
    pub fn send(&self, number: usize, key: &str, payload: &[u8]) -> Result<(), ProduceError> {
        let mut record = BaseRecord::with_opaque_to(&self.topic, number)
            .key(key)
            .payload(payload);
        loop {
            match self.client.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), returned)) => {
                    self.client.poll(QUEUE_WAIT);
                    record = returned;
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
    }

    /// Takes the acknowledgements that have come in. Without a wait: the client spins through the last millisecond of one.
    pub fn poll(&self) {
        self.client.poll(Duration::ZERO);
    }

    /// Waits until every record so far is acknowledged. Gives how many were since the last time, and each of them when they are
    /// kept.
    pub fn settle(&self) -> Result<(u64, Vec<Acknowledged>), ProduceError> {
        self.client.flush(FLUSH_DEADLINE)?;
        let outcome = std::mem::take(&mut *self.client.context().outcome());
        match outcome.first_error {
            Some(first) => Err(ProduceError::Failed {
                failed: outcome.failed,
                first,
            }),
            None => Ok((outcome.delivered, outcome.each)),
        }
    }
}

struct Deliveries {
    keep: Keep,
    /// Callbacks run inside `poll`, so the lock is never waited for.
    outcome: Mutex<Outcome>,
}

#[derive(Default)]
struct Outcome {
    delivered: u64,
    each: Vec<Acknowledged>,
    failed: u64,
    first_error: Option<KafkaError>,
}

impl Deliveries {
    fn new(keep: Keep) -> Self {
        Self {
            keep,
            outcome: Mutex::default(),
        }
    }

    fn outcome(&self) -> MutexGuard<'_, Outcome> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        let mut outcome = self.outcome();
        match result {
            Ok(_) if self.keep == Keep::Count => outcome.delivered += 1,
            Ok(message) => {
                outcome.delivered += 1;
                outcome.each.push(Acknowledged {
                    number,
                    partition: message.partition(),
                    offset: message.offset(),
                    at: Instant::now(),
                });
            }
            Err((error, _)) => {
                outcome.failed += 1;
                outcome.first_error.get_or_insert_with(|| error.clone());
            }
        }
    }
}
