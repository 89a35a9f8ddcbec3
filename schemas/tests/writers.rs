//! Writers' schemas that other libraries and frameworks make: what is read of them, and what is refused by name because
//! it would be read otherwise than the specification says.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod batch;
#[path = "batch/variants.rs"]
mod variants;

use apache_avro::types::Value;
use batch::{decoder_with, golden_sample, raw, samples};
use horolog_schemas::{Decoded, Kind, MetricSample, Reason};
use serde_json::{Value as Json, json};
use variants::{changed, field, written};

fn decoded(schema: &str, payloads: &[Vec<u8>]) -> Decoded {
    decoder_with(Kind::MetricSample, &[schema.to_owned()])
        .decode(&raw(payloads))
        .unwrap()
}

#[track_caller]
fn refused(schema: &str, payload: Vec<u8>, words: &str) {
    let decoded = decoded(schema, &[payload]);
    let rejected = &decoded.rejected[0];
    assert_eq!(rejected.reason, Reason::IncompatibleSchema, "{}", rejected.detail);
    assert!(rejected.detail.contains(words), "{}", rejected.detail);
}

fn map(value: Value) -> Value {
    Value::Map([("host".to_owned(), value)].into())
}

fn in_branch(branch: u32, value: Value) -> Value {
    Value::Union(branch, Box::new(value))
}

#[test]
fn an_optional_map_is_read_and_one_of_optional_values_is_refused() {
    let schema_of = |values: Json| {
        changed(Kind::MetricSample, |fields| {
            let labels = field(fields, "labels");
            labels["type"] = json!(["null", {"type": "map", "values": values}]);
            labels["default"] = Json::Null;
        })
    };
    let optional = schema_of(json!("string"));
    let labels = in_branch(1, map(Value::String("a".into())));
    let payload = written(&optional, 0, &golden_sample(), &[("labels", labels)]);
    let read = samples(&decoded(&optional, &[payload]).columns).remove(0);
    assert_eq!(read.labels, [("host".into(), "a".into())].into());

    let of_optional = schema_of(json!(["null", "string"]));
    let labels = in_branch(1, map(in_branch(1, Value::String(String::new()))));
    let payload = written(&of_optional, 0, &golden_sample(), &[("labels", labels)]);
    refused(
        &of_optional,
        payload,
        "field labels: it is an optional map of optional values",
    );
}

#[test]
fn of_a_union_the_types_are_read_that_the_field_can_be_read_from() {
    let origin = json!({"type": "record", "name": "Origin", "fields": [{"name": "host", "type": "string"}]});
    let schema = changed(Kind::MetricSample, |fields| {
        let service = field(fields, "service_id");
        service["type"] =
            json!(["string", "long", origin, {"type": "bytes", "logicalType": "decimal", "precision": 9}]);
        service.as_object_mut().unwrap().remove("default");
    });
    let host = Value::Record(vec![("host".to_owned(), Value::String("web-1".into()))]);
    let payload = |branch, value| {
        let service = [("service_id", in_branch(branch, value))];
        written(&schema, 0, &golden_sample(), &service)
    };
    let payloads = [
        payload(0, Value::String("checkout".into())),
        payload(1, Value::Long(7)),
        payload(2, host),
        payload(3, Value::Decimal(vec![65].into())),
    ];
    let decoded = decoded(&schema, &payloads);
    assert_eq!(samples(&decoded.columns), [golden_sample()]);
    assert_eq!(decoded.rejected.len(), 3);
    for rejected in &decoded.rejected {
        assert_eq!(rejected.reason, Reason::Undecodable);
        let detail = &rejected.detail;
        assert!(
            detail.starts_with("field service_id, byte ") && detail.contains("of the union"),
            "{detail}"
        );
    }
}

