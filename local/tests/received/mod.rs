//! What arrived in a topic, read back independently of the code under test.
//!
//! Enters: a broker and a topic. Leaves: every record from the first to the end of the log, decoded by `apache-avro`
//! into the structs of the contract, and the verdict of the pipeline's own decoder on them.
#![allow(dead_code, unreachable_pub)] // each test file uses a part of it

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use horolog_schemas::{AuditEvent, Decoder, Kind, MetricSample, RawRecord, Reason, WriterSchemas};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use serde::de::DeserializeOwned;

const DEADLINE: Duration = Duration::from_secs(180);
/// Magic bytes and fingerprint.
const SINGLE_OBJECT_HEADER_BYTES: usize = 10;

/// A Kafka record.
#[derive(Debug, Clone)]
pub struct Received {
    pub partition: i32,
    pub offset: i64,
    pub timestamp_ms: i64,
    pub key: String,
    pub payload: Vec<u8>,
}

/// Everything that is in a topic now, by partition and offset; what arrives meanwhile is left out.
pub fn receive(bootstrap: &str, topic: &str) -> Vec<Received> {
    let ends = ends(bootstrap, topic);
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "received")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let mut missing = 0;
    let mut partitions = TopicPartitionList::new();
    for (&partition, end) in &ends {
        let (first, _) = consumer.fetch_watermarks(topic, partition, DEADLINE).unwrap();
        missing += end - first;
        partitions
            .add_partition_offset(topic, partition, Offset::Beginning)
            .unwrap();
    }
    consumer.assign(&partitions).unwrap();
    let deadline = Instant::now() + DEADLINE;
    let mut received = Vec::new();
    while missing > 0 {
        assert!(
            Instant::now() < deadline,
            "{missing} records of {topic} did not come within {DEADLINE:?}"
        );
        let Some(message) = consumer.poll(Duration::from_millis(100)) else {
            continue;
        };
        let message = message.unwrap();
        if message.offset() >= ends[&message.partition()] {
            continue;
        }
        missing -= 1;
        received.push(Received {
            partition: message.partition(),
            offset: message.offset(),
            timestamp_ms: message.timestamp().to_millis().unwrap(),
            key: String::from_utf8(message.key().unwrap().to_vec()).unwrap(),
            payload: message.payload().unwrap().to_vec(),
        });
    }
    received.sort_by_key(|record| (record.partition, record.offset));
    received
}

/// The end of each partition of a topic.
pub fn ends(bootstrap: &str, topic: &str) -> BTreeMap<i32, i64> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .create()
        .unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), DEADLINE).unwrap();
    let end = |partition| consumer.fetch_watermarks(topic, partition, DEADLINE).unwrap().1;
    metadata.topics()[0]
        .partitions()
        .iter()
        .map(|partition| (partition.id(), end(partition.id())))
        .collect()
}

/// All metric samples of a topic.
pub fn samples(bootstrap: &str, topic: &str) -> Vec<MetricSample> {
    decode(Kind::MetricSample, &receive(bootstrap, topic))
}

/// All audit events of a topic.
pub fn events(bootstrap: &str, topic: &str) -> Vec<AuditEvent> {
    decode(Kind::AuditEvent, &receive(bootstrap, topic))
}

/// Decodes with `apache-avro`.
pub fn decode<T: DeserializeOwned>(kind: Kind, records: &[Received]) -> Vec<T> {
    let schema = Schema::parse_str(kind.avro_schema()).unwrap();
    let reader = GenericDatumReader::builder(&schema).build().unwrap();
    let decode = |record: &Received| {
        let mut datum = &record.payload[SINGLE_OBJECT_HEADER_BYTES..];
        let value = reader.read_value(&mut datum).unwrap();
        assert!(datum.is_empty(), "bytes follow the record");
        apache_avro::from_value(&value).unwrap()
    };
    records.iter().map(decode).collect()
}

/// Why the pipeline rejects which of these, in their order.
pub fn rejections(kind: Kind, records: &[Received]) -> Vec<Reason> {
    let raw: Vec<RawRecord<'_>> = (records.iter())
        .map(|record| RawRecord {
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
            key: Some(record.key.as_bytes()),
            payload: Some(&record.payload),
        })
        .collect();
    let mut decoder = Decoder::new(Arc::new(WriterSchemas::load(kind, None).unwrap()));
    let decoded = decoder.decode(&raw).unwrap();
    assert_eq!(decoded.columns.num_rows() + decoded.rejected.len(), records.len());
    decoded.rejected.iter().map(|rejected| rejected.reason).collect()
}
