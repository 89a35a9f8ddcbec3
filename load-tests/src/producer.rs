//! Sends records to Kafka as a service should, as fast as the broker accepts them.
//!
//! Enters: key, payload and a stamp. Leaves: Kafka records, and the outcome of each: where and when it was delivered,
//! or that it was given up. Guarantees: no record twice and none out of order, although librdkafka retries what was not
//! acknowledged. The queue is bounded: when it is full, an offer is refused. Never creates a topic.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use horolog_schemas::Kind;
use rdkafka::ClientConfig;
use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};

use crate::sender::{Acknowledged, Outlet, Stamp, Turn};
use crate::traffic::Outgoing;

/// How long to wait at a time for space in the queue.
const QUEUE_WAIT: Duration = Duration::from_millis(10);
/// How long the broker may take to list its topics.
const METADATA_TIMEOUT: Duration = Duration::from_secs(10);

/// Default properties; properties set by the user override them.
const PROPERTIES: [(&str, &str); 6] = [
    ("enable.idempotence", "true"), // implies acks=all
    // The partition that Java clients would choose for the key.
    ("partitioner", "murmur2_random"),
    ("compression.type", "lz4"),
    ("linger.ms", "20"),
    ("batch.size", "1000000"),
    ("queue.buffering.max.kbytes", "131072"),
];

/// Where Kafka is, and additional librdkafka properties.
#[derive(Debug, Clone, Default)]
pub struct KafkaAddress {
    /// `host:port` of one or more brokers, separated by commas.
    pub bootstrap: String,
    /// librdkafka's properties, verbatim.
    pub properties: BTreeMap<String, String>,
    /// Topic of metric samples.
    pub topic_metrics: String,
    /// Topic of audit events.
    pub topic_audit: String,
}

impl KafkaAddress {
    /// The default topics, without properties.
    pub fn at(bootstrap: &str) -> Self {
        Self {
            bootstrap: bootstrap.to_owned(),
            properties: BTreeMap::new(),
            topic_metrics: Kind::MetricSample.default_topic().to_owned(),
            topic_audit: Kind::AuditEvent.default_topic().to_owned(),
        }
    }

    /// The topic for records of a kind.
    pub fn topic(&self, kind: Kind) -> &str {
        match kind {
            Kind::MetricSample => &self.topic_metrics,
            Kind::AuditEvent => &self.topic_audit,
        }
    }
}

/// Why records cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum ProduceError {
    /// The client refused a record.
    #[error("kafka refused a record: {0}")]
    Refused(#[from] KafkaError),
    /// Records were not delivered.
    #[error("{failed} records were not delivered; the first error: {first}")]
    Failed {
        /// How many.
        failed: u64,
        /// Why the first was.
        first: String,
    },
    /// The broker does not answer.
    #[error("kafka at {bootstrap} does not answer ({reason}); is it running? (--kafka)")]
    Unreachable {
        /// The address that was tried.
        bootstrap: String,
        /// What librdkafka said.
        reason: KafkaError,
    },
    /// A topic is missing.
    #[error(
        "kafka at {bootstrap} has no topic `{topic}`: create it, or name another with --topic-metrics or --topic-audit"
    )]
    NoTopic {
        /// The broker.
        bootstrap: String,
        /// The topic.
        topic: String,
    },
}

/// A connected producer.
pub struct Producer {
    client: BaseProducer<Deliveries>,
    address: KafkaAddress,
}

impl Producer {
    /// For topics that exist. Acknowledgements are timed from [`Self::begin`]; until then their time is zero.
    pub fn connect(address: &KafkaAddress) -> KafkaResult<Self> {
        let mut config = ClientConfig::new();
        for (name, value) in PROPERTIES {
            config.set(name, value);
        }
        for (name, value) in &address.properties {
            config.set(name, value);
        }
        config.set("bootstrap.servers", &address.bootstrap);
        Ok(Self {
            client: config.create_with_context(Deliveries::default())?,
            address: address.clone(),
        })
    }

    /// Fails unless the broker answers and has the topics.
    pub fn check_topics(&self, kinds: &[Kind]) -> Result<(), ProduceError> {
        let bootstrap = self.address.bootstrap.clone();
        // Fetches all topics, because asking for one by name makes a broker with auto.create.topics.enable create it.
        let metadata = self.client.client().fetch_metadata(None, METADATA_TIMEOUT);
        let metadata = match metadata {
            Ok(metadata) => metadata,
            Err(reason) => return Err(ProduceError::Unreachable { bootstrap, reason }),
        };
        let mut topics = kinds.iter().map(|kind| self.address.topic(*kind));
        match topics.find(|topic| !metadata.topics().iter().any(|known| known.name() == *topic)) {
            None => Ok(()),
            Some(topic) => Err(ProduceError::NoTopic {
                bootstrap,
                topic: topic.to_owned(),
            }),
        }
    }

