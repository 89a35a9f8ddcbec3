//! The validation rules, each on both sides of its boundary.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod batch;

use std::sync::Arc;

use batch::{TIMESTAMP_MS, decode, decoder, encoded_event, encoded_sample, golden_event, golden_sample, raw};
use horolog_schemas::{AuditEvent, Decoder, Kind, MetricSample, RawRecord, Reason, Step, WriterSchemas};

/// 2000-01-01, microseconds.
const YEAR_2000_US: i64 = 946_684_800_000_000;
const DAY_US: i64 = 86_400_000_000;

fn verdict(kind: Kind, payload: &[u8], timestamp_ms: i64) -> Option<(Reason, String)> {
    let record = RawRecord {
        offset: 0,
        timestamp_ms,
        key: None,
        payload: Some(payload),
    };
    let mut decoded = decoder(kind).decode(&[record]).unwrap();
    let rejected = decoded.rejected.pop()?;
    Some((rejected.reason, rejected.detail))
}

fn sample_verdict(change: impl Fn(&mut MetricSample)) -> Option<Reason> {
    let mut sample = golden_sample();
    change(&mut sample);
    let reason = verdict(Kind::MetricSample, &encoded_sample(&sample), TIMESTAMP_MS).map(|(reason, _)| reason);
    assert_eq!(sample.broken_rule(TIMESTAMP_MS), reason, "known to who sends it");
    reason
}

fn event_verdict(change: impl Fn(&mut AuditEvent)) -> Option<Reason> {
    let mut event = golden_event();
    change(&mut event);
    let reason = verdict(Kind::AuditEvent, &encoded_event(&event), TIMESTAMP_MS).map(|(reason, _)| reason);
    assert_eq!(event.broken_rule(TIMESTAMP_MS), reason, "known to who sends it");
    reason
}

#[test]
fn a_value_is_finite() {
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(
            sample_verdict(|sample| sample.value = value),
            Some(Reason::ValueNotFinite)
        );
    }
    for value in [0.0, -0.0, f64::MAX, f64::MIN, f64::MIN_POSITIVE / 4.0] {
        assert_eq!(sample_verdict(|sample| sample.value = value), None);
    }
}

#[test]
fn names_are_not_empty() {
    assert_eq!(
        sample_verdict(|sample| sample.tenant_id.clear()),
        Some(Reason::EmptyTenantId)
    );
    assert_eq!(
        sample_verdict(|sample| sample.metric_name.clear()),
        Some(Reason::EmptyMetricName)
    );
    assert_eq!(
        event_verdict(|event| event.tenant_id.clear()),
        Some(Reason::EmptyTenantId)
    );
    assert_eq!(event_verdict(|event| event.action.clear()), Some(Reason::EmptyAction));
    assert_eq!(sample_verdict(|sample| sample.service_id.clear()), None);
}

#[test]
fn a_time_is_from_2000_to_a_day_after_the_kafka_timestamp() {
    let timestamp_us = TIMESTAMP_MS * 1000;
    for (time, expected) in [
        (i64::MIN, Some(Reason::TimeTooEarly)),
        (-1, Some(Reason::TimeTooEarly)),
        (YEAR_2000_US - 1, Some(Reason::TimeTooEarly)),
        (YEAR_2000_US, None),
        (timestamp_us + DAY_US, None),
        (timestamp_us + DAY_US + 1, Some(Reason::TimeInFuture)),
        (i64::MAX, Some(Reason::TimeInFuture)),
    ] {
        assert_eq!(sample_verdict(|sample| sample.time = time), expected, "{time}");
        assert_eq!(event_verdict(|event| event.occurred_at = time), expected, "{time}");
    }
}

#[test]
fn a_kafka_timestamp_is_one_that_clickhouse_can_hold() {
    let year_2100_ms = 4_102_444_800_000;
    let payload = encoded_sample(&MetricSample {
        time: YEAR_2000_US,
        ..golden_sample()
    });
    let reason = |timestamp_ms| verdict(Kind::MetricSample, &payload, timestamp_ms).map(|(reason, _)| reason);
    for timestamp_ms in [i64::MIN, -1, year_2100_ms, i64::MAX] {
        assert_eq!(
            reason(timestamp_ms),
            Some(Reason::KafkaTimestampOutOfRange),
            "{timestamp_ms}"
        );
    }
    assert_eq!(reason(0), Some(Reason::TimeInFuture));
    assert_eq!(reason(year_2100_ms - 1), None);
}

