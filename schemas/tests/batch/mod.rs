//! Test inputs and outputs: golden payloads, raw records around payloads, and columns converted back to records.
#![allow(dead_code, reason = "each test takes what it needs")]

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int32Type, TimestampMicrosecondType};
use horolog_schemas::{
    AuditEvent, AuditSource, AuditStatus, Decoded, Decoder, Kind, MetricSample, MetricType, RawRecord, WriterSchemas,
};
use serde::de::DeserializeOwned;

/// The Kafka timestamp of all test records: 2025-10-09.
pub const TIMESTAMP_MS: i64 = 1_760_000_000_789;

/// The bytes of a golden file, written by fastavro.
pub fn golden(kind: Kind, framing: &str) -> Vec<u8> {
    let file = format!(
        "{}/tests/golden/{}.{framing}.hex",
        env!("CARGO_MANIFEST_DIR"),
        kind.name()
    );
    let digits: Vec<u8> = fs::read(file)
        .unwrap()
        .into_iter()
        .filter(u8::is_ascii_hexdigit)
        .collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// The record of the golden files.
pub fn golden_sample() -> MetricSample {
    MetricSample {
        tenant_id: "acme".into(),
        time: 1_760_000_000_123_456,
        metric_name: "http_request_duration".into(),
        metric_type: MetricType::Histogram,
        service_id: "checkout".into(),
        plugin_id: String::new(),
        user_id: "u-17".into(),
        team_id: "payments".into(),
        environment: "production".into(),
        value: -0.1,
        unit: "ms".into(),
        labels: texts(&[("code", "500"), ("region", "Zürich")]),
    }
}

/// The record of the golden files.
pub fn golden_event() -> AuditEvent {
    AuditEvent {
        event_id: "01234567-89ab-4def-8123-456789abcdef".into(),
        tenant_id: "acme".into(),
        occurred_at: 1_760_000_000_654_321,
        user_id: "arn:aws:iam::1:user/eve".into(),
        team_id: "security".into(),
        service_id: "iam".into(),
        plugin_id: String::new(),
        source: AuditSource::Webhook,
        action: "role:update".into(),
        resource_type: "role".into(),
        resource_id: "role-9".into(),
        resource_name: "Opérateurs".into(),
        old_value: r#"{"members": 4}"#.into(),
        new_value: r#"{"members": 5}"#.into(),
        ip_address: "192.0.2.17".into(),
        user_agent: "curl/8.5".into(),
        session_id: "s-1".into(),
        request_id: "r-2".into(),
        status: AuditStatus::Error,
        error_message: "quota exceeded".into(),
        metadata: texts(&[("region", "eu-west-1")]),
    }
}

pub fn texts(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

pub fn encoded_sample(sample: &MetricSample) -> Vec<u8> {
    let mut payload = Vec::new();
    sample.encode_single_object(&mut payload);
    payload
}

pub fn encoded_event(event: &AuditEvent) -> Vec<u8> {
    let mut payload = Vec::new();
    event.encode_single_object(&mut payload);
    payload
}

/// Payloads as records at the offsets 100, 101, …
pub fn raw<P: AsRef<[u8]>>(payloads: &[P]) -> Vec<RawRecord<'_>> {
    (100..)
        .zip(payloads)
        .map(|(offset, payload)| RawRecord {
            offset,
            timestamp_ms: TIMESTAMP_MS,
            key: None,
            payload: Some(payload.as_ref()),
        })
        .collect()
}

pub fn decoder(kind: Kind) -> Decoder {
    Decoder::new(Arc::new(WriterSchemas::load(kind, None).unwrap()))
}

/// A decoder that knows these schemas under the ids 0, 1, …
pub fn decoder_with(kind: Kind, schemas: &[String]) -> Decoder {
    let folder = tempfile::tempdir().unwrap();
    for (id, schema) in schemas.iter().enumerate() {
        fs::write(folder.path().join(format!("{id}.avsc")), schema).unwrap();
    }
    Decoder::new(Arc::new(WriterSchemas::load(kind, Some(folder.path())).unwrap()))
}

/// Decodes payloads with the built-in schemas.
pub fn decode<P: AsRef<[u8]>>(kind: Kind, payloads: &[P]) -> Decoded {
    decoder(kind).decode(&raw(payloads)).unwrap()
}

/// Converts the columns back to records.
pub fn samples(columns: &RecordBatch) -> Vec<MetricSample> {
    let text = |name, row| text(columns, name, row);
    (0..columns.num_rows())
        .map(|row| MetricSample {
            tenant_id: text("tenant_id", row),
            time: time(columns, "time", row),
            metric_name: text("metric_name", row),
            metric_type: symbol(columns, "metric_type", row),
            service_id: text("service_id", row),
            plugin_id: text("plugin_id", row),
            user_id: text("user_id", row),
            team_id: text("team_id", row),
            environment: text("environment", row),
            value: column(columns, "value").as_primitive::<Float64Type>().value(row),
            unit: text("unit", row),
            labels: map(columns, "labels", row),
        })
        .collect()
}

/// Converts the columns back to records.
pub fn events(columns: &RecordBatch) -> Vec<AuditEvent> {
    let text = |name, row| text(columns, name, row);
    (0..columns.num_rows())
        .map(|row| AuditEvent {
            event_id: text("event_id", row),
            tenant_id: text("tenant_id", row),
            occurred_at: time(columns, "occurred_at", row),
            user_id: text("user_id", row),
            team_id: text("team_id", row),
            service_id: text("service_id", row),
            plugin_id: text("plugin_id", row),
            source: symbol(columns, "source", row),
            action: text("action", row),
            resource_type: text("resource_type", row),
            resource_id: text("resource_id", row),
            resource_name: text("resource_name", row),
            old_value: text("old_value", row),
            new_value: text("new_value", row),
            ip_address: text("ip_address", row),
            user_agent: text("user_agent", row),
            session_id: text("session_id", row),
            request_id: text("request_id", row),
            status: symbol(columns, "status", row),
            error_message: text("error_message", row),
            metadata: map(columns, "metadata", row),
        })
        .collect()
}

fn column<'a>(columns: &'a RecordBatch, name: &str) -> &'a ArrayRef {
    columns.column_by_name(name).unwrap()
}

fn text(columns: &RecordBatch, name: &str, row: usize) -> String {
    plain(&column(columns, name).slice(row, 1))
        .as_string::<i32>()
        .value(0)
        .to_owned()
}

/// Strings without dictionary encoding.
fn plain(texts: &ArrayRef) -> ArrayRef {
    arrow::compute::cast(texts, &DataType::Utf8).unwrap()
}

fn time(columns: &RecordBatch, name: &str, row: usize) -> i64 {
    column(columns, name)
        .as_primitive::<TimestampMicrosecondType>()
        .value(row)
}

fn symbol<T: DeserializeOwned>(columns: &RecordBatch, name: &str, row: usize) -> T {
    let dictionary = column(columns, name).as_dictionary::<Int32Type>();
    let symbol = dictionary
        .values()
        .as_string::<i32>()
        .value(dictionary.key(row).unwrap());
    serde_json::from_value(symbol.into()).unwrap()
}

fn map(columns: &RecordBatch, name: &str, row: usize) -> BTreeMap<String, String> {
    let entries = column(columns, name).as_map().value(row);
    let keys = plain(entries.column(0));
    let (keys, values) = (keys.as_string::<i32>(), entries.column(1).as_string::<i32>());
    (0..entries.len())
        .map(|entry| (keys.value(entry).to_owned(), values.value(entry).to_owned()))
        .collect()
}
