//! What is sent to ClickHouse: blocks with the values of the records. That their columns match those of the tables is
//! tested against the engine (`local/tests/migrate/columns.rs`).
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod batch;

use arrow::array::{Array, AsArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{
    DataType, Int32Type, Int64Type, TimestampMicrosecondType, TimestampMillisecondType, UInt32Type,
};
use batch::{TIMESTAMP_MS, decode, decoder, encoded_event, encoded_sample, golden_event, golden_sample, raw, samples};
use horolog_schemas::{
    AuditEvent, Kind, MetricSample, Origin, PartitionKey, RULES_VERSION, RawRecord, Reason, Rejected, fields, pieces,
    rejected_rows, rows,
};

const ORIGIN: Origin<'_> = Origin {
    topic: "metrics",
    partition: 3,
    log_epoch: 7,
};

#[test]
fn a_row_carries_the_coordinates_of_its_record() {
    let payloads = [
        encoded_sample(&golden_sample()),
        b"junk".to_vec(),
        encoded_sample(&golden_sample()),
    ];
    let records = raw(&payloads);
    let decoded = decode(Kind::MetricSample, &payloads);
    let block = rows(Kind::MetricSample, &decoded, &records, &ORIGIN).unwrap();
    assert_eq!(
        block
            .column_by_name("kafka_offset")
            .unwrap()
            .as_primitive::<Int64Type>()
            .values(),
        &[100, 102]
    );
    assert_eq!(
        block
            .column_by_name("kafka_partition")
            .unwrap()
            .as_primitive::<Int32Type>()
            .values(),
        &[3, 3]
    );
    assert_eq!(
        block
            .column_by_name("log_epoch")
            .unwrap()
            .as_primitive::<UInt32Type>()
            .values(),
        &[7, 7]
    );
    let timestamps = block
        .column_by_name("kafka_timestamp")
        .unwrap()
        .as_primitive::<TimestampMillisecondType>();
    assert_eq!(timestamps.values(), &[TIMESTAMP_MS, TIMESTAMP_MS]);
    let times = block
        .column_by_name("time")
        .unwrap()
        .as_primitive::<TimestampMicrosecondType>();
    assert_eq!((times.value(0), times.timezone()), (golden_sample().time, Some("UTC")));
}

#[test]
fn an_event_id_is_stored_as_its_bytes_however_it_was_spelled() {
    let spelled = |id: &str| {
        encoded_event(&AuditEvent {
            event_id: id.into(),
            ..golden_event()
        })
    };
    let payloads = [
        spelled("01234567-89AB-4DEF-8123-456789abcdef"),
        spelled("0123456789ab4def8123456789abcdef"),
    ];
    let block = rows(
        Kind::AuditEvent,
        &decode(Kind::AuditEvent, &payloads),
        &raw(&payloads),
        &ORIGIN,
    )
    .unwrap();
    let ids = block.column_by_name("event_id").unwrap().as_fixed_size_binary();
    let expected = 0x0123_4567_89ab_4def_8123_4567_89ab_cdef_u128.to_be_bytes();
    assert_eq!((ids.value(0), ids.value(1)), (&expected[..], &expected[..]));
}