#[test]
fn an_event_id_is_a_uuid() {
    for text in [
        "",
        "17",
        "01234567-89ab-4def-8123-456789abcde",
        "01234567-89ab-4def-8123-456789abcdeg",
        "not a uuid at all",
    ] {
        assert_eq!(
            event_verdict(|event| event.event_id = text.into()),
            Some(Reason::EventIdNotUuid),
            "{text}"
        );
    }
    for text in [
        "01234567-89AB-4DEF-8123-456789ABCDEF",
        "0123456789ab4def8123456789abcdef",
    ] {
        assert_eq!(event_verdict(|event| event.event_id = text.into()), None, "{text}");
    }
}

#[test]
fn values_of_an_event_are_json_or_empty() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for text in [
        "",
        "null",
        "42",
        "\"text\"",
        "{\"a\": [1, 2.5e300, {}]}",
        " [] ",
        "{\"ü\": \"\\ud83d\\ude00\"}",
        &deep,
    ] {
        assert_eq!(
            event_verdict(|event| event.old_value = text.into()),
            None,
            "{:.20}",
            text
        );
        assert_eq!(
            event_verdict(|event| event.new_value = text.into()),
            None,
            "{:.20}",
            text
        );
    }
    let unclosed = "[".repeat(100_000);
    for text in [
        "{",
        "{} {}",
        "{'a': 1}",
        "NaN",
        "undefined",
        "{\"a\": 01}",
        "\"\u{1}\"",
        " ",
        &unclosed,
    ] {
        assert_eq!(
            event_verdict(|event| event.old_value = text.into()),
            Some(Reason::OldValueNotJson),
            "{:.20}",
            text
        );
        assert_eq!(
            event_verdict(|event| event.new_value = text.into()),
            Some(Reason::NewValueNotJson),
            "{:.20}",
            text
        );
    }
}

#[test]
fn a_map_has_each_key_once() {
    // Few keys are compared pairwise, many are hashed.
    for entries in [2usize, 17, 40_000] {
        let labels = (0..entries)
            .map(|number| (format!("key-{number:05}"), String::new()))
            .collect();
        let unique = encoded_sample(&MetricSample {
            labels,
            ..golden_sample()
        });
        assert_eq!(verdict(Kind::MetricSample, &unique, TIMESTAMP_MS), None);
        let mut twice = unique;
        let last = twice.len() - 3;
        twice.splice(last - 4..=last, *b"00000");
        let (reason, detail) = verdict(Kind::MetricSample, &twice, TIMESTAMP_MS).unwrap();
        assert_eq!(reason, Reason::DuplicateMapKey);
        assert!(detail.contains(&entries.to_string()), "{detail}");
    }
}

#[test]
fn payloads_that_are_not_there_have_reasons_of_their_own() {
    let tombstone = RawRecord {
        offset: 0,
        timestamp_ms: TIMESTAMP_MS,
        key: Some(b"acme/checkout"),
        payload: None,
    };
    let empty = RawRecord {
        payload: Some(b""),
        ..tombstone
    };
    let decoded = decoder(Kind::MetricSample).decode(&[tombstone, empty]).unwrap();
    let reasons: Vec<Reason> = decoded.rejected.iter().map(|rejected| rejected.reason).collect();
    assert_eq!(reasons, [Reason::Tombstone, Reason::EmptyPayload]);
}

