//! Horolog's own records as JSON.
//!
//! Enters: an object. Leaves: a metric sample or an audit event with the fields of the Avro schemas. Text that is missing
//! or null is the empty string, and a number is text as it is written; times may have any form that the importer reads.
//! Unknown fields are refused: they would be lost silently.

mod audit;
mod metric;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::json_fields::{Text, read};
use super::json_layout::fields;
use super::json_text::text;
use super::mapping::{Mapping, NdjsonKind};
use super::output::{Output, Skip, excerpt};

/// How many fields of an object that is no record of ours are told.
const FIELDS_TOLD_MAX: usize = 10;

/// Reads one line.
pub fn line(line: &str, mapping: &Mapping, output: &mut dyn Output) {
    let result = match kind(line, mapping) {
        Ok(NdjsonKind::Metric) => metric::sample(line, mapping).map(|sample| output.metric(&sample)),
        Ok(NdjsonKind::Audit) => audit::event(line, mapping).map(|event| output.audit(&event)),
        Err(skip) => Err(skip),
    };
    if let Err(skip) = result {
        output.skip(skip);
    }
}

/// As the flag says, else as the fields show.
fn kind(line: &str, mapping: &Mapping) -> Result<NdjsonKind, Skip> {
    #[derive(Deserialize)]
    #[serde(expecting = "a JSON object")]
    struct Shown {
        metric_name: Option<IgnoredAny>,
        action: Option<IgnoredAny>,
    }
    if let Some(kind) = mapping.kind {
        return Ok(kind);
    }
    match read(line)? {
        Shown {
            metric_name: Some(_),
            action: None,
        } => Ok(NdjsonKind::Metric),
        Shown {
            metric_name: None,
            action: Some(_),
        } => Ok(NdjsonKind::Audit),
        Shown {
            metric_name: Some(_),
            action: Some(_),
        } => Err(Skip::BothKinds),
        _ => {
            let names = fields(line.trim_start().as_bytes()).map(|(name, _)| excerpt(&String::from_utf8_lossy(name)));
            let found = names.take(FIELDS_TOLD_MAX).collect();
            Err(Skip::UnknownKind { found })
        }
    }
}

/// Tells where a field belongs that records do not have.
fn with_place(skip: Skip, place: &str) -> Skip {
    match skip {
        Skip::Json { detail } if detail.starts_with("unknown field") => Skip::Json {
            detail: format!("{detail}; what has no field of its own goes into `{place}`"),
        },
        skip => skip,
    }
}

/// The record's value, else the flag's. The empty string counts as missing, like an empty CSV cell.
fn or_flag(own: Option<Text>, flag: Option<&String>) -> String {
    (own.map(String::from).filter(|own| !own.is_empty()))
        .or_else(|| flag.cloned())
        .unwrap_or_default()
}

fn or_empty(text: Option<Text>) -> String {
    text.map(String::from).unwrap_or_default()
}

fn texts(map: Option<BTreeMap<String, &RawValue>>) -> BTreeMap<String, String> {
    (map.into_iter().flatten())
        .map(|(name, value)| (name, text(Some(value))))
        .collect()
}

#[cfg(test)]
mod tests {
    use horolog_schemas::{AuditSource, AuditStatus, MetricType};
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::import::output::Collected;
    use crate::import::testing::mapping;

    fn read(json: &str, flags: &[&str]) -> Collected {
        let mut output = Collected::default();
        line(json, &mapping(flags), &mut output);
        output
    }