    /// Acknowledgements are timed from this moment on.
    pub fn begin(&self, begun: Instant) {
        self.client.context().inbox().begun = Some(begun);
    }

    /// Queues a record that no schedule has; waits for space if the queue is full.
    pub fn send(&mut self, record: Outgoing<'_>) -> Result<(), ProduceError> {
        while !self.offer(Stamp::of(record, Duration::ZERO), record)? {
            self.client.poll(QUEUE_WAIT);
        }
        Ok(())
    }

    /// Waits until every record so far is acknowledged or given up, at most until the deadline.
    pub fn settle(&mut self, deadline: Duration) -> Result<Turn, ProduceError> {
        match self.client.flush(deadline) {
            Ok(()) | Err(KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut)) => {}
            Err(error) => return Err(error.into()),
        }
        let mut turn = Turn::default();
        self.collect(false, &mut turn);
        turn.under_way = self.client.in_flight_count().max(0).unsigned_abs().into();
        Ok(turn)
    }

    /// The same, but fails unless every record is acknowledged. Returns how many were.
    pub fn settle_all(&mut self, deadline: Duration) -> Result<u64, ProduceError> {
        let turn = self.settle(deadline)?;
        let turn = if turn.under_way > 0 { turn.giving_up() } else { turn };
        match turn.first_error {
            Some(first) => Err(ProduceError::Failed {
                failed: turn.failed,
                first,
            }),
            None => Ok(turn.acknowledged.len() as u64),
        }
    }
}

impl Outlet for Producer {
    type Error = ProduceError;

    fn offer(&mut self, stamp: Stamp, record: Outgoing<'_>) -> Result<bool, ProduceError> {
        let queued = BaseRecord::with_opaque_to(self.address.topic(record.kind), Packed::of(stamp).0)
            .key(record.key)
            .payload(record.payload);
        match self.client.send(queued) {
            Ok(()) => Ok(true),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => Ok(false),
            Err((error, _)) => Err(error.into()),
        }
    }

    /// Polls without waiting unless asked to: librdkafka spins through the last millisecond of a wait.
    fn collect(&mut self, wait: bool, turn: &mut Turn) {
        self.client.poll(if wait { QUEUE_WAIT } else { Duration::ZERO });
        let mut inbox = self.client.context().inbox();
        turn.acknowledged.append(&mut inbox.acknowledged);
        turn.failed += std::mem::take(&mut inbox.failed);
        if turn.first_error.is_none() {
            turn.first_error = inbox.first_error.take();
        }
    }
}

/// A stamp as passed through librdkafka with a record: microseconds, with kind and validity in the two low bits.
#[derive(Debug, Clone, Copy)]
struct Packed(usize);

impl Packed {
    fn of(stamp: Stamp) -> Self {
        let audit = usize::from(stamp.kind == Kind::AuditEvent);
        Self((stamp.intended.as_micros() as usize) << 2 | audit << 1 | usize::from(stamp.bad))
    }

    fn stamp(self) -> Stamp {
        Stamp {
            intended: Duration::from_micros((self.0 >> 2) as u64),
            kind: if self.0 & 2 == 0 {
                Kind::MetricSample
            } else {
                Kind::AuditEvent
            },
            bad: self.0 & 1 == 1,
        }
    }
}

#[derive(Default)]
struct Deliveries {
    /// Callbacks run inside `poll` and `flush`, so the lock is never contended.
    inbox: Mutex<Inbox>,
}

#[derive(Default)]
struct Inbox {
    begun: Option<Instant>,
    acknowledged: Vec<Acknowledged>,
    failed: u64,
    first_error: Option<String>,
}

impl Deliveries {
    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: usize) {
        let mut inbox = self.inbox();
        match result {
            Ok(message) => {
                let at = inbox.begun.map_or(Duration::ZERO, |begun| begun.elapsed());
                inbox.acknowledged.push(Acknowledged {
                    stamp: Packed(opaque).stamp(),
                    partition: message.partition(),
                    offset: message.offset(),
                    at,
                });
            }
            Err((error, _)) => {
                inbox.failed += 1;
                inbox.first_error.get_or_insert_with(|| error.to_string());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_stamp_survives_its_travel(micros in 0u64..1 << 60, audit: bool, bad: bool) {
            let kind = if audit { Kind::AuditEvent } else { Kind::MetricSample };
            let stamp = Stamp { intended: Duration::from_micros(micros), kind, bad };
            prop_assert_eq!(Packed::of(stamp).stamp(), stamp);
        }
    }
}
