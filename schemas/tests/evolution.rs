//! Schema evolution: the log holds records of old schemas, and writers with newer schemas run beside us.
//!
//! Tests two things: every superseded schema of `avro/history/` and the current one can read each other, by
//! apache-avro's rules; and the decoder implements those rules, with variants of the current schema: fields that a
//! newer writer added are ignored, fields that an older writer lacks take their default.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod batch;
#[path = "batch/variants.rs"]
mod variants;

use std::collections::BTreeSet;
use std::fs;

use apache_avro::Schema;
use apache_avro::schema_compatibility::{Compatibility, SchemaCompatibility};
use apache_avro::types::Value;
use arrow::array::AsArray;
use arrow::datatypes::Int32Type;
use batch::{decode, decoder_with, encoded_sample, golden_event, golden_sample, raw, samples};
use horolog_schemas::{AuditEvent, Kind, MetricSample, MetricType, Reason, SchemaError, WriterSchemas};
use serde_json::{Value as Json, json};
use variants::{changed, field, written};

fn read_each_other(old: &str, new: &str) -> bool {
    let (old, new) = (Schema::parse_str(old).unwrap(), Schema::parse_str(new).unwrap());
    matches!(SchemaCompatibility::mutual_read(&old, &new), Ok(Compatibility::Full))
}

/// A schema of the near future: one field more, in the middle, and one less.
fn next_version() -> String {
    changed(Kind::MetricSample, |fields| {
        fields.insert(
            3,
            json!({"name": "host", "type": {"type": "array", "items": "string"}, "default": []}),
        );
        fields.retain(|field| field["name"] != "plugin_id");
    })
}

#[test]
fn every_superseded_schema_and_the_current_one_read_each_other() {
    let history = format!("{}/avro/history", env!("CARGO_MANIFEST_DIR"));
    for kind in Kind::ALL {
        let mut schemas = vec![kind.avro_schema().to_owned()];
        for entry in fs::read_dir(&history).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap().to_str().unwrap().starts_with(kind.name()) {
                schemas.push(fs::read_to_string(path).unwrap());
            }
        }
        for (old, new) in schemas.iter().flat_map(|old| schemas.iter().map(move |new| (old, new))) {
            assert!(read_each_other(old, new), "{old}\n{new}");
        }
    }
}

#[test]
fn the_compatibility_check_tells_a_good_change_from_a_bad_one() {
    let current = Kind::MetricSample.avro_schema();
    assert!(read_each_other(current, &next_version()));
    let no_default = changed(Kind::MetricSample, |fields| {
        fields.push(json!({"name": "host", "type": "string"}))
    });
    assert!(!read_each_other(current, &no_default));
    let other_type = changed(Kind::MetricSample, |fields| {
        field(fields, "value")["type"] = json!("string")
    });
    assert!(!read_each_other(current, &other_type));
    let without_tenant = changed(Kind::MetricSample, |fields| drop(fields.remove(0)));
    assert!(!read_each_other(current, &without_tenant));
    let new_symbol = changed(Kind::MetricSample, |fields| {
        field(fields, "metric_type")["type"]["symbols"] = json!(["counter", "gauge", "histogram", "summary"]);
    });
    assert!(!read_each_other(current, &new_symbol));
}

#[test]
fn an_old_reader_ignores_what_a_new_writer_added_and_takes_the_default_for_what_it_dropped() {
    let hosts = Value::Array(vec![Value::String("a".into()), Value::String("b".into())]);
    let payload = written(&next_version(), 0, &golden_sample(), &[("host", hosts)]);
    let decoded = decoder_with(Kind::MetricSample, &[next_version()])
        .decode(&raw(&[payload]))
        .unwrap();
    assert_eq!(
        samples(&decoded.columns),
        [MetricSample {
            plugin_id: String::new(),
            ..golden_sample()
        }]
    );
}

#[test]
fn a_new_reader_takes_the_default_for_what_an_old_writer_did_not_have() {
    let old = changed(Kind::AuditEvent, |fields| {
        fields.retain(|field| field["default"].is_null())
    });
    let payload = written(&old, 0, &golden_event(), &[]);
    let decoded = decoder_with(Kind::AuditEvent, &[old]).decode(&raw(&[payload])).unwrap();
    let required = AuditEvent {
        event_id: golden_event().event_id,
        tenant_id: golden_event().tenant_id,
        occurred_at: golden_event().occurred_at,
        source: golden_event().source,
        action: golden_event().action,
        status: golden_event().status,
        ..AuditEvent::default()
    };
    assert_eq!(batch::events(&decoded.columns), [required]);
}

