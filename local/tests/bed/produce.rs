//! Puts bytes into a topic, exactly as given.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use super::Bed;

/// How long the broker may take for all of them.
const FLUSH_DEADLINE: Duration = Duration::from_secs(240);

/// A record to produce.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// Its key; empty for none.
    pub key: Vec<u8>,
    /// Its payload; `None` is a tombstone.
    pub payload: Option<Vec<u8>>,
    /// Its Kafka timestamp in ms; `None`: the time of sending.
    pub timestamp: Option<i64>,
}

impl Record {
    /// A payload without a key, with the time of now.
    pub fn of(payload: impl Into<Vec<u8>>) -> Self {
        Self {
            payload: Some(payload.into()),
            ..Self::default()
        }
    }

    /// With a key.
    pub fn key(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.key = key.into();
        self
    }

    /// With a Kafka timestamp.
    pub fn at(mut self, timestamp_ms: i64) -> Self {
        self.timestamp = Some(timestamp_ms);
        self
    }
}

/// The number of a record, and its offset.
type Delivery = (usize, Result<i64, KafkaError>);

/// Which offset each record got.
#[derive(Default)]
struct Deliveries(Arc<Mutex<Vec<Delivery>>>);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<usize>;

    fn delivery(&self, result: &DeliveryResult<'_>, number: Box<usize>) {
        let outcome = match result {
            Ok(message) => Ok(message.offset()),
            Err((error, _)) => Err(error.clone()),
        };
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((*number, outcome));
    }
}

impl Bed {
    /// Produces all to one partition, in order; returns their offsets when the broker has all of them.
    pub fn produce(&self, topic: &str, partition: i32, records: &[Record]) -> Vec<i64> {
        let deliveries = Deliveries::default();
        let outcomes = Arc::clone(&deliveries.0);
        let producer: BaseProducer<Deliveries> = ClientConfig::new()
            .set("bootstrap.servers", self.kafka())
            .set("enable.idempotence", "true") // in order, none twice, also when the broker is restarted meanwhile
            .set("message.max.bytes", "8000000")
            .set("linger.ms", "5")
            .create_with_context(deliveries)
            .unwrap();
        for (number, record) in records.iter().enumerate() {
            send(&producer, topic, partition, number, record);
        }
        producer.flush(FLUSH_DEADLINE).unwrap();
        let mut outcomes = std::mem::take(&mut *outcomes.lock().unwrap());
        outcomes.sort_by_key(|(number, _)| *number);
        outcomes.into_iter().map(|(_, outcome)| outcome.unwrap()).collect()
    }
}

fn send(producer: &BaseProducer<Deliveries>, topic: &str, partition: i32, number: usize, record: &Record) {
    let mut message = BaseRecord::with_opaque_to(topic, Box::new(number)).partition(partition);
    if !record.key.is_empty() {
        message = message.key(&record.key);
    }
    if let Some(payload) = &record.payload {
        message = message.payload(payload);
    }
    if let Some(timestamp) = record.timestamp {
        message = message.timestamp(timestamp);
    }
    while let Err((error, back)) = producer.send(message) {
        assert_eq!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull));
        producer.poll(Duration::from_millis(20));
        message = back;
    }
}
