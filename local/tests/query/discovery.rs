//! What metrics there are, by name, column and label, and what late records changed.

use serde_json::json;

use crate::bed::Bed;
use crate::client::{get, pages, rows};
use crate::series::{ON_TIME, insert};

#[test]
fn what_there_is_can_be_found() {
    insert("found", "api", 0, 1, 10.0, ON_TIME, 0);
    insert("found", "web", 1, 2, 10.0, ON_TIME, 0);
    insert("not-found", "secret", 1, 2, 10.0, ON_TIME, 0);
    Bed::shared().execute(
        "insert into metrics (tenant_id, time, metric_name, metric_type, service_id, value, labels, kafka_topic, \
         kafka_partition, kafka_offset, kafka_timestamp, log_epoch, inserted_at) select 'found', \
         toDateTime64('2026-01-01 00:10:00', 6, 'UTC'), 'latency', 'gauge', 'api', 1., map('zone', z), 'elsewhere', 0, \
         1, now64(3), 1, now64(3) from (select arrayJoin(['a', 'a', 'b']) as z)",
    );
    let span = [("tenant_id", "found"), ("from", "2026-01-01"), ("to", "2026-01-02")];
    let find = |path: &str, more: &[(&str, &str)]| rows(path, &span.iter().chain(more).copied().collect::<Vec<_>>());
    assert_eq!(
        find("/v1/metrics/names", &[("contains", "LAT")]),
        [json!({"metric_name": "latency", "metric_type": "gauge", "unit": "ms"})]
    );
    assert!(
        find("/v1/metrics/names", &[("contains", "l_t")]).is_empty(),
        "_ stands for itself"
    );
    assert_eq!(
        find("/v1/metrics/values", &[("column", "service_id")]),
        [
            json!({"value": "api", "samples": 1}),
            json!({"value": "web", "samples": 2})
        ]
    );
    let labels = |more: &[(&str, &str)]| {
        find(
            "/v1/metrics/labels",
            &[("metric_name", "latency")]
                .iter()
                .chain(more)
                .copied()
                .collect::<Vec<_>>(),
        )
    };
    assert_eq!(labels(&[]), [json!({"value": "zone", "samples": 3})]);
    assert_eq!(
        labels(&[("label", "zone")]),
        [json!({"value": "a", "samples": 2}), json!({"value": "b", "samples": 1})]
    );
    let within = |path: &str, from: &str, to: &str| {
        let [from, to] = [from, to].map(|time| format!("2026-01-01T{time}Z"));
        let metric = ("metric_name", "latency");
        rows(path, &[("tenant_id", "found"), metric, ("from", &from), ("to", &to)]).len()
    };
    for (from, to, found) in [
        ("00:09:59.9", "00:10:00.000001", 1),
        ("00:09:59.9", "00:10:00", 0),
        ("00:10:00.000001", "00:11:00", 0),
    ] {
        let labels = within("/v1/metrics/labels", from, to);
        assert_eq!(labels, found, "samples from {from} to {to}");
    }
    let hour = "/v1/metrics/values?column=service_id";
    assert_eq!(within(hour, "01:59:59.5", "02:00:00"), 1, "the hour has begun before");
    assert_eq!(
        get("/v1/metrics/labels", &[("tenant_id", "found")]).refused_parameter(),
        "metric_name"
    );
    assert_eq!(
        get("/v1/metrics/values", &[("tenant_id", "found"), ("column", "user_id")]).refused_parameter(),
        "column"
    );
}

#[test]
fn revisions_say_what_came_late() {
    for offset in [5, 50] {
        Bed::shared().execute(&format!(
            "insert into hour_revisions select 'revised', toDateTime('2026-01-01 00:00:00', 'UTC'), \
             toDateTime('2026-01-03 04:05:00', 'UTC'), 'metrics', 0, 1, {offset}, {offset} + 2, 3, 90000, map(toUInt8(17), 3), now64(3)"
        ));
    }
    let found = pages(
        "/v1/metrics/revisions",
        &[("tenant_id", "revised"), ("limit", "1")],
        || (),
    );
    assert_eq!(found.len(), 2);
    assert_eq!(
        found[0],
        json!({
            "hour": "2026-01-01T00:00:00Z", "revised_at": "2026-01-03T04:05:00Z", "kafka_topic": "metrics", "kafka_partition": 0,
            "log_epoch": 1, "first_offset": 5, "last_offset": 7, "records": 3, "lateness_max_s": 90000,
        })
    );
    assert!(
        rows(
            "/v1/metrics/revisions",
            &[("tenant_id", "revised"), ("revised_from", "2026-01-04")]
        )
        .is_empty()
    );
}
