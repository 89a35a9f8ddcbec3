//! The query service as a caller meets it: the real binary in front of the real engine, with rows written by SQL.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod bed;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;
use std::time::Duration;

use bed::{Bed, Proc, wait_until};
use proptest::prelude::*;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use url::Url;

const DEADLINE: Duration = Duration::from_secs(30);
const HOURS: &str = "/v1/metrics/hourly";
const EVENTS: &str = "/v1/audit/events";

struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The parameter that a refusal names.
    #[track_caller]
    fn refused_parameter(&self) -> String {
        assert_eq!(self.status, 400, "{}", self.text);
        assert_is_problem(self);
        self.json()["parameter"].as_str().unwrap().to_owned()
    }
}

/// The service that most tests share.
fn service() -> &'static Proc {
    static SERVICE: OnceLock<Proc> = OnceLock::new();
    SERVICE.get_or_init(|| ready(Bed::shared(), &[]))
}

fn ready(bed: &Bed, env: &[(&str, &str)]) -> Proc {
    let mut service = bed.spawn("horolog-query", env);
    wait_until(DEADLINE, "the query service is ready", || {
        assert!(service.exited().is_none(), "{}", service.log_tail());
        let url = format!("{}/readyz", service.http());
        bed.try_get(&url).is_ok_and(|(status, _)| status == 200)
    });
    service
}

fn send(bed: &Bed, request: reqwest::RequestBuilder) -> Answer {
    bed.block_on(async {
        let response = request.timeout(DEADLINE).send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer {
            status,
            headers,
            text: response.text().await.unwrap(),
        }
    })
}

fn get_at(bed: &Bed, service: &Proc, path: &str, parameters: &[(&str, &str)]) -> Answer {
    let url = Url::parse_with_params(&format!("{}{path}", service.http()), parameters).unwrap();
    send(bed, reqwest::Client::new().get(url))
}

fn get(path: &str, parameters: &[(&str, &str)]) -> Answer {
    get_at(Bed::shared(), service(), path, parameters)
}

#[track_caller]
fn rows(path: &str, parameters: &[(&str, &str)]) -> Vec<Value> {
    let answer = get(path, parameters);
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["rows"].as_array().unwrap().clone()
}

/// All rows by following `next_cursor`, calling `between` after each page.
#[track_caller]
fn pages(path: &str, parameters: &[(&str, &str)], mut between: impl FnMut()) -> Vec<Value> {
    let (mut rows, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let continued = cursor.iter().map(|cursor| ("cursor", cursor.as_str()));
        let answer = get(path, &parameters.iter().copied().chain(continued).collect::<Vec<_>>());
        assert_eq!(answer.status, 200, "{}", answer.text);
        let page = answer.json();
        rows.extend(page["rows"].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => return rows,
        }
        between();
    }
}

#[track_caller]
fn assert_is_problem(answer: &Answer) {
    assert_eq!(answer.header("content-type"), "application/problem+json");
    let problem = answer.json();
    assert_eq!(problem["status"], answer.status);
    assert_eq!(problem["request_id"], answer.header("x-request-id"));
    for member in ["type", "title", "detail"] {
        assert!(problem[member].is_string(), "{member}: {problem}");
    }
    for secret in [
        "select ",
        "SELECT",
        "DB::Exception",
        "metrics_hourly_view",
        "audit_logs",
        "panicked",
        ".rs:",
    ] {
        assert!(!answer.text.contains(secret), "{secret}: {}", answer.text);
    }
}

/// `hours` hours from 2026-01-01 of two metrics, two services and two units for a tenant; the count is the number of the hour
/// plus 1, every sample has the value 1.5.
fn insert_hours(tenant: &str, hours: u32) {
    Bed::shared().execute(&format!(
        "insert into metrics_hourly select '{tenant}', m, toDateTime('2026-01-01 00:00:00', 'UTC') + 3600 * h, s, '', 'prod', '', \
         'gauge', u, 0, 0, h + 1, 0, 1.5 * (h + 1), 1.5, 1.5, (now64(6), 0, h, 1.5), map(toInt32(37), toUInt64(h + 1)), \
         map(), 0, now64(3) \
         from (select arrayJoin(['cpu', 'mem']) as m, arrayJoin(['api', 'web']) as s, arrayJoin(['', '%']) as u, \
         arrayJoin(range({hours})) as h)"
    ));
}