#[test]
fn each_flaw_of_the_bytes_has_a_reason_of_its_own() {
    let good = encoded_sample(&golden_sample());
    let edit = |edit: &dyn Fn(&mut Vec<u8>)| {
        let mut payload = good.clone();
        edit(&mut payload);
        payload
    };
    let at = |text: &str| {
        good.windows(text.len())
            .position(|window| window == text.as_bytes())
            .unwrap()
    };
    let metric_type = at("http_request_duration") + "http_request_duration".len();
    for (payload, step, reason) in [
        (b"{\"value\": 1}".to_vec(), Step::Framing, Reason::UnknownFraming),
        (edit(&|payload| payload[5] ^= 1), Step::Framing, Reason::UnknownSchema),
        (vec![0, 0, 0, 0, 7, 1, 2], Step::Framing, Reason::UnknownSchema),
        (edit(&|payload| payload.truncate(60)), Step::Decode, Reason::Truncated),
        (edit(&|payload| payload.push(0)), Step::Decode, Reason::TrailingBytes),
        (
            edit(&|payload| payload[at("production")] = 0xFF),
            Step::Decode,
            Reason::NotUtf8,
        ),
        (
            edit(&|payload| payload[at("region") + 1] = 0xFF),
            Step::Decode,
            Reason::NotUtf8,
        ),
        // A surrogate and an overlong slash are not valid UTF-8 either.
        (
            edit(&|payload| {
                payload
                    .splice(at("pro")..at("pro") + 3, [0xED, 0xA0, 0x80])
                    .for_each(drop)
            }),
            Step::Decode,
            Reason::NotUtf8,
        ),
        (
            edit(&|payload| payload.splice(at("pro")..at("pro") + 2, [0xC0, 0xAF]).for_each(drop)),
            Step::Decode,
            Reason::NotUtf8,
        ),
        (
            edit(&|payload| payload[metric_type] = 6),
            Step::Decode,
            Reason::UnknownSymbol,
        ),
        (
            edit(&|payload| payload[metric_type] = 1),
            Step::Decode,
            Reason::UnknownSymbol,
        ),
    ] {
        let (found, detail) = verdict(Kind::MetricSample, &payload, TIMESTAMP_MS).unwrap();
        assert_eq!((found.step(), found), (step, reason), "{detail}");
    }
}

#[test]
fn the_first_broken_rule_is_the_reason() {
    let worst = MetricSample {
        time: 0,
        value: f64::NAN,
        tenant_id: String::new(),
        ..golden_sample()
    };
    let (reason, detail) = verdict(Kind::MetricSample, &encoded_sample(&worst), TIMESTAMP_MS).unwrap();
    assert_eq!(
        (reason, detail.as_str()),
        (Reason::TimeTooEarly, "time is 1970-01-01T00:00:00Z, before 2000-01-01")
    );
    assert_eq!(worst.broken_rule(TIMESTAMP_MS), Some(reason));
}

#[test]
fn a_time_in_another_unit_is_told_with_that_unit() {
    let rejected = |time| {
        let sample = MetricSample {
            time,
            ..golden_sample()
        };
        verdict(Kind::MetricSample, &encoded_sample(&sample), TIMESTAMP_MS).unwrap()
    };
    for (time, unit) in [(TIMESTAMP_MS, "milliseconds"), (TIMESTAMP_MS / 1_000, "seconds")] {
        let (reason, detail) = rejected(time);
        assert_eq!(reason, Reason::TimeTooEarly);
        assert!(
            detail.ends_with(&format!("before 2000-01-01: {unit} instead of microseconds?")),
            "{detail}"
        );
    }
    for time in [i64::MIN, -TIMESTAMP_MS, 0, YEAR_2000_US - 1] {
        let (_, detail) = rejected(time);
        assert!(detail.ends_with("before 2000-01-01"), "{detail}");
    }
}

#[test]
fn a_detail_does_not_quote_the_record() {
    let secret = "hunter2";
    for event in [
        AuditEvent {
            old_value: secret.into(),
            ..golden_event()
        },
        AuditEvent {
            event_id: secret.into(),
            ..golden_event()
        },
    ] {
        let (_, detail) = verdict(Kind::AuditEvent, &encoded_event(&event), TIMESTAMP_MS).unwrap();
        assert!(!detail.contains(secret), "{detail}");
    }
}

/// A retry must give the same block: with another decoder and in another batch, the verdict is the same.
#[test]
fn a_verdict_depends_on_nothing_but_the_record() {
    let payloads: Vec<Vec<u8>> = (0..300usize)
        .map(|number| {
            let mut payload = encoded_sample(&golden_sample());
            let at = number * 7 % payload.len();
            payload[at] = number as u8;
            payload
        })
        .collect();
    let records = raw(&payloads);
    let whole = decode(Kind::MetricSample, &payloads).rejected;
    let schemas = Arc::new(WriterSchemas::load(Kind::MetricSample, None).unwrap());
    let mut one_by_one = Vec::new();
    for (position, record) in (0..).zip(&records) {
        let decoded = Decoder::new(Arc::clone(&schemas))
            .decode(std::slice::from_ref(record))
            .unwrap();
        one_by_one.extend(decoded.rejected.into_iter().map(|mut rejected| {
            rejected.position = position;
            rejected
        }));
    }
    assert_eq!(whole, one_by_one);
}

#[test]
fn codes_are_unique_and_snake_case() {
    let mut codes: Vec<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert!(codes.iter().all(|code| {
        code.bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte == b'8')
    }));
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), Reason::ALL.len());
}
