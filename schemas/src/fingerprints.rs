//! Fingerprints by which single-object encoding names a writer's schema.
//!
//! In: a schema. Out: its CRC-64-AVRO fingerprints, of which producers' libraries compute different ones. Pure.

use apache_avro::Schema;
use apache_avro::rabin::Rabin;
use arrow::error::ArrowError;
use arrow_avro::schema::{AvroSchema, Fingerprint, FingerprintAlgorithm};
use serde_json::Value;
use sha2::Digest;

use crate::framing::SchemaReference;

/// The fingerprints that producers compute for a schema. The first follows the specification, as in Java, fastavro and
/// arrow-avro. The second is that of apache-avro for Rust and Python, which leave `{"type":"long"}` where a logical
/// type was stripped, instead of `"long"`. The third is that of hamba/avro for Go, which strips no logical types.
pub(crate) fn fingerprints(json: &str, schema: &Schema) -> Result<[SchemaReference; 3], ArrowError> {
    let specified = match AvroSchema::new(json.to_owned()).fingerprint(FingerprintAlgorithm::Rabin)? {
        Fingerprint::Rabin(fingerprint) => fingerprint,
        other => return Err(ArrowError::AvroError(format!("{other:?} is not a rabin fingerprint"))),
    };
    let apache = schema.canonical_form();
    let hamba = with_logical_types(&apache, schema);
    let [apache, hamba] = [apache, hamba].map(|text| SchemaReference::Fingerprint(rabin(&text)));
    Ok([SchemaReference::Fingerprint(specified), apache, hamba])
}

fn rabin(text: &str) -> u64 {
    u64::from_le_bytes(Rabin::digest(text).into())
}

/// apache-avro's canonical form with the logical types that it stripped from primitive types.
fn with_logical_types(canonical: &str, schema: &Schema) -> String {
    let mut stripped = Vec::new();
    if let Ok(schema) = serde_json::to_value(schema) {
        logical_types(&schema, &mut stripped);
    }
    let (mut text, mut rest) = (String::new(), canonical);
    for (primitive, logical) in stripped {
        let place = format!(r#"{{"type":"{primitive}"}}"#);
        let Some((before, after)) = rest.split_once(&place) else {
            continue;
        };
        text.push_str(before);
        text.push_str(&format!(r#"{{"type":"{primitive}",{logical}}}"#));
        rest = after;
    }
    text + rest
}

/// The primitive types with a logical one, in the order of the schema: each with what hamba/avro writes of it.
fn logical_types(schema: &Value, found: &mut Vec<(String, String)>) {
    match schema {
        Value::Array(all) => all.iter().for_each(|one| logical_types(one, found)),
        Value::Object(object) => {
            if let (Some(Value::String(primitive)), Some(logical)) = (object.get("type"), object.get("logicalType")) {
                let mut parts = vec![format!(r#""logicalType":{logical}"#)];
                let is_said = |value: &&Value| value.as_u64() != Some(0);
                for part in ["precision", "scale"] {
                    parts.extend(
                        object
                            .get(part)
                            .filter(is_said)
                            .map(|value| format!(r#""{part}":{value}"#)),
                    );
                }
                found.push((primitive.clone(), parts.join(",")));
            }
            for part in ["type", "items", "values", "fields"] {
                object
                    .get(part)
                    .into_iter()
                    .for_each(|nested| logical_types(nested, found));
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kind, audit_event, metric_sample};

    /// Fails when a schema was changed. Then move the old schema to `avro/history/<kind>.<version>.avsc`, because the
    /// log still has records of it, and put the new fingerprint beside the producer's type.
    #[test]
    fn producers_name_the_current_schemas() {
        for (kind, written) in [
            (Kind::MetricSample, metric_sample::FINGERPRINT),
            (Kind::AuditEvent, audit_event::FINGERPRINT),
        ] {
            let [current, ..] =
                fingerprints(kind.avro_schema(), &Schema::parse_str(kind.avro_schema()).unwrap()).unwrap();
            assert_eq!(current, SchemaReference::Fingerprint(written), "{current}");
        }
    }

    /// As `FingerprintUsing(avro.CRC64Avro)` of github.com/hamba/avro/v2 2.31 gave them.
    #[test]
    fn go_s_hamba_avro_keeps_logical_types_in_what_it_hashes() {
        let hamba = |json: &str| fingerprints(json, &Schema::parse_str(json).unwrap()).unwrap()[2];
        for (kind, expected) in [
            (Kind::MetricSample, 0xf3bb_33fc_cbed_296f),
            (Kind::AuditEvent, 0x07ea_deac_1b12_87e2),
        ] {
            assert_eq!(hamba(kind.avro_schema()), SchemaReference::Fingerprint(expected));
        }
    }
}