/// One event for a tenant; `number` gives its id, time and coordinates apart from the columns in `set`.
fn insert_event(tenant: &str, number: u32, set: &[(&str, &str)]) {
    let id = format!("toUUID('00000000-0000-4000-8000-{number:012}')");
    let at = format!("toDateTime64('2026-01-01 00:00:00', 6, 'UTC') + {number}");
    let (tenant, number) = (format!("'{tenant}'"), number.to_string());
    let mut columns = BTreeMap::from([
        ("event_id", id.as_str()),
        ("tenant_id", &tenant),
        ("occurred_at", &at),
        ("user_id", "'ann'"),
        ("source", "'api'"),
        ("action", "'update'"),
        ("resource_type", "'doc'"),
        ("resource_id", "'d1'"),
        ("status", "'success'"),
        ("kafka_topic", "'audit-events'"),
        ("kafka_partition", "0"),
        ("kafka_offset", &number),
        ("kafka_timestamp", "toDateTime64('2026-01-01 00:00:00', 3, 'UTC')"),
        ("log_epoch", "1"),
        ("inserted_at", "now64(3)"),
    ]);
    columns.extend(set.iter().copied());
    let names = columns.keys().copied().collect::<Vec<_>>().join(", ");
    let values = columns.values().copied().collect::<Vec<_>>().join(", ");
    Bed::shared().execute(&format!("insert into audit_logs ({names}) select {values}"));
}

fn event_numbers(rows: &[Value]) -> Vec<u32> {
    let last_digits = |row: &Value| row["event_id"].as_str().unwrap()[24..].parse().unwrap();
    rows.iter().map(last_digits).collect()
}

#[test]
fn an_hour_has_its_key_and_its_numbers() {
    insert_hours("shape", 2);
    let answer = get(
        HOURS,
        &[
            ("tenant_id", "shape"),
            ("metric_name", "cpu"),
            ("service_id", "api"),
            ("from", "2026-01-01T01:00:00Z"),
        ],
    );
    let answer = answer.json();
    let members: BTreeSet<_> = answer.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, BTreeSet::from(["complete_through", "rows", "next_cursor"]));
    assert_eq!(
        answer["rows"],
        json!(["", "%"].map(|unit| json!({
            "hour": "2026-01-01T01:00:00Z", "tenant_id": "shape", "metric_name": "cpu", "service_id": "api", "plugin_id": "",
            "environment": "prod", "team_id": "", "metric_type": "gauge", "unit": unit, "count": 2, "late_count": 0, "sum": 3.0,
            "avg": 1.5, "min": 1.5, "max": 1.5, "last": 1.5, "p50": 1.5, "p95": 1.5, "p99": 1.5,
        })))
    );
}

#[test]
fn partial_aggregates_of_an_hour_are_one_row() {
    insert_hours("partials", 1);
    insert_hours("partials", 1);
    let rows = rows(HOURS, &[("tenant_id", "partials")]);
    assert_eq!(rows.len(), 8);
    assert!(rows.iter().all(|row| row["count"] == 2 && row["sum"] == 3.0));
}

#[test]
fn hours_in_pages_are_all_hours_once_and_in_order() {
    insert_hours("paged", 25);
    let key = |row: &Value| {
        ["metric_name", "hour", "service_id", "unit"].map(|column| row[column].as_str().unwrap().to_owned())
    };
    for limit in ["1", "7", "200", "10000"] {
        let rows = pages(HOURS, &[("tenant_id", "paged"), ("limit", limit)], || ());
        let keys: Vec<_> = rows.iter().map(key).collect();
        assert_eq!(keys.len(), 200, "limit {limit}");
        assert!(keys.is_sorted_by(|one, next| one < next), "limit {limit}");
    }
    let of_one_metric = [("tenant_id", "paged"), ("metric_name", "mem"), ("limit", "9")];
    assert_eq!(pages(HOURS, &of_one_metric, || ()).len(), 100);
}

#[test]
fn hours_that_arrive_between_pages_neither_repeat_nor_hide_others() {
    insert_hours("growing", 10);
    let mut hours = 10;
    let rows = pages(HOURS, &[("tenant_id", "growing"), ("limit", "11")], || {
        hours += 1;
        insert_hours("growing", hours);
    });
    let keys: Vec<_> = rows
        .iter()
        .map(|row| {
            format!(
                "{}{}{}{}",
                row["metric_name"], row["hour"], row["service_id"], row["unit"]
            )
        })
        .collect();
    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len());
    let old = |row: &&Value| row["hour"].as_str().unwrap() < "2026-01-01T10:00:00Z";
    assert_eq!(rows.iter().filter(old).count(), 80);
}

