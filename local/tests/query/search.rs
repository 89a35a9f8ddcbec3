//! Audit search against a model that checks every row against the filter.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, IteratorRandom};
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::bed::{Bed, seed};
use crate::client::{EVENTS, get, pages};
use crate::rows::insert_event;

const TENANT: &str = "searched";
const EVENTS_OF_TENANT: usize = 400;

/// Every filter, and values of it: those that some events have, and those that none has.
const FILTERS: [(&str, &[&str]); 15] = [
    ("user_id", &["u0", "u1", "U1", "", "u1 "]),
    ("team_id", &["t0", "t1", ""]),
    ("service_id", &["s0", "s2", "x"]),
    ("plugin_id", &["", "p1"]),
    ("source", &["ui", "api", "system", "webhook"]),
    ("action", &["doc.read", "doc.drop", "doc"]),
    ("resource_type", &["doc", "user"]),
    ("resource_id", &["r0", "r5", "r%", "'"]),
    ("session_id", &["x1", ""]),
    ("request_id", &["q3", "q99"]),
    ("status", &["success", "failure", "error"]),
    (
        "ip_address",
        &[
            "10.0.1.7",
            "10.0.0.0/16",
            "10.0.3.0/24",
            "::ffff:10.0.1.7",
            "0.0.0.0/0",
            "::/0",
            "host",
            "",
        ],
    ),
    (
        "text",
        &[
            "invoice",
            "INVOICE",
            "timeout",
            "in",
            "invoice timeout",
            "é1",
            "THE É1",
            "a-b",
            "ΟΔΟΣ",
            "οδος",
        ],
    ),
    (
        "from",
        &["2026-01-01T00:03:20Z", "2025-01-01", "2026-01-01T00:03:20.000001Z"],
    ),
    ("to", &["2026-01-01T00:03:20Z", "2027-01-01", "2025-01-01"]),
];

fn insert_events() {
    Bed::shared().execute(&format!(
        "insert into audit_logs (event_id, tenant_id, occurred_at, user_id, team_id, service_id, plugin_id, source, action, \
         resource_type, resource_id, resource_name, ip_address, session_id, request_id, status, error_message, kafka_topic, \
         kafka_partition, kafka_offset, kafka_timestamp, log_epoch, inserted_at) \
         select generateUUIDv4(number), '{TENANT}', toDateTime64('2026-01-01 00:00:00', 6, 'UTC') + number, \
         ['u0', 'u1', 'U1', ''][1 + h % 4], ['t0', 't1'][1 + intDiv(h, 4) % 2], concat('s', toString(intDiv(h, 8) % 3)), \
         ['', 'p1'][1 + intDiv(h, 32) % 2], ['ui', 'api', 'system', 'webhook'][1 + intDiv(h, 64) % 4], \
         ['doc.read', 'doc.drop'][1 + intDiv(h, 256) % 2], ['doc', 'user'][1 + intDiv(h, 512) % 2], \
         concat('r', toString(intDiv(h, 1024) % 6)), \
         ['Invoice 7', 'an_invoice', 'the é1', 'a-b', 'ΟΔΟΣ.ΑΒ', ''][1 + intDiv(h, 8192) % 6], \
         [concat('10.0.', toString(intDiv(h, 16) % 5), '.7'), 'host', '', '2001:db8::1'][1 + intDiv(h, 65536) % 4], \
         ['x1', 'x2', ''][1 + intDiv(h, 262144) % 3], concat('q', toString(intDiv(h, 1048576) % 5)), \
         ['success', 'failure', 'error'][1 + intDiv(h, 8388608) % 3], \
         ['', 'Timeout: no answer', 'invoice/timeout'][1 + intDiv(h, 33554432) % 3], 'audit-events', 77, number, now64(3), 1, \
         now64(3) from (select number, cityHash64(number) as h from numbers({EVENTS_OF_TENANT}))"
    ));
}

/// Whether an event passes a filter, by what the documentation says of the filter.
fn keeps(event: &Value, filter: &str, value: &str) -> bool {
    let field = |name: &str| event[name].as_str().unwrap_or_default();
    let seconds = |text: &str| {
        let text = if text.contains('T') {
            text.to_owned()
        } else {
            format!("{text}T00:00:00Z")
        };
        chrono::DateTime::parse_from_rfc3339(&text).unwrap().timestamp_micros()
    };
    match filter {
        "text" => {
            let words = |text: &str| -> BTreeSet<String> {
                let parts = text.split(|c: char| c.is_ascii() && !c.is_ascii_alphanumeric());
                let parts = parts.filter(|word| !word.is_empty());
                parts.map(|word| word.to_lowercase().replace('ς', "σ")).collect()
            };
            let held = words(&format!("{} {}", field("resource_name"), field("error_message")));
            words(value).is_subset(&held)
        }
        "ip_address" => in_network(field("ip_address"), value),
        "from" => seconds(field("occurred_at")) >= seconds(value),
        "to" => seconds(field("occurred_at")) < seconds(value),
        name => field(name) == value,
    }
}

