//! Audit events: their shape, paging, filters, and repeats.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::bed::Bed;
use crate::client::{EVENTS, get, get_at, pages, pages_at, ready, rows};
use crate::rows::{event_numbers, insert_event};

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
    // Whoever sends the second one may choose a lower partition.
    insert_event("repeats", 1, &[("kafka_partition", "1"), ("user_id", "'first'")]);
    insert_event("repeats", 1, &[("user_id", "'second'")]);
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

/// Two million events of another tenant in the middle of the span: there the search is cut into stretches.
#[test]
fn a_search_through_several_stretches_of_time_finds_every_event_in_order() {
    let bed = Bed::shared();
    bed.execute(
        "insert into audit_logs (event_id, tenant_id, occurred_at, source, action, status, kafka_topic, kafka_partition, \
         kafka_offset, kafka_timestamp, log_epoch, inserted_at) \
         select generateUUIDv4(number), 'crowd', toDateTime64('2026-05-01 00:00:00', 6, 'UTC') + number, 'ui', 'a', 'success', \
         'audit-events', 78, number, now64(3), 1, now64(3) from numbers(2100000)",
    );
    let days = [
        "2025-11-03",
        "2025-12-31",
        "2026-04-30",
        "2026-05-01",
        "2026-05-31",
        "2026-06-01",
        "2026-07-01",
    ];
    for (number, day) in (1..).zip(days) {
        let at = format!("toDateTime64('{day} 00:00:00', 6, 'UTC')");
        let user = ["'even'", "'odd'"][number as usize % 2];
        insert_event("stretches", number, &[("occurred_at", &at), ("user_id", user)]);
    }
    // A service that has not looked up the months before they existed.
    let service = ready(bed, &[]);
    let found = |parameters: &[(&str, &str)]| {
        let parameters: Vec<_> = [("tenant_id", "stretches")].iter().chain(parameters).copied().collect();
        event_numbers(&pages_at(bed, &service, EVENTS, &parameters, || ()))
    };
    for limit in ["1", "3", "7", "100"] {
        assert_eq!(found(&[("limit", limit)]), [7, 6, 5, 4, 3, 2, 1], "limit {limit}");
        assert_eq!(
            found(&[("limit", limit), ("order", "oldest")]),
            [1, 2, 3, 4, 5, 6, 7],
            "limit {limit}"
        );
        assert_eq!(
            found(&[("limit", limit), ("user_id", "odd")]),
            [7, 5, 3, 1],
            "limit {limit}"
        );
        let span = [("from", "2025-12-31"), ("to", "2026-07-01")];
        assert_eq!(
            found(&[&span[..], &[("limit", limit)]].concat()),
            [6, 5, 4, 3, 2],
            "limit {limit}"
        );
    }
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