/// Neighbouring versions run side by side: the rows come out in log order.
#[test]
fn versions_mixed_in_one_batch_come_out_in_order() {
    let old = changed(Kind::MetricSample, |fields| {
        fields.retain(|field| field["name"] != "unit")
    });
    let new = next_version();
    let hosts = [("host", Value::Array(vec![]))];
    let mut expected = Vec::new();
    let mut payloads = Vec::new();
    for number in 0..100usize {
        let sample = MetricSample {
            value: number as f64,
            labels: batch::texts(&[("number", number.to_string().as_str())][..number % 2]),
            metric_type: [MetricType::Counter, MetricType::Gauge, MetricType::Histogram][number % 3],
            ..golden_sample()
        };
        match number * 7 % 5 {
            0 | 3 => {
                payloads.push(encoded_sample(&sample));
                expected.push(sample);
            }
            1 => {
                payloads.push(written(&old, 0, &sample, &[]));
                expected.push(MetricSample {
                    unit: String::new(),
                    ..sample
                });
            }
            2 => {
                payloads.push(written(&new, 1, &sample, &hosts));
                expected.push(MetricSample {
                    plugin_id: String::new(),
                    ..sample
                });
            }
            _ => payloads.push(vec![0, 0, 0, 0, 1, 0xFF]),
        }
    }
    let decoded = decoder_with(Kind::MetricSample, &[old, new])
        .decode(&raw(&payloads))
        .unwrap();
    assert_eq!(samples(&decoded.columns), expected);
    assert_eq!(decoded.rejected.len(), payloads.len() - expected.len());
    assert!(decoded.positions.is_sorted());
}

#[test]
fn the_columns_are_the_same_whoever_wrote_the_records() {
    let expected = decode(Kind::MetricSample, &[encoded_sample(&golden_sample())])
        .columns
        .schema();
    let schemas = [next_version(), changed(Kind::MetricSample, |fields| fields.reverse())];
    let mut decoder = decoder_with(Kind::MetricSample, &schemas);
    for (id, schema) in (0..).zip(&schemas) {
        let payload = written(schema, id, &golden_sample(), &[("host", Value::Array(vec![]))]);
        let decoded = decoder.decode(&raw(&[payload])).unwrap();
        assert_eq!(
            (decoded.columns.schema(), decoded.columns.num_rows()),
            (expected.clone(), 1)
        );
    }
}

#[test]
fn symbols_are_matched_by_name_and_unknown_ones_are_rejected() {
    let schema = changed(Kind::MetricSample, |fields| {
        field(fields, "metric_type")["type"]["symbols"] = json!(["summary", "histogram", "counter", "gauge"]);
    });
    let payload = written(&schema, 0, &golden_sample(), &[]);
    let summary = written(
        &schema,
        0,
        &golden_sample(),
        &[("metric_type", Value::Enum(0, "summary".into()))],
    );
    let payloads = [&payload, &summary, &payload];
    let decoded = decoder_with(Kind::MetricSample, &[schema])
        .decode(&raw(&payloads))
        .unwrap();
    assert_eq!(samples(&decoded.columns), [golden_sample(), golden_sample()]);
    assert_eq!(
        (decoded.rejected[0].position, decoded.rejected[0].reason),
        (1, Reason::UnknownSymbol)
    );
}