#[test]
fn filters_and_spans_select_what_they_say() {
    insert_hours("filtered", 24);
    for (filters, expected) in [
        (vec![], 192),
        (vec![("metric_name", "cpu")], 96),
        (vec![("service_id", "web")], 96),
        (vec![("plugin_id", "")], 192),
        (vec![("plugin_id", "p")], 0),
        (
            vec![("environment", "prod"), ("metric_name", "mem"), ("service_id", "api")],
            48,
        ),
        (vec![("metric_name", "cpu' or '1'='1")], 0),
        (
            vec![("from", "2026-01-01T06:00:00Z"), ("to", "2026-01-01T07:00:00Z")],
            8,
        ),
        (
            vec![("from", "2026-01-01T08:00:00+02:00"), ("to", "2026-01-01T06:30:00Z")],
            8,
        ),
        (
            vec![("from", "2026-01-01T06:30:00Z"), ("to", "2026-01-01T08:00:00Z")],
            8,
        ),
        (vec![("from", "1767225600"), ("to", "2026-01-02")], 192),
        (vec![("from", "2026-01-02")], 0),
        (vec![("to", "2026-01-01")], 0),
        (vec![("from", "0001-01-01"), ("to", "9999-12-31")], 192),
    ] {
        let parameters: Vec<_> = [("tenant_id", "filtered"), ("limit", "1000")]
            .into_iter()
            .chain(filters.clone())
            .collect();
        assert_eq!(rows(HOURS, &parameters).len(), expected, "{filters:?}");
    }
}

#[test]
fn a_tenant_sees_its_own_rows_only() {
    for (number, tenant) in ["red", "blue"].into_iter().enumerate() {
        insert_hours(tenant, 3);
        insert_event(tenant, number as u32, &[]);
    }
    for tenant in ["red", "blue"] {
        for (path, count) in [(HOURS, 24), (EVENTS, 1)] {
            let rows = rows(path, &[("tenant_id", tenant)]);
            assert_eq!(rows.len(), count);
            assert!(rows.iter().all(|row| row["tenant_id"] == tenant));
        }
    }
    for other in [
        "red' or 1=1 --",
        "%",
        "*",
        "red\0",
        "RED",
        "red,blue",
        "{tenant_id:String}",
        "red\\",
    ] {
        assert!(rows(HOURS, &[("tenant_id", other)]).is_empty(), "{other}");
        assert!(rows(EVENTS, &[("tenant_id", other)]).is_empty(), "{other}");
    }
}

#[test]
fn a_cursor_of_one_tenant_shows_nothing_of_it_to_another() {
    insert_hours("mine", 3);
    insert_hours("yours", 3);
    let cursor = get(HOURS, &[("tenant_id", "mine"), ("limit", "1")]).json()["next_cursor"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        get(HOURS, &[("tenant_id", "yours"), ("cursor", &cursor)]).refused_parameter(),
        "cursor"
    );
    assert_eq!(
        get(EVENTS, &[("tenant_id", "mine"), ("cursor", &cursor)]).refused_parameter(),
        "cursor"
    );
}

#[test]
fn any_text_is_found_by_its_exact_value() {
    let texts = [
        "plain",
        "it's",
        "back\\slash",
        "\\N",
        "\\t",
        "tab\tline\nreturn\r",
        "nul\0",
        "ä 日本 🦀",
        "{x:String}",
        "?",
        "%25",
        "\"",
        "a b+c",
        "",
    ];
    let values: Vec<_> = texts
        .iter()
        .enumerate()
        .map(|(number, text)| (number, hex(text)))
        .collect();
    for (number, value) in &values {
        let (number, value) = (*number as u32, value.as_str());
        insert_event("texts", number, &[("user_id", value), ("resource_id", value)]);
        Bed::shared().execute(&format!(
            "insert into metrics_hourly select 'texts', 'm', toDateTime('2026-01-01 00:00:00', 'UTC'), {value}, {value}, '', '', \
             'counter', '', 0, 0, 1, 0, 1., 1., 1., (now64(6), 0, {number}, 1.), map(), map(), 1, now64(3)"
        ));
    }
    for (number, text) in texts.iter().enumerate() {
        let events = rows(
            EVENTS,
            &[("tenant_id", "texts"), ("user_id", text), ("resource_id", text)],
        );
        assert_eq!(event_numbers(&events), [number as u32], "{text:?}");
        assert_eq!(events[0]["user_id"], *text);
        let hours = rows(
            HOURS,
            &[("tenant_id", "texts"), ("service_id", text), ("plugin_id", text)],
        );
        assert_eq!(hours.len(), 1, "{text:?}");
    }
    let paged = pages(HOURS, &[("tenant_id", "texts"), ("limit", "1")], || ());
    let seen: BTreeSet<_> = paged.iter().map(|row| row["service_id"].as_str().unwrap()).collect();
    assert_eq!((paged.len(), seen), (texts.len(), BTreeSet::from(texts)));
}