    const METRIC: &str = r#"{"tenant_id":"t","time":"2022-08-22T03:51:19.25Z","metric_name":"m","metric_type":"histogram",
        "service_id":"s","plugin_id":"p","user_id":"u","team_id":"te","environment":"e","value":1.5,"unit":"s","labels":{"a":"b","n":1}}"#;
    const AUDIT: &str = r#"{"event_id":"3c856bc0-1a07-4c18-89d9-4d9205856714","tenant_id":"t","occurred_at":1661140279250000,"user_id":"u",
        "source":"webhook","action":"login","old_value":{"a": 1},"new_value":"{\"a\":2}","status":"failure","metadata":{"k":"v"}}"#;

    #[test]
    fn reads_every_field_of_a_metric() {
        let sample = read(
            METRIC,
            &["--tenant", "x", "--service", "x", "--environment", "x", "--unit", "x"],
        )
        .metrics
        .remove(0);
        assert_eq!(
            (
                sample.tenant_id.as_str(),
                sample.service_id.as_str(),
                sample.plugin_id.as_str()
            ),
            ("t", "s", "p")
        );
        assert_eq!(
            (
                sample.user_id.as_str(),
                sample.team_id.as_str(),
                sample.environment.as_str()
            ),
            ("u", "te", "e")
        );
        assert_eq!(
            (sample.time, sample.metric_type, sample.value),
            (1_661_140_279_250_000, MetricType::Histogram, 1.5)
        );
        assert_eq!(
            (
                sample.unit.as_str(),
                sample.labels["a"].as_str(),
                sample.labels["n"].as_str()
            ),
            ("s", "b", "1")
        );
    }

    #[test]
    fn reads_an_audit_event_with_json_as_such_or_as_text() {
        let event = read(AUDIT, &[]).audits.remove(0);
        assert_eq!(event.event_id, "3c856bc0-1a07-4c18-89d9-4d9205856714");
        assert_eq!(
            (event.tenant_id.as_str(), event.user_id.as_str(), event.occurred_at),
            ("t", "u", 1_661_140_279_250_000)
        );
        assert_eq!(
            (event.old_value.as_str(), event.new_value.as_str()),
            (r#"{"a": 1}"#, r#"{"a":2}"#)
        );
        let words = read(
            r#"{"action":"a","occurred_at":1,"old_value":"off","new_value":"true"}"#,
            &[],
        )
        .audits
        .remove(0);
        assert_eq!(
            (words.old_value.as_str(), words.new_value.as_str()),
            (r#""off""#, "true")
        );
        assert_eq!(
            (event.source, event.status),
            (AuditSource::Webhook, AuditStatus::Failure)
        );
    }

    #[test]
    fn flags_fill_in_what_a_record_does_not_say() {
        let output = read(
            r#"{"tenant_id":"","time":1,"metric_name":"m","value":"NaN"}"#,
            &["--service", "s", "--metric-type", "counter"],
        );
        let sample = &output.metrics[0];
        assert_eq!(
            (
                sample.tenant_id.as_str(),
                sample.service_id.as_str(),
                sample.metric_type
            ),
            ("demo", "s", MetricType::Counter)
        );
        assert!(sample.value.is_nan() && sample.labels.is_empty());
    }

    #[test]
    fn what_is_null_is_missing() {
        let json = r#"{"time":1,"metric_name":"m","value":1,"user_id":null,"labels":null,"metric_type":null}"#;
        assert_eq!(read(json, &[]).metrics.len(), 1);
        let json = r#"{"occurred_at":1,"action":"a","event_id":null,"status":null,"ip_address":null,"metadata":null}"#;
        let event = read(json, &[]).audits.remove(0);
        assert_eq!((event.status, event.ip_address.as_str()), (AuditStatus::Success, ""));
        assert!(!event.event_id.is_empty());
    }

    #[test]
    fn what_is_wrong_is_told_with_its_field_and_a_number_is_as_good_as_text() {
        let said = |json: &str| read(json, &[]).skips[0].to_string();
        let status = said(r#"{"action":"a","occurred_at":1,"status":"odd"}"#);
        assert!(
            status.starts_with("`status`: unknown variant `odd`, expected one of `success`"),
            "{status}"
        );
        let user = said(r#"{"action":"a","occurred_at":1,"user_id":{"name":"ann"}}"#);
        assert_eq!(user, "`user_id`: expected text, found an object");
        let time = said(r#"{"action":"a","occurred_at":"noon"}"#);
        assert!(time.starts_with("`noon` in `occurred_at` is not a time"), "{time}");
        let event = read(r#"{"action":"a","occurred_at":1,"user_id":1001}"#, &[])
            .audits
            .remove(0);
        assert_eq!(event.user_id, "1001");
    }

    #[test]
    fn what_others_write_is_told_with_how_to_make_it_ours() {
        let said = |json: &str| read(json, &[]).skips[0].to_string();
        let nginx = said(r#"{"time":"2024-05-01T10:00:00Z","remote_addr":"1.2.3.4","status":200}"#);
        assert!(
            nginx.contains("its fields are time, remote_addr, status; give them our names"),
            "{nginx}"
        );
        let unknown = said(r#"{"action":"a","occurred_at":1,"actor":"ann"}"#);
        assert!(unknown.starts_with("unknown field `actor`"), "{unknown}");
        assert!(
            unknown.ends_with("what has no field of its own goes into `metadata`"),
            "{unknown}"
        );
        assert!(said(r#"{"metric_name":"m","action":"a"}"#).contains("--kind"));
    }

    #[test]
    fn an_id_is_derived_from_the_record_and_not_from_its_spelling() {
        let first = read(r#"{"action":"login","occurred_at":1,"user_id":"u"}"#, &[])
            .audits
            .remove(0);
        let again = read(r#"{ "user_id":"u", "occurred_at":1, "action":"login" }"#, &[])
            .audits
            .remove(0);
        let other = read(r#"{"action":"login","occurred_at":2,"user_id":"u"}"#, &[])
            .audits
            .remove(0);
        assert_eq!(first, again);
        assert_ne!(first.event_id, other.event_id);
    }

    #[test]
    fn an_id_that_is_no_uuid_is_derived_and_its_own_is_kept() {
        let json = r#"{"action":"login","occurred_at":1,"event_id":"evt_01H","metadata":{"k":"v"}}"#;
        let event = read(json, &[]).audits.remove(0);
        assert_eq!(Uuid::parse_str(&event.event_id).unwrap().get_version_num(), 5);
        assert_eq!(event.metadata["event_id"], "evt_01H");
        assert_eq!(read(json, &[]).audits, [event]);
        let json = r#"{"action":"login","occurred_at":1,"event_id":10442,"metadata":{"event_id":"other"}}"#;
        let event = read(json, &[]).audits.remove(0);
        let ids = ["event_id", "event_id_of_source"].map(|name| event.metadata[name].as_str());
        assert_eq!(ids, ["other", "10442"]);
    }

    #[test]
    fn what_is_no_record_is_skipped_with_its_reason() {
        for (json, reason) in [
            ("", "malformed JSON"),
            ("7", "malformed JSON"),
            ("{}", "unknown kind of record"),
            (r#"{"metric_name":"m","action":"a"}"#, "unknown kind of record"),
            (r#"{"metric_name":"m","time":1}"#, "missing field"),
            (r#"{"metric_name":"m","time":1,"value":null}"#, "missing field"),
            (r#"{"metric_name":"m","time":1,"value":"x"}"#, "invalid number"),
            (r#"{"metric_name":"m","value":1}"#, "missing field"),
            (r#"{"metric_name":"m","value":1,"time":"noon"}"#, "invalid time"),
            (r#"{"metric_name":"m","time":1,"value":1,"valeu":2}"#, "malformed JSON"),
            (r#"{"action":"a","occurred_at":1,"status":"odd"}"#, "malformed JSON"),
        ] {
            assert_eq!(read(json, &[]).skips.first().map(Skip::reason), Some(reason), "{json}");
        }
        assert_eq!(
            read(r#"{"occurred_at":1}"#, &["--kind", "audit"]).skips,
            [Skip::missing("action")]
        );
    }

    proptest! {
        #[test]
        fn any_changed_byte_gives_one_record_or_one_skip(at in 0..METRIC.len().min(AUDIT.len()), byte in 0u8..128) {
            for record in [METRIC, AUDIT] {
                let mut bytes = record.as_bytes().to_vec();
                bytes[at] = byte;
                let output = read(std::str::from_utf8(&bytes).unwrap(), &[]);
                prop_assert_eq!(output.metrics.len() + output.audits.len() + output.skips.len(), 1);
            }
        }
    }
}