/// The recorded addresses are 10.0.x.7, 2001:db8::1, a name and nothing.
fn in_network(recorded: &str, asked: &str) -> bool {
    let is_ipv4 = recorded.parse::<Ipv4Addr>().is_ok();
    match asked {
        "10.0.0.0/16" | "0.0.0.0/0" => is_ipv4,
        "::/0" => is_ipv4 || recorded.contains(':'),
        "10.0.3.0/24" => recorded.starts_with("10.0.3."),
        "::ffff:10.0.1.7" => recorded == "10.0.1.7",
        plain => recorded == plain,
    }
}

fn ids(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["event_id"].as_str().unwrap()).collect()
}

#[test]
fn every_filter_and_any_of_them_together_find_what_a_reader_of_all_rows_finds() {
    insert_events();
    let all = pages(EVENTS, &[("tenant_id", TENANT), ("limit", "150")], || ());
    assert_eq!(all.len(), EVENTS_OF_TENANT);
    let check = |filters: &[(&str, &str)]| {
        let mut asked = vec![("tenant_id", TENANT), ("limit", "1000")];
        asked.extend(filters);
        let answer = get(EVENTS, &asked);
        if filters.iter().any(|(name, _)| *name == "from")
            && filters.iter().any(|(name, _)| *name == "to")
            && answer.status == 400
        {
            return 0; // a span that ends before it begins
        }
        assert_eq!(answer.status, 200, "{filters:?}: {}", answer.text);
        let found = answer.json()["rows"].as_array().unwrap().clone();
        let kept: Vec<Value> = all
            .iter()
            .filter(|event| filters.iter().all(|(name, value)| keeps(event, name, value)))
            .cloned()
            .collect();
        assert_eq!(ids(&found), ids(&kept), "{filters:?}");
        found.len()
    };
    for (name, values) in FILTERS {
        let found: usize = values.iter().map(|value| check(&[(name, value)])).sum();
        assert!(found > 0, "{name} finds nothing at all");
    }
    let mut random = StdRng::seed_from_u64(seed());
    for _ in 0..150 {
        let count = random.random_range(2..=4);
        let chosen = FILTERS.iter().sample(&mut random, count);
        let filters: Vec<(&str, &str)> = chosen
            .into_iter()
            .map(|(name, values)| (*name, *values.choose(&mut random).unwrap()))
            .collect();
        check(&filters);
    }
}

#[test]
fn a_time_line_is_read_once_and_whole_while_events_arrive() {
    for number in 100..140 {
        insert_event("arriving", number, &[("user_id", "'ann'")]);
    }
    for order in ["newest", "oldest"] {
        let mut next = 0;
        let base = if order == "newest" { 1_000 } else { 2_000 };
        let asked = [
            ("tenant_id", "arriving"),
            ("user_id", "ann"),
            ("order", order),
            ("limit", "7"),
        ];
        let read = pages(EVENTS, &asked, || {
            // One before everything, one after everything, one of another tenant in between.
            next += 1;
            let at = |second: i32| format!("toDateTime64('2026-01-01 00:00:00', 6, 'UTC') + {second}");
            insert_event(
                "arriving",
                base + next * 3,
                &[("user_id", "'ann'"), ("occurred_at", &at(-(next as i32)))],
            );
            insert_event(
                "arriving",
                base + next * 3 + 1,
                &[("user_id", "'ann'"), ("occurred_at", &at(9_000 + next as i32))],
            );
            insert_event(
                "arriving",
                base + next * 3 + 2,
                &[("user_id", "'bob'"), ("occurred_at", &at(120))],
            );
        });
        let found: Vec<u32> = crate::rows::event_numbers(&read);
        let mut of_the_beginning: Vec<u32> = found
            .iter()
            .copied()
            .filter(|number| (100..140).contains(number))
            .collect();
        if order == "newest" {
            of_the_beginning.reverse();
        }
        assert_eq!(of_the_beginning, (100..140).collect::<Vec<_>>(), "{order}");
        let distinct: BTreeSet<_> = found.iter().collect();
        assert_eq!(distinct.len(), found.len(), "{order}: no event is there twice");
        assert!(read.iter().all(|row| row["user_id"] == "ann"));
    }
}

