//! The bytes on the wire, compared with other implementations of Avro: fastavro wrote the golden files; apache-avro
//! reads and writes the records that the properties generate.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod batch;

use std::collections::BTreeMap;

use apache_avro::rabin::Rabin;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use apache_avro::{Schema, from_value};
use batch::{
    decode, decoder_with, encoded_event, encoded_sample, events, golden, golden_event, golden_sample, raw, samples,
};
use horolog_schemas::{AuditEvent, AuditSource, AuditStatus, Kind, MetricSample, MetricType};
use proptest::prelude::*;

/// Length of the single-object header in bytes.
const HEADER: usize = 10;
/// The registry id in the Confluent golden files.
const GOLDEN_ID: u32 = 258;

#[test]
fn writes_what_fastavro_writes() {
    assert_eq!(
        encoded_sample(&golden_sample()),
        golden(Kind::MetricSample, "single_object")
    );
    assert_eq!(
        encoded_event(&golden_event()),
        golden(Kind::AuditEvent, "single_object")
    );
    let mut payload = Vec::new();
    golden_sample().encode_confluent(GOLDEN_ID, &mut payload);
    assert_eq!(payload, golden(Kind::MetricSample, "confluent"));
    payload.clear();
    golden_event().encode_confluent(GOLDEN_ID, &mut payload);
    assert_eq!(payload, golden(Kind::AuditEvent, "confluent"));
}

#[test]
fn reads_what_fastavro_writes() {
    let decoded = decode(Kind::MetricSample, &[golden(Kind::MetricSample, "single_object")]);
    assert_eq!(samples(&decoded.columns), [golden_sample()]);
    let decoded = decode(Kind::AuditEvent, &[golden(Kind::AuditEvent, "single_object")]);
    assert_eq!(events(&decoded.columns), [golden_event()]);
}

#[test]
fn reads_confluent_framing_by_the_id_in_the_name_of_a_schema_file() {
    let mut schemas = vec![Kind::AuditEvent.avro_schema().to_owned(); GOLDEN_ID as usize];
    schemas.push(Kind::MetricSample.avro_schema().to_owned());
    let payloads = [
        golden(Kind::MetricSample, "confluent"),
        golden(Kind::MetricSample, "single_object"),
    ];
    let decoded = decoder_with(Kind::MetricSample, &schemas)
        .decode(&raw(&payloads))
        .unwrap();
    assert_eq!(samples(&decoded.columns), [golden_sample(), golden_sample()]);
}

#[test]
fn reads_the_fingerprint_that_apache_avro_gives_a_schema_with_a_logical_type() {
    let mut payload = encoded_sample(&golden_sample());
    let schema = Schema::parse_str(Kind::MetricSample.avro_schema()).unwrap();
    payload[2..HEADER].copy_from_slice(&schema.fingerprint::<Rabin>().bytes);
    assert_ne!(payload, encoded_sample(&golden_sample()), "the fingerprints differ");
    assert_eq!(
        samples(&decode(Kind::MetricSample, &[payload]).columns),
        [golden_sample()]
    );
}

fn any_map() -> impl Strategy<Value = BTreeMap<String, String>> {
    prop::collection::btree_map("\\PC{0,9}", "\\PC{0,9}", 0..20)
}

fn any_sample() -> impl Strategy<Value = MetricSample> {
    let metric_type = prop::sample::select(vec![MetricType::Counter, MetricType::Gauge, MetricType::Histogram]);
    let value = prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO;
    // Between 2000 and the records' timestamp.
    let time = 946_684_800_000_000..1_760_000_000_000_000i64;
    (
        prop::array::uniform7("\\PC{0,200}"),
        "\\PC{1,9}",
        metric_type,
        time,
        value,
        any_map(),
    )
        .prop_map(
            |(
                [plugin_id, service_id, user_id, team_id, environment, unit, name],
                tenant_id,
                metric_type,
                time,
                value,
                labels,
            )| {
                let metric_name = format!("m{name}");
                MetricSample {
                    tenant_id,
                    time,
                    metric_name,
                    metric_type,
                    service_id,
                    plugin_id,
                    user_id,
                    team_id,
                    environment,
                    value,
                    unit,
                    labels,
                }
            },
        )
}