/// A writer's optional field can be read as long as it is set: apache-avro calls that partially compatible.
#[test]
fn an_optional_field_of_a_writer_is_read_where_it_is_there_and_rejected_where_it_is_null() {
    let schema = changed(Kind::MetricSample, |fields| {
        let unit = field(fields, "unit");
        unit["type"] = json!(["null", "string"]);
        unit["default"] = Json::Null;
    });
    let there = written(
        &schema,
        0,
        &golden_sample(),
        &[("unit", Value::Union(1, Box::new(Value::String("ms".into()))))],
    );
    let null = written(
        &schema,
        0,
        &golden_sample(),
        &[("unit", Value::Union(0, Box::new(Value::Null)))],
    );
    let current = encoded_sample(&golden_sample());
    let payloads = [&there, &null, &current, &there, &null, &there];
    let decoded = decoder_with(Kind::MetricSample, &[schema])
        .decode(&raw(&payloads))
        .unwrap();
    assert_eq!(decoded.positions, [0, 2, 3, 5]);
    assert_eq!(samples(&decoded.columns), vec![golden_sample(); 4]);
    let reasons: Vec<_> = decoded
        .rejected
        .iter()
        .map(|rejected| (rejected.position, rejected.reason))
        .collect();
    assert_eq!(reasons, [(1, Reason::Undecodable), (4, Reason::Undecodable)]);
    let detail = &decoded.rejected[0].detail;
    assert!(detail.starts_with("field unit, byte "), "{detail}");
    assert!(detail.contains("it is null, which it cannot be here"), "{detail}");
}

/// Names are matched without their namespaces (Avro 1.12, "Schema Resolution").
#[test]
fn a_writer_may_have_another_namespace_or_none() {
    for namespace in [None, Some("com.acme.telemetry")] {
        let mut schema: Json = serde_json::from_str(Kind::MetricSample.avro_schema()).unwrap();
        match namespace {
            None => drop(schema.as_object_mut().unwrap().remove("namespace")),
            Some(name) => schema["namespace"] = json!(name),
        }
        field(schema["fields"].as_array_mut().unwrap(), "metric_type")["type"]["namespace"] = json!("com.acme.enums");
        let schema = schema.to_string();
        let payload = written(&schema, 0, &golden_sample(), &[]);
        let decoded = decoder_with(Kind::MetricSample, &[schema])
            .decode(&raw(&[&payload]))
            .unwrap();
        assert!(decoded.rejected.is_empty(), "{:?}", decoded.rejected);
        assert_eq!(samples(&decoded.columns), [golden_sample()]);
    }
}

#[test]
fn numbers_and_bytes_are_promoted_and_bytes_must_still_be_utf8() {
    let schema = changed(Kind::MetricSample, |fields| {
        field(fields, "value")["type"] = json!("int");
        field(fields, "unit")["type"] = json!("bytes");
        field(fields, "unit").as_object_mut().unwrap().remove("default");
    });
    let value = |value, unit: &[u8]| [("value", Value::Int(value)), ("unit", Value::Bytes(unit.to_vec()))];
    let payloads = [
        written(&schema, 0, &golden_sample(), &value(-7, b"ms")),
        written(&schema, 0, &golden_sample(), &value(-7, b"m\xFF")),
    ];
    let decoded = decoder_with(Kind::MetricSample, &[schema])
        .decode(&raw(&payloads))
        .unwrap();
    assert_eq!(
        samples(&decoded.columns),
        [MetricSample {
            value: -7.0,
            ..golden_sample()
        }]
    );
    assert_eq!(decoded.rejected[0].reason, Reason::NotUtf8);
}

/// ClickHouse refuses a dictionary that has a value twice.
#[test]
fn the_symbols_of_an_enum_are_there_once_when_writers_take_turns() {
    for (kind, name) in [
        (Kind::MetricSample, "metric_type"),
        (Kind::AuditEvent, "status"),
        (Kind::AuditEvent, "source"),
    ] {
        let newer = changed(kind, |fields| {
            fields.push(json!({"name": "trace_id", "type": "string", "default": ""}));
        });
        let extra = [("trace_id", Value::String("abc".to_owned()))];
        let (current, extra) = (kind.avro_schema().to_owned(), &extra[..]);
        let by_both = |_: usize| match kind {
            Kind::MetricSample => [
                written(&newer, 0, &golden_sample(), extra),
                written(&current, 1, &golden_sample(), &[]),
            ],
            Kind::AuditEvent => [
                written(&newer, 0, &golden_event(), extra),
                written(&current, 1, &golden_event(), &[]),
            ],
        };
        let payloads: Vec<Vec<u8>> = (0..20).flat_map(by_both).collect();
        let mut decoder = decoder_with(kind, &[newer.clone(), current.clone()]);
        let decoded = decoder.decode(&raw(&payloads)).unwrap();
        assert_eq!(decoded.columns.num_rows(), payloads.len());
        let symbols = decoded.columns[name].as_dictionary::<Int32Type>();
        let values: Vec<_> = symbols.values().as_string::<i32>().iter().collect();
        assert_eq!(
            values.len(),
            values.iter().collect::<BTreeSet<_>>().len(),
            "{name}: {values:?}"
        );
    }
}