/// A named type that is defined in a field before: arrow-avro would take it for a text.
#[test]
fn a_named_type_in_a_union_is_no_text() {
    let schema = changed(Kind::MetricSample, |fields| {
        field(fields, "service_id")["type"] = json!(["string", "Origin"]);
        field(fields, "service_id").as_object_mut().unwrap().remove("default");
        let origin = json!({"type": "record", "name": "Origin", "fields": [{"name": "host", "type": "string"}]});
        fields.insert(0, json!({"name": "origin", "type": origin}));
    });
    let host = || Value::Record(vec![("host".to_owned(), Value::String("web-1".into()))]);
    let payloads = [(0, Value::String("checkout".into())), (1, host())].map(|(branch, value)| {
        let extra = [("origin", host()), ("service_id", in_branch(branch, value))];
        written(&schema, 0, &golden_sample(), &extra)
    });
    let decoded = decoded(&schema, &payloads);
    assert_eq!(samples(&decoded.columns), [golden_sample()]);
    assert_eq!(decoded.rejected[0].reason, Reason::Undecodable);
}

/// Aliases and defaults count on the reader's side (Avro 1.12, "Schema Resolution").
#[test]
fn a_writers_aliases_and_defaults_change_nothing() {
    let schema_with = |aliases_and_default: bool| {
        changed(Kind::MetricSample, |fields| {
            fields.retain(|field| field["name"] != "unit");
            let uuid = json!({"type": "string", "logicalType": "uuid"});
            let mut added = [
                json!({"name": "measure", "type": "string", "aliases": ["unit"]}),
                json!({"name": "raw", "type": {"type": "array", "items": "bytes"}, "aliases": ["labels"]}),
                json!({"name": "trace", "type": uuid, "default": ""}),
            ];
            if !aliases_and_default {
                let without = |field: &mut Json| {
                    field
                        .as_object_mut()
                        .unwrap()
                        .retain(|part, _| part == "name" || part == "type")
                };
                added.iter_mut().for_each(without);
            }
            fields.extend(added);
        })
    };
    let extra = [
        ("measure", Value::String("s".into())),
        ("raw", Value::Array(vec![Value::Bytes(vec![0xFF])])),
        ("trace", Value::Uuid(uuid::Uuid::nil())),
    ];
    // apache-avro follows the aliases and refuses the default, so the record is written without them.
    let payload = written(&schema_with(false), 0, &golden_sample(), &extra);
    let decoded = decoded(&schema_with(true), &[payload]);
    assert!(decoded.rejected.is_empty(), "{:?}", decoded.rejected);
    let expected = MetricSample {
        unit: String::new(),
        ..golden_sample()
    };
    assert_eq!(samples(&decoded.columns), [expected]);
}

#[test]
fn bytes_that_are_a_number_are_no_text() {
    let decimal = json!({"type": "bytes", "logicalType": "decimal", "precision": 9});
    let schema = changed(Kind::MetricSample, |fields| {
        field(fields, "user_id")["type"] = decimal.clone();
        field(fields, "user_id").as_object_mut().unwrap().remove("default");
    });
    let user = [("user_id", Value::Decimal(vec![65].into()))];
    let payload = written(&schema, 0, &golden_sample(), &user);
    refused(
        &schema,
        payload,
        "field user_id: its type is a decimal or a UUID in bytes",
    );
}

/// Each type has thirty fields of the next one: written out, some 22 thousand million parts.
#[test]
fn a_small_schema_of_endless_parts_is_refused() {
    let level = |depth: usize, inner: Json| {
        let later = |number: usize| json!({"name": format!("f{number}"), "type": format!("Level{}", depth + 1)});
        let first = json!({"name": "f0", "type": inner});
        let fields: Vec<Json> = [first].into_iter().chain((1..30).map(later)).collect();
        json!({"type": "record", "name": format!("Level{depth}"), "fields": fields})
    };
    let last = json!({"type": "record", "name": "Level6", "fields": [{"name": "n", "type": "null"}]});
    let levels = (0..6).rev().fold(last, |inner, depth| level(depth, inner));
    let schema = changed(Kind::MetricSample, |fields| {
        fields.push(json!({"name": "x", "type": levels}));
    });
    let payload = [&[0][..], &0u32.to_be_bytes(), &[0]].concat();
    refused(&schema, payload, "field x: the schema has more than 10000 parts");
}