fn any_event() -> impl Strategy<Value = AuditEvent> {
    let source = prop::sample::select(vec![
        AuditSource::Ui,
        AuditSource::Api,
        AuditSource::System,
        AuditSource::Webhook,
    ]);
    let status = prop::sample::select(vec![AuditStatus::Success, AuditStatus::Failure, AuditStatus::Error]);
    let time = 946_684_800_000_000..1_760_000_000_000_000i64;
    (
        any::<u128>(),
        prop::array::uniform12("\\PC{0,40}"),
        (time, source, status),
        "\\PC{1,9}",
        any_map(),
    )
        .prop_map(|(id, texts, (occurred_at, source, status), action, metadata)| {
            let [
                user_id,
                team_id,
                service_id,
                plugin_id,
                resource_type,
                resource_id,
                resource_name,
                ip_address,
                user_agent,
                session_id,
                request_id,
                value,
            ] = texts;
            AuditEvent {
                event_id: uuid::Uuid::from_u128(id).to_string(),
                tenant_id: format!("t{user_id}"),
                old_value: serde_json::to_string(&value).unwrap(),
                new_value: serde_json::to_string(&metadata).unwrap(),
                error_message: value,
                occurred_at,
                user_id,
                team_id,
                service_id,
                plugin_id,
                source,
                action,
                resource_type,
                resource_id,
                resource_name,
                ip_address,
                user_agent,
                session_id,
                request_id,
                status,
                metadata,
            }
        })
}

/// What apache-avro reads from a payload in single-object encoding.
fn read_by_apache<T: serde::de::DeserializeOwned>(kind: Kind, payload: &[u8]) -> T {
    let schema = Schema::parse_str(kind.avro_schema()).unwrap();
    let mut datum = &payload[HEADER..];
    let value = GenericDatumReader::builder(&schema)
        .build()
        .unwrap()
        .read_value(&mut datum)
        .unwrap();
    assert!(datum.is_empty());
    from_value(&value).unwrap()
}

/// The payload as apache-avro writes it, with our header.
fn written_by_apache<T: serde::Serialize>(kind: Kind, ours: &[u8], record: &T) -> Vec<u8> {
    let schema = Schema::parse_str(kind.avro_schema()).unwrap();
    let mut payload = ours[..HEADER].to_vec();
    GenericDatumWriter::builder(&schema)
        .build()
        .unwrap()
        .write_ser(&mut payload, record)
        .unwrap();
    payload
}

proptest! {
    #[test]
    fn samples_survive_the_round_trip(written in prop::collection::vec(any_sample(), 0..20)) {
        let payloads: Vec<Vec<u8>> = written.iter().map(encoded_sample).collect();
        let decoded = decode(Kind::MetricSample, &payloads);
        prop_assert_eq!(&decoded.rejected, &[]);
        prop_assert_eq!(samples(&decoded.columns), written);
    }

    #[test]
    fn events_survive_the_round_trip(written in prop::collection::vec(any_event(), 0..20)) {
        let payloads: Vec<Vec<u8>> = written.iter().map(encoded_event).collect();
        let decoded = decode(Kind::AuditEvent, &payloads);
        prop_assert_eq!(&decoded.rejected, &[]);
        prop_assert_eq!(events(&decoded.columns), written);
    }

    #[test]
    fn apache_avro_reads_and_writes_the_same(sample in any_sample(), event in any_event()) {
        let payload = encoded_sample(&sample);
        prop_assert_eq!(read_by_apache::<MetricSample>(Kind::MetricSample, &payload), sample.clone());
        prop_assert_eq!(written_by_apache(Kind::MetricSample, &payload, &sample), payload);
        let payload = encoded_event(&event);
        prop_assert_eq!(read_by_apache::<AuditEvent>(Kind::AuditEvent, &payload), event.clone());
        prop_assert_eq!(written_by_apache(Kind::AuditEvent, &payload, &event), payload);
    }
}