/// A text as SQL that no escaping can get wrong.
fn hex(text: &str) -> String {
    let digits: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("unhex('{digits}')")
}

#[test]
fn complete_through_is_the_minimum_over_all_partitions_and_null_before() {
    let bed = Bed::shared();
    let service = ready(bed, &[("HOROLOG_QUERY__SOURCE__METRICS_TOPIC", "progressing")]);
    let claim = || get_at(bed, &service, HOURS, &[("tenant_id", "anyone")]).json()["complete_through"].clone();
    let report = |partition: u32, epoch: u32, partitions: u32, watermark: &str| {
        bed.execute(&format!(
            "insert into partition_progress select 'progressing', {partition}, {epoch}, {partitions}, 10, \
             toDateTime64('{watermark}', 3, 'UTC'), now64(3)"
        ));
    };
    assert_eq!(claim(), Value::Null);
    report(0, 1, 2, "2026-01-01 05:00:00.250");
    assert_eq!(claim(), Value::Null, "partition 1 has not reported");
    report(1, 1, 2, "2026-01-01 03:00:00");
    assert_eq!(claim(), "2026-01-01T03:00:00Z");
    report(1, 1, 2, "2026-01-01 06:00:00");
    assert_eq!(claim(), "2026-01-01T05:00:00.250Z");
    report(1, 1, 2, "2026-01-01 02:00:00");
    assert_eq!(
        claim(),
        "2026-01-01T05:00:00.250Z",
        "a watermark that was stated is not withdrawn"
    );
    report(0, 2, 2, "1970-01-01 00:00:00");
    assert_eq!(claim(), Value::Null, "the partition began a new life");
    report(0, 2, 2, "2026-01-01 04:00:00");
    assert_eq!(claim(), "2026-01-01T04:00:00Z");
    report(1, 1, 3, "2026-01-01 06:00:00");
    assert_eq!(claim(), Value::Null, "partition 2 was added");
}

#[test]
fn an_event_has_all_its_fields_and_its_place_in_kafka() {
    insert_event(
        "full",
        7,
        &[
            ("team_id", "'t'"),
            ("service_id", "'s'"),
            ("plugin_id", "'p'"),
            ("resource_name", "'Doc'"),
            ("old_value", "'{\"n\": 12345678901234567890123, \"a\": [1, null]}'"),
            ("new_value", "''"),
            ("ip_address", "'::1'"),
            ("user_agent", "'curl'"),
            ("session_id", "'x'"),
            ("request_id", "'r'"),
            ("status", "'failure'"),
            ("error_message", "'no'"),
            ("metadata", "map('b', '2', 'a', '1')"),
            ("kafka_partition", "3"),
        ],
    );
    let answer = get(EVENTS, &[("tenant_id", "full")]);
    assert!(
        answer.text.contains("12345678901234567890123"),
        "large numbers stay exact: {}",
        answer.text
    );
    let answer = answer.json();
    assert_eq!(
        (&answer["complete_through"], &answer["next_cursor"]),
        (&Value::Null, &Value::Null)
    );
    let mut event = answer["rows"][0].clone();
    let members = event.as_object_mut().unwrap();
    assert!(members.remove("inserted_at").unwrap().as_str().unwrap().ends_with('Z'));
    assert_eq!(members.remove("old_value").unwrap()["a"], json!([1, null]));
    assert_eq!(
        event,
        json!({
            "event_id": "00000000-0000-4000-8000-000000000007", "tenant_id": "full", "occurred_at": "2026-01-01T00:00:07Z",
            "user_id": "ann", "team_id": "t", "service_id": "s", "plugin_id": "p", "source": "api", "action": "update",
            "resource_type": "doc", "resource_id": "d1", "resource_name": "Doc", "new_value": null, "ip_address": "::1",
            "user_agent": "curl", "session_id": "x", "request_id": "r", "status": "failure", "error_message": "no",
            "metadata": {"a": "1", "b": "2"},
            "kafka": {"topic": "audit-events", "log_epoch": 1, "partition": 3, "offset": 7, "timestamp": "2026-01-01T00:00:00Z"},
        })
    );
}