#[test]
fn a_schema_of_another_kind_in_the_folder_rejects_its_records_only() {
    let schemas = [
        Kind::AuditEvent.avro_schema().to_owned(),
        Kind::MetricSample.avro_schema().to_owned(),
    ];
    let payloads = [
        written(&schemas[0], 0, &golden_event(), &[]),
        written(&schemas[1], 1, &golden_sample(), &[]),
    ];
    let decoded = decoder_with(Kind::MetricSample, &schemas)
        .decode(&raw(&payloads))
        .unwrap();
    assert_eq!(samples(&decoded.columns), [golden_sample()]);
    assert_eq!(decoded.rejected[0].reason, Reason::IncompatibleSchema);
}

#[test]
fn a_folder_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let error = WriterSchemas::load(Kind::MetricSample, Some(&missing)).unwrap_err();
    assert!(
        matches!(&error, SchemaError::Read { path, .. } if *path == missing),
        "{error}"
    );

    fs::write(folder.path().join("7.avsc"), "{\"type\": ").unwrap();
    let error = WriterSchemas::load(Kind::MetricSample, Some(folder.path())).unwrap_err();
    assert!(matches!(error, SchemaError::Parse { .. }), "{error}");

    fs::rename(folder.path().join("7.avsc"), folder.path().join("seven.avsc")).unwrap();
    let error = WriterSchemas::load(Kind::MetricSample, Some(folder.path())).unwrap_err();
    assert!(matches!(error, SchemaError::FileName { .. }), "{error}");

    fs::rename(folder.path().join("seven.avsc"), folder.path().join("README")).unwrap();
    assert!(WriterSchemas::load(Kind::MetricSample, Some(folder.path())).is_ok());
}

/// As Java takes one: a default that is no UUID.
#[test]
fn a_schema_that_our_parser_refuses_rejects_its_records_only() {
    let schema = changed(Kind::MetricSample, |fields| {
        fields.push(json!({"name": "trace-id", "type": "string", "default": ""}));
    });
    let current = Kind::MetricSample.avro_schema().to_owned();
    let payloads = [
        [&[0][..], &0u32.to_be_bytes(), &[0]].concat(),
        written(&current, 1, &golden_sample(), &[]),
    ];
    let decoded = decoder_with(Kind::MetricSample, &[schema, current])
        .decode(&raw(&payloads))
        .unwrap();
    assert_eq!(samples(&decoded.columns), [golden_sample()]);
    assert_eq!(decoded.rejected[0].reason, Reason::IncompatibleSchema);
}

#[test]
fn a_recursive_schema_is_refused() {
    let schema = changed(Kind::MetricSample, |fields| {
        fields.push(json!({"name": "parents", "type": {"type": "array", "items": "MetricSample"}, "default": []}));
    });
    let payload = written(&schema, 0, &golden_sample(), &[("parents", Value::Array(vec![]))]);
    let decoded = decoder_with(Kind::MetricSample, &[schema])
        .decode(&raw(&[payload]))
        .unwrap();
    assert_eq!(decoded.rejected[0].reason, Reason::IncompatibleSchema);
}

#[test]
fn a_time_in_another_unit_is_refused_by_name() {
    for (unit, value) in [
        ("timestamp-millis", Value::TimestampMillis(1_700_000_000_000)),
        ("timestamp-nanos", Value::TimestampNanos(1_700_000_000_000_000_000)),
        (
            "local-timestamp-micros",
            Value::LocalTimestampMicros(1_700_000_000_000_000),
        ),
    ] {
        let schema = changed(Kind::MetricSample, |fields| {
            field(fields, "time")["type"] = json!({"type": "long", "logicalType": unit});
        });
        let payload = written(&schema, 0, &golden_sample(), &[("time", value)]);
        let decoded = decoder_with(Kind::MetricSample, &[schema])
            .decode(&raw(&[payload]))
            .unwrap();
        assert_eq!(decoded.rejected[0].reason, Reason::IncompatibleSchema);
        assert!(
            decoded.rejected[0].detail.contains(unit),
            "{}",
            decoded.rejected[0].detail
        );
    }
}