#[test]
fn a_rejected_record_keeps_its_bytes_and_its_coordinates() {
    let kept = RawRecord {
        offset: 41,
        timestamp_ms: TIMESTAMP_MS,
        key: Some(b"\xFFkey"),
        payload: Some(b"\x00\xFFjunk"),
    };
    let records = [
        kept,
        RawRecord {
            offset: 42,
            key: None,
            payload: None,
            ..kept
        },
        RawRecord {
            offset: 43,
            timestamp_ms: i64::MIN,
            ..kept
        },
        RawRecord {
            offset: 44,
            timestamp_ms: i64::MAX,
            ..kept
        },
    ];
    let mut rejected = decoder(Kind::MetricSample).decode(&records).unwrap().rejected;
    rejected.push(Rejected::new(0, Reason::RefusedByClickHouse, "code 53"));
    let block = rejected_rows(Kind::MetricSample, &rejected, &records, &ORIGIN).unwrap();
    let bytes = |name: &str, row| {
        block
            .column_by_name(name)
            .unwrap()
            .as_binary::<i64>()
            .value(row)
            .to_vec()
    };
    let text = |name: &str, row| {
        block
            .column_by_name(name)
            .unwrap()
            .as_string::<i32>()
            .value(row)
            .to_owned()
    };
    assert_eq!(
        (bytes("record_key", 0), bytes("payload", 0)),
        (b"\xFFkey".to_vec(), b"\x00\xFFjunk".to_vec())
    );
    assert_eq!((bytes("record_key", 1), bytes("payload", 1)), (vec![], vec![]));
    assert_eq!(
        (text("step", 0), text("reason", 0)),
        ("framing".into(), "unknown_schema".into())
    );
    assert_eq!(
        (text("step", 4), text("reason", 4)),
        ("insert".into(), "refused_by_clickhouse".into())
    );
    let offsets = block
        .column_by_name("kafka_offset")
        .unwrap()
        .as_primitive::<Int64Type>();
    assert_eq!(offsets.values(), &[41, 42, 43, 44, 41]);
    let timestamps = block
        .column_by_name("kafka_timestamp")
        .unwrap()
        .as_primitive::<TimestampMillisecondType>();
    assert_eq!(
        &timestamps.values()[2..4],
        &[0, 4_102_444_799_999],
        "as near as clickhouse can hold"
    );
    let versions = block
        .column_by_name("rules_version")
        .unwrap()
        .as_primitive::<UInt32Type>();
    assert_eq!(versions.value(0), RULES_VERSION);
}

#[test]
fn a_batch_without_rows_makes_blocks_without_rows() {
    let none: [&[u8]; 0] = [];
    let decoded = decode(Kind::AuditEvent, &none);
    let block = rows(Kind::AuditEvent, &decoded, &[], &ORIGIN).unwrap();
    assert_eq!(block.num_rows(), 0);
    assert_eq!(pieces(PartitionKey::of(Kind::AuditEvent), &block).unwrap(), []);
    let rejected = rejected_rows(Kind::AuditEvent, &[], &[], &ORIGIN).unwrap();
    assert_eq!(rejected.num_rows(), 0);
}

/// A shuffled year of history in one batch: the pieces hold each of its rows once, by day.
#[test]
fn a_block_over_many_days_is_cut_by_day() {
    let day = |number: i64| MetricSample {
        time: 1_700_000_000_000_000 + number * 7919 % 400 * 86_400_000_000,
        value: number as f64,
        labels: batch::texts(&[("number", number.to_string().as_str())][..number as usize % 2]),
        ..golden_sample()
    };
    let written: Vec<MetricSample> = (0..2_000).map(day).collect();
    let payloads: Vec<Vec<u8>> = written.iter().map(encoded_sample).collect();
    let block = rows(
        Kind::MetricSample,
        &decode(Kind::MetricSample, &payloads),
        &raw(&payloads),
        &ORIGIN,
    )
    .unwrap();
    let pieces = pieces(PartitionKey::of(Kind::MetricSample), &block).unwrap();
    assert_eq!(pieces.len(), 8);
    let whole = concat_batches(&block.schema(), &pieces).unwrap();
    let mut expected = written;
    expected.sort_by_key(|sample| sample.time / 86_400_000_000);
    assert_eq!(samples(&whole), expected);
}

#[test]
fn every_field_has_a_class_in_the_order_of_the_columns() {
    for kind in Kind::ALL {
        let none: [&[u8]; 0] = [];
        let columns = decode(kind, &none).columns.schema();
        let declared: Vec<&str> = fields(kind).iter().map(|field| field.name).collect();
        assert_eq!(
            declared,
            columns
                .fields()
                .iter()
                .map(|field| field.name().as_str())
                .collect::<Vec<&str>>()
        );
        assert!(fields(kind).iter().all(|field| !field.owner.is_empty()));
    }
    let labels = decode(Kind::MetricSample, &[encoded_sample(&golden_sample())]).columns;
    assert!(matches!(
        labels.column_by_name("labels").unwrap().data_type(),
        DataType::Map(..)
    ));
}