#[test]
fn events_are_newest_first_and_filters_select_what_they_say() {
    insert_event("search", 1, &[("user_id", "'bob'"), ("status", "'error'")]);
    insert_event("search", 2, &[("action", "'delete'"), ("resource_type", "'team'")]);
    insert_event(
        "search",
        3,
        &[
            ("resource_id", "''"),
            ("occurred_at", "toDateTime64('2025-12-31 23:59:59.999999', 6, 'UTC')"),
        ],
    );
    for (filters, expected) in [
        (vec![], vec![2, 1, 3]),
        (vec![("user_id", "bob")], vec![1]),
        (vec![("action", "delete")], vec![2]),
        (vec![("resource_type", "doc")], vec![1, 3]),
        (vec![("resource_id", "")], vec![3]),
        (vec![("status", "success")], vec![2, 3]),
        (vec![("status", "error"), ("action", "delete")], vec![]),
        (
            vec![("from", "2026-01-01T00:00:01Z"), ("to", "2026-01-01T00:00:02Z")],
            vec![1],
        ),
        (vec![("to", "2026-01-01")], vec![3]),
        (vec![("from", "0001-01-01"), ("to", "9999-12-31")], vec![2, 1, 3]),
    ] {
        let parameters: Vec<_> = [("tenant_id", "search")].into_iter().chain(filters.clone()).collect();
        assert_eq!(event_numbers(&rows(EVENTS, &parameters)), expected, "{filters:?}");
    }
}

#[test]
fn events_in_pages_are_all_events_once() {
    // Random ids, a hundred of them within one microsecond: the order among equal times must be the engine's own.
    Bed::shared().execute(
        "insert into audit_logs (event_id, tenant_id, occurred_at, source, action, status, kafka_topic, kafka_partition, \
         kafka_offset, kafka_timestamp, log_epoch, inserted_at) \
         select generateUUIDv4(number), 'many', toDateTime64('2026-01-01 00:00:00', 6, 'UTC') + intDiv(number, 100), 'ui', 'a', \
         'success', 'audit-events', 0, number, now64(3), 1, now64(3) from numbers(300)",
    );
    for limit in ["1", "13", "1000"] {
        let rows = pages(EVENTS, &[("tenant_id", "many"), ("limit", limit)], || ());
        let ids: BTreeSet<_> = rows.iter().map(|row| row["event_id"].as_str().unwrap()).collect();
        assert_eq!((rows.len(), ids.len()), (300, 300), "limit {limit}");
        assert!(rows.is_sorted_by(|one, next| one["occurred_at"].as_str() >= next["occurred_at"].as_str()));
    }
}

#[test]
fn a_repeated_event_is_shown_once_as_it_was_first() {
    insert_event("repeats", 1, &[("kafka_offset", "50"), ("user_id", "'second'")]);
    insert_event("repeats", 1, &[("kafka_offset", "40"), ("user_id", "'first'")]);
    // Not neighbours: the copy claims another time.
    insert_event("repeats", 2, &[("kafka_offset", "60")]);
    insert_event(
        "repeats",
        2,
        &[
            ("kafka_offset", "61"),
            ("occurred_at", "toDateTime64('2026-03-01 00:00:00', 6, 'UTC')"),
        ],
    );
    insert_event("repeats", 3, &[]);
    for limit in ["1", "2", "100"] {
        let rows = pages(EVENTS, &[("tenant_id", "repeats"), ("limit", limit)], || ());
        assert_eq!(event_numbers(&rows), [3, 2, 1], "limit {limit}");
        assert_eq!(rows[2]["user_id"], "first");
        assert_eq!(rows[1]["occurred_at"], "2026-01-01T00:00:02Z");
    }
    assert!(
        rows(EVENTS, &[("tenant_id", "repeats"), ("user_id", "second")]).is_empty(),
        "the event was not so at first"
    );
    assert!(rows(EVENTS, &[("tenant_id", "repeats"), ("from", "2026-02-01")]).is_empty());
    insert_event("repeats-elsewhere", 3, &[("kafka_offset", "1")]);
    assert_eq!(
        rows(EVENTS, &[("tenant_id", "repeats")]).len(),
        3,
        "the same id of another tenant is another event"
    );
}

