//! Variants of the current schemas, and records that apache-avro writes with them.

use apache_avro::types::{Record, Value};
use apache_avro::writer::datum::GenericDatumWriter;
use apache_avro::{Schema, to_value};
use horolog_schemas::Kind;
use serde_json::Value as Json;

/// The current schema, changed.
pub fn changed(kind: Kind, change: impl Fn(&mut Vec<Json>)) -> String {
    let mut schema: Json = serde_json::from_str(kind.avro_schema()).unwrap();
    change(schema["fields"].as_array_mut().unwrap());
    schema.to_string()
}

pub fn field<'a>(fields: &'a mut [Json], name: &str) -> &'a mut Json {
    fields.iter_mut().find(|field| field["name"] == name).unwrap()
}

/// A record that apache-avro wrote with a schema, in Confluent's framing with this id.
pub fn written<T: serde::Serialize>(schema: &str, id: u32, record: &T, extra: &[(&str, Value)]) -> Vec<u8> {
    let schema = Schema::parse_str(schema).unwrap();
    let Value::Record(fields) = to_value(record).unwrap() else {
        panic!("a record has fields")
    };
    let mut value = Record::new(&schema).unwrap();
    let Schema::Record(shape) = &schema else {
        panic!("the schema is a record")
    };
    for field in &shape.fields {
        if let Some((_, extra)) = extra.iter().find(|(name, _)| *name == field.name) {
            value.put(&field.name, extra.clone());
        } else if let Some((_, ours)) = fields.iter().find(|(name, _)| *name == field.name) {
            value.put(&field.name, ours.clone().resolve(&field.schema).unwrap());
        }
    }
    let mut payload = [&[0][..], &id.to_be_bytes()].concat();
    GenericDatumWriter::builder(&schema)
        .build()
        .unwrap()
        .write_value(&mut payload, value)
        .unwrap();
    payload
}
