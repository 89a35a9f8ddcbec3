//! Prints the cost of a record on one thread, in nanoseconds: encoding, ours and apache-avro's; decoding with
//! validation; rows, pieces, the Arrow stream. Reports the best of several rounds. `cargo run --release -p
//! horolog-schemas --example decode_speed`
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use apache_avro::Schema;
use apache_avro::writer::datum::GenericDatumWriter;
use arrow::ipc::writer::StreamWriter;
use horolog_schemas::{
    AuditEvent, Decoder, Kind, MetricSample, Origin, PartitionKey, RawRecord, WriterSchemas, pieces, rows,
};
use serde::Serialize;

const RECORDS: usize = 200_000;
const BATCH: usize = 50_000;
const ROUNDS: usize = 5;
/// 2025-10-09, microseconds.
const START_US: i64 = 1_760_000_000_000_000;

fn main() {
    let samples: Vec<MetricSample> = (0..RECORDS).map(sample).collect();
    measure(Kind::MetricSample, &samples, MetricSample::encode_single_object);
    let events: Vec<AuditEvent> = (0..RECORDS).map(event).collect();
    measure(Kind::AuditEvent, &events, AuditEvent::encode_single_object);
}

fn measure<T: Serialize>(kind: Kind, written: &[T], encode: impl Fn(&T, &mut Vec<u8>)) {
    let mut best = [f64::INFINITY; 6];
    let mut bytes = 0;
    for _ in 0..ROUNDS {
        let (encoding, payloads) = encoding(kind, written, &encode);
        bytes = payloads.iter().map(Vec::len).sum::<usize>() / RECORDS;
        let decoding = decoding(kind, &payloads);
        for (best, spent) in best.iter_mut().zip(encoding.into_iter().chain(decoding)) {
            *best = best.min(spent);
        }
    }
    println!("{}: {bytes} bytes a record, {BATCH} records a batch", kind.name());
    let steps = [
        "encode",
        "encode, apache-avro",
        "decode and validate",
        "rows",
        "pieces",
        "arrow stream",
    ];
    for (step, nanoseconds) in steps.iter().zip(best) {
        println!("  {step:<20} {nanoseconds:6.0} ns");
    }
}

/// Nanoseconds per record since the last lap.
fn lap(clock: &mut Instant) -> f64 {
    let spent = clock.elapsed().as_nanos() as f64 / RECORDS as f64;
    *clock = Instant::now();
    spent
}

fn encoding<T: Serialize>(kind: Kind, written: &[T], encode: impl Fn(&T, &mut Vec<u8>)) -> ([f64; 2], Vec<Vec<u8>>) {
    let mut buffer = Vec::new();
    let mut clock = Instant::now();
    for record in written {
        buffer.clear();
        encode(record, &mut buffer);
        black_box(&buffer);
    }
    let ours = lap(&mut clock);
    let schema = Schema::parse_str(kind.avro_schema()).unwrap();
    let writer = GenericDatumWriter::builder(&schema).build().unwrap();
    for record in written {
        buffer.clear();
        writer.write_ser(&mut buffer, record).unwrap();
        black_box(&buffer);
    }
    let theirs = lap(&mut clock);
    let payload = |record| {
        let mut payload = Vec::new();
        encode(record, &mut payload);
        payload
    };
    ([ours, theirs], written.iter().map(payload).collect())
}

fn decoding(kind: Kind, payloads: &[Vec<u8>]) -> [f64; 4] {
    let records: Vec<RawRecord<'_>> = (0..)
        .zip(payloads)
        .map(|(offset, payload)| RawRecord {
            offset,
            timestamp_ms: START_US / 1000 + offset,
            key: None,
            payload: Some(payload),
        })
        .collect();
    let origin = Origin {
        topic: kind.default_topic(),
        partition: 0,
        log_epoch: 0,
    };
    let mut decoder = Decoder::new(Arc::new(WriterSchemas::load(kind, None).unwrap()));
    let mut buffer = Vec::new();
    let mut spent = [0.0; 4];
    let mut clock = Instant::now();
    for batch in records.chunks(BATCH) {
        let decoded = decoder.decode(batch).unwrap();
        assert_eq!(decoded.columns.num_rows(), batch.len());
        spent[0] += lap(&mut clock);
        let block = rows(kind, &decoded, batch, &origin).unwrap();
        spent[1] += lap(&mut clock);
        let pieces = pieces(PartitionKey::of(kind), &block).unwrap();
        spent[2] += lap(&mut clock);
        for piece in &pieces {
            buffer.clear();
            let mut writer = StreamWriter::try_new(&mut buffer, &piece.schema()).unwrap();
            writer.write(piece).unwrap();
            writer.finish().unwrap();
        }
        spent[3] += lap(&mut clock);
    }
    spent
}

fn sample(number: usize) -> MetricSample {
    MetricSample {
        tenant_id: format!("tenant-{}", number % 8),
        time: START_US + number as i64 * 1_000,
        metric_name: format!("http_request_duration_{}", number % 200),
        service_id: format!("service-{:03}", number % 50),
        plugin_id: if number.is_multiple_of(3) {
            "plugin-a".into()
        } else {
            String::new()
        },
        environment: "production".into(),
        value: number as f64 * 0.37,
        unit: "ms".into(),
        labels: [
            ("region".into(), "eu-west-1".into()),
            ("instance".into(), format!("i-{:05}", number % 500)),
        ]
        .into(),
        ..MetricSample::default()
    }
}

fn event(number: usize) -> AuditEvent {
    AuditEvent {
        event_id: format!("00000000-0000-4000-8000-{number:012x}"),
        tenant_id: format!("tenant-{}", number % 8),
        occurred_at: START_US + number as i64 * 1_000,
        user_id: format!("user-{}", number % 1000),
        service_id: "iam".into(),
        action: "role:update".into(),
        resource_type: "role".into(),
        resource_id: format!("role-{}", number % 300),
        resource_name: "Operators".into(),
        old_value: r#"{"permissions": ["read"], "members": 4}"#.into(),
        new_value: r#"{"permissions": ["read", "write"], "members": 4}"#.into(),
        ip_address: "192.0.2.17".into(),
        user_agent: "Mozilla/5.0 (X11; Linux x86_64)".into(),
        session_id: format!("s-{number}"),
        request_id: format!("r-{number}"),
        metadata: [("region".into(), "eu-west-1".into())].into(),
        ..AuditEvent::default()
    }
}