#[test]
fn a_page_of_large_events_ends_early() {
    let bed = Bed::shared();
    let service = ready(bed, &[("HOROLOG_QUERY__LIMITS__PAGE_BYTES_MAX", "100000")]);
    for number in 0..5 {
        insert_event(
            "large",
            number,
            &[("new_value", "concat('\"', repeat('x', 60000), '\"')")],
        );
    }
    let first = get_at(bed, &service, EVENTS, &[("tenant_id", "large")]).json();
    assert_eq!(event_numbers(first["rows"].as_array().unwrap()), [4]);
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = get_at(bed, &service, EVENTS, &[("tenant_id", "large"), ("cursor", cursor)]).json();
    assert_eq!(event_numbers(second["rows"].as_array().unwrap()), [3]);
}

#[test]
fn a_refusal_names_the_parameter() {
    for (path, parameters, parameter) in [
        (HOURS, vec![], "tenant_id"),
        (EVENTS, vec![("tenant_id", "")], "tenant_id"),
        (HOURS, vec![("tenant_id", "a"), ("limit", "10001")], "limit"),
        (EVENTS, vec![("tenant_id", "a"), ("limit", "1001")], "limit"),
        (
            HOURS,
            vec![("tenant_id", "a"), ("limit", "1; drop table metrics")],
            "limit",
        ),
        (HOURS, vec![("tenant_id", "a"), ("from", "noon")], "from"),
        (EVENTS, vec![("tenant_id", "a"), ("to", "1767225600000")], "to"),
        (
            EVENTS,
            vec![("tenant_id", "a"), ("from", "2026-01-02"), ("to", "2026-01-01")],
            "to",
        ),
        (EVENTS, vec![("tenant_id", "a"), ("status", "ok")], "status"),
        (HOURS, vec![("tenant_id", "a"), ("cursor", "AAAA")], "cursor"),
        (HOURS, vec![("tenant_id", "a"), ("user_id", "u")], "user_id"),
        (HOURS, vec![("tenant_id", "a"), ("tenant_id", "b")], "tenant_id"),
        (EVENTS, vec![("tenant_id", "a"), ("<script>", "1")], "<script>"),
    ] {
        assert_eq!(get(path, &parameters).refused_parameter(), parameter, "{parameters:?}");
    }
}

#[test]
fn what_is_not_there_is_a_problem_too() {
    for (method, path, status) in [
        (reqwest::Method::GET, "/v1/metrics", 404),
        (reqwest::Method::GET, "/", 404),
        (reqwest::Method::POST, HOURS, 405),
        (reqwest::Method::DELETE, EVENTS, 405),
    ] {
        let request = reqwest::Client::new().request(method, format!("{}{path}", service().http()));
        let answer = send(Bed::shared(), request);
        assert_eq!(answer.status, status, "{path}");
        assert_is_problem(&answer);
    }
    let long = "a".repeat(50_000);
    let answer = get(HOURS, &[("tenant_id", &long)]);
    assert_eq!(answer.status, 414);
    assert_is_problem(&answer);
}

#[test]
fn a_request_id_comes_back_and_one_is_made_where_there_is_none() {
    let ask = |id: &str| {
        let url = format!("{}{HOURS}?tenant_id=a", service().http());
        let answer = send(
            Bed::shared(),
            reqwest::Client::new().get(url).header("x-request-id", id),
        );
        assert_eq!(answer.status, 200);
        answer.header("x-request-id").to_owned()
    };
    assert_eq!(ask("trace-42"), "trace-42");
    assert_eq!(ask("not; plain").len(), 36);
    assert_eq!(get("/nowhere", &[]).header("x-request-id").len(), 36);
}

