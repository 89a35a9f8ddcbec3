//! The build's check of the schemas: a field without its classification fails the build, which names it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "../build.rs"]
#[allow(dead_code, clippy::duplicate_mod)]
mod build;

use horolog_schemas::Kind;
use serde_json::{Value, json};

/// The current schema of audit events with one attribute of `new_value` changed or removed.
fn changed(attribute: &str, value: Option<Value>) -> String {
    let mut schema: Value = serde_json::from_str(Kind::AuditEvent.avro_schema()).unwrap();
    let fields = schema["fields"].as_array_mut().unwrap();
    let field = fields
        .iter_mut()
        .find(|field| field["name"] == "new_value")
        .unwrap()
        .as_object_mut()
        .unwrap();
    field.remove(attribute);
    if let Some(value) = value {
        field.insert(attribute.to_owned(), value);
    }
    schema.to_string()
}

fn refusal(attribute: &str, value: Option<Value>) -> String {
    build::field_classes(&changed(attribute, value))
        .unwrap_err()
        .to_string()
}

#[test]
fn a_field_without_its_class_fails_the_build_by_name() {
    for attribute in ["class", "personal", "health", "encrypt", "owner"] {
        let message = refusal(attribute, None);
        assert!(
            message.contains("new_value") && message.contains(attribute),
            "{message}"
        );
    }
}

#[test]
fn a_class_that_is_none_fails_the_build() {
    assert!(refusal("class", Some(json!("secret"))).contains("none of public, internal, confidential, restricted"));
    assert!(refusal("owner", Some(json!(""))).contains("owner"));
    assert!(refusal("encrypt", Some(json!("yes"))).contains("encrypt"));
}

#[test]
fn health_data_must_be_restricted_and_encrypted() {
    assert!(refusal("class", Some(json!("internal"))).contains("health"));
    assert!(refusal("encrypt", Some(json!(false))).contains("health"));
}

#[test]
fn the_schemas_as_they_are_pass() {
    for kind in Kind::ALL {
        build::field_classes(kind.avro_schema()).unwrap();
    }
}