/// Copies that are neighbours and copies that are not, where the first or the last one is outside of a span, a filter
/// or a group.
fn insert_copies(tenant: &str) {
    let at = |month: u32| format!("toDateTime64('2026-{month:02}-01 00:00:00', 6, 'UTC')");
    let mut offset = 1_000;
    let mut insert = |number: u32, month: u32, user: &str, status: &str| {
        offset -= 1; // the copy that is stored first is the event, wherever it stands in the log
        let (offset, at) = (offset.to_string(), at(month));
        let [user, status] = [user, status].map(|text| format!("'{text}'"));
        let set = [
            ("kafka_offset", &offset),
            ("occurred_at", &at),
            ("user_id", &user),
            ("status", &status),
            ("error_message", &status),
        ];
        insert_event(tenant, number, &set.map(|(name, value)| (name, value.as_str())));
    };
    for number in 0..6 {
        insert(number, 1 + number % 3, "ann", "success");
    }
    insert(2, 3, "ann", "failure");
    insert(3, 6, "ann", "success");
    insert(4, 2, "bob", "error");
    insert(4, 5, "bob", "error");
    insert(10, 6, "bob", "error");
    insert(10, 1, "ann", "success");
    insert(11, 4, "carl", "success");
}

#[test]
fn a_count_is_the_number_of_events_that_the_search_finds() {
    insert_copies("counted");
    // The same events of another tenant, which must not be counted.
    insert_copies("counted-too");
    for filters in [
        &[][..],
        &[("status", "success")],
        &[("status", "error")],
        &[("user_id", "bob")],
        &[("user_id", "ann"), ("from", "2026-02-01")],
        &[("from", "2026-05-01")],
        &[("to", "2026-03-01")],
        &[("from", "2026-02-01"), ("to", "2026-06-01"), ("status", "failure")],
        &[("from", "2026-08-01")],
    ] {
        let asked: Vec<_> = [("tenant_id", "counted")].iter().chain(filters).copied().collect();
        let paged: Vec<_> = asked.iter().copied().chain([("limit", "2")]).collect();
        let found = pages(EVENTS, &paged, || ());
        for (by, bucket) in [
            ("", ""),
            ("status", ""),
            ("error_message", ""),
            ("user_id", "month"),
            ("", "day"),
        ] {
            let mut grouped: Vec<_> = asked.clone();
            grouped.extend(
                [("by", by), ("bucket", bucket)]
                    .iter()
                    .filter(|(_, value)| !value.is_empty()),
            );
            let mut expected = BTreeMap::<(String, String), u64>::new();
            for event in &found {
                let text = |name: &str| event[name].as_str().unwrap().to_owned();
                let time = match bucket {
                    "month" => format!("{}-01T00:00:00Z", &text("occurred_at")[..7]),
                    "day" => format!("{}T00:00:00Z", &text("occurred_at")[..10]),
                    _ => String::new(),
                };
                let value = if by.is_empty() { String::new() } else { text(by) };
                *expected.entry((time, value)).or_default() += 1;
            }
            let answer = get("/v1/audit/counts", &grouped);
            assert_eq!(answer.status, 200, "{}", answer.text);
            let counted: BTreeMap<(String, String), u64> = answer.json()["rows"]
                .as_array()
                .unwrap()
                .iter()
                .map(|row| {
                    let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
                    ((text("time"), text("value")), row["count"].as_u64().unwrap())
                })
                .collect();
            assert_eq!(counted, expected, "{grouped:?}");
        }
    }
}

#[test]
fn events_that_were_sent_again_count_once_among_any_number_of_others() {
    // More than are looked up one by one.
    for (table, columns, values) in [
        ("audit_event_ids", "inserted_at", "now64(3)"),
        (
            "audit_logs",
            "source, action, status, kafka_topic, kafka_partition, kafka_offset, kafka_timestamp, log_epoch, inserted_at",
            "'ui', 'a', 'success', 'audit-events', 5, number, now64(3), 1, now64(3)",
        ),
    ] {
        Bed::shared().execute(&format!(
            "insert into {table} (tenant_id, event_id, occurred_at, {columns}) select 'counted-many', \
             toUUID(concat('00000000-0000-4000-9000-', leftPad(toString(number), 12, '0'))), \
             toDateTime64('2026-01-01 00:00:00', 6, 'UTC') + number, {values} from numbers(60000)"
        ));
    }
    insert_copies("counted-many");
    let counted = |filter: (&str, &str)| {
        let answer = get(
            "/v1/audit/counts",
            &[("tenant_id", "counted-many"), ("by", "user_id"), filter],
        )
        .json();
        answer["rows"].clone()
    };
    assert_eq!(
        counted(("to", "2027-01-01")),
        json!([
            {"value": "", "count": 60_000},
            {"value": "ann", "count": 6},
            {"value": "bob", "count": 1},
            {"value": "carl", "count": 1},
        ])
    );
}