#[test]
fn the_service_measures_itself() {
    let bed = Bed::shared();
    let service = ready(bed, &[]);
    insert_hours("measured", 1);
    assert_eq!(get_at(bed, &service, HOURS, &[("tenant_id", "measured")]).status, 200);
    assert_eq!(get_at(bed, &service, HOURS, &[]).status, 400);
    assert_eq!(get_at(bed, &service, "/some/path", &[]).status, 404);
    let (status, text) = bed.get(&format!("{}/metrics", service.http()));
    assert_eq!(status, 200);
    for line in [
        "horolog_query_requests_total{route=\"/v1/metrics/hourly\",status=\"200\"} 1",
        "horolog_query_requests_total{route=\"/v1/metrics/hourly\",status=\"400\"} 1",
        "horolog_query_requests_total{route=\"unknown\",status=\"404\"} 1",
        "horolog_query_rows_returned_total{route=\"/v1/metrics/hourly\"} 8",
        "horolog_query_request_duration_seconds_count{route=\"/v1/metrics/hourly\"} 2",
        "horolog_query_requests_in_flight 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert!(!text.contains("/some/path"), "a path of a caller's choice is no label");
}

#[test]
fn a_store_that_is_away_is_said_so_until_it_is_back() {
    let bed = Bed::start();
    let service = ready(&bed, &[]);
    let ask = |path: &str| get_at(&bed, &service, path, &[("tenant_id", "a")]);
    assert_eq!(ask(HOURS).status, 200);
    bed.kill_engine();
    for path in [HOURS, EVENTS] {
        let answer = ask(path);
        assert_eq!((answer.status, answer.header("retry-after")), (503, "5"));
        assert_is_problem(&answer);
    }
    wait_until(DEADLINE, "the service is not ready", || {
        get_at(&bed, &service, "/readyz", &[]).status == 503
    });
    assert_eq!(get_at(&bed, &service, "/livez", &[]).status, 200);
    bed.start_engine();
    wait_until(DEADLINE, "the service is ready again", || {
        get_at(&bed, &service, "/readyz", &[]).status == 200
    });
    assert_eq!(ask(EVENTS).status, 200);
}

#[test]
fn a_wrong_configuration_stops_the_start_with_one_line_that_names_the_setting() {
    for (variable, value, said) in [
        (
            "HOROLOG_QUERY__HTTP__LISTEN",
            "0.0.0.0:0",
            "http.listen: must be a loopback address",
        ),
        ("HOROLOG_QUERY__CLICKHOUSE__URL", "http://127.0.0.1:1", "clickhouse.url"),
        (
            "HOROLOG_QUERY__CLICKHOUSE__DATABASE",
            "nowhere",
            "run `horolog-migrate up`",
        ),
        (
            "HOROLOG_QUERY__CLICKHOUSE__PASSWORD_FILE",
            "/dev/null",
            "clickhouse.password_file",
        ),
        (
            "HOROLOG_QUERY__CLICKHOUSE__PASSWORD_FILE",
            "/nonexistent",
            "clickhouse.password_file",
        ),
        ("HOROLOG_QUERY__LIMITS__PAGE_ROWS", "1", "page_rows"),
    ] {
        let mut service = Bed::shared().spawn("horolog-query", &[(variable, value)]);
        assert!(!service.wait(DEADLINE).success(), "{variable}");
        let log = std::fs::read_to_string(service.log()).unwrap();
        assert!(log.contains(said), "{variable}: {log}");
        assert_eq!(log.trim_end().lines().count(), 1, "{log}");
    }
}

#[test]
fn is_drained_on_sigterm() {
    let mut service = ready(Bed::shared(), &[]);
    service.term();
    assert!(service.wait(DEADLINE).success(), "{}", service.log_tail());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_query_string_is_answered_or_refused(raw in "[ -\"$-~]{0,60}|tenant_id=[!-\"$-~]{1,30}|tenant_id=%[0-9a-f]{2}(&[a-z_]{2,11}=[0-9a-zA-Z%:.-]{0,12}){0,4}") {
        for path in [HOURS, EVENTS] {
            let Ok(url) = Url::parse(&format!("{}{path}?{raw}", service().http())) else { continue };
            let answer = send(Bed::shared(), reqwest::Client::new().get(url));
            prop_assert!([200, 400].contains(&answer.status), "{}", answer.text);
            if answer.status == 400 {
                assert_is_problem(&answer);
                prop_assert!(answer.json()["parameter"].is_string());
            }
        }
    }
}
