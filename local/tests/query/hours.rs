//! Hourly metrics: their shape, paging, filters, and through when they are complete.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::bed::Bed;
use crate::client::{HOURS, get, get_at, pages, ready, rows};
use crate::rows::insert_hours;

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
    assert_eq!(
        members,
        BTreeSet::from(["complete_through", "held_back_by", "rows", "next_cursor"])
    );
    assert_eq!(
        answer["rows"],
        json!(["", "%"].map(|unit| json!({
            "start": "2026-01-01T01:00:00Z", "end": "2026-01-01T02:00:00Z", "complete": false, "metric_name": "cpu", "service_id": "api", "plugin_id": "",
            "environment": "prod", "team_id": "", "metric_type": "gauge", "unit": unit, "count": 2, "late_count": 0, "fresh_count": 0, "sum": 3.0,
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
        ["metric_name", "start", "service_id", "unit"].map(|column| row[column].as_str().unwrap().to_owned())
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
                row["metric_name"], row["start"], row["service_id"], row["unit"]
            )
        })
        .collect();
    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len());
    let old = |row: &&Value| row["start"].as_str().unwrap() < "2026-01-01T10:00:00Z";
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
            vec![("from", "2026-01-01T06:30:00Z"), ("to", "2026-01-01T07:30:00Z")],
            16,
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
    let two = [
        ("tenant_id", "filtered"),
        ("metric_name", "cpu"),
        ("metric_name", "mem"),
        ("service_id", "web"),
        ("to", "2026-01-01T01:00:00Z"),
    ];
    assert_eq!(rows(HOURS, &two).len(), 4, "a filter given twice is either");
}

#[test]
fn complete_through_is_the_minimum_over_all_partitions_and_null_before() {
    let bed = Bed::shared();
    let service = ready(bed, &[("HOROLOG_QUERY__SOURCE__METRICS_TOPIC", "progressing")]);
    let claim = || get_at(bed, &service, HOURS, &[("tenant_id", "anyone")]).json()["complete_through"].clone();
    let report = |partition: u32, epoch: u32, partitions: u32, watermark: &str| {
        bed.execute(&format!(
            "insert into partition_progress select 'progressing', {partition}, {epoch}, {partitions}, 10, \
             toDateTime64('{watermark}', 3, 'UTC'), 0, now64(3)"
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
    assert_eq!(
        claim(),
        "2026-01-01T04:00:00Z",
        "not all count the partition that was added"
    );
    report(2, 1, 2, "1970-01-01 00:00:00");
    report(0, 2, 3, "2026-01-01 04:00:00");
    assert_eq!(claim(), "2026-01-01T04:00:00Z", "it is announced, and has read nothing");
    report(2, 1, 3, "2026-01-01 03:30:00");
    assert_eq!(claim(), "2026-01-01T03:30:00Z");
    report(0, 2, 4, "2026-01-01 04:00:00");
    report(1, 1, 4, "2026-01-01 06:00:00");
    report(2, 1, 4, "2026-01-01 06:00:00");
    assert_eq!(claim(), Value::Null, "partition 3 has not reported");
}

#[test]
fn a_moment_was_as_complete_as_what_came_after_it_proves() {
    let bed = Bed::shared();
    let service = ready(bed, &[("HOROLOG_QUERY__SOURCE__METRICS_TOPIC", "known-then")]);
    let claim = |as_of: &str| {
        let asked = [("tenant_id", "anyone"), ("as_of", as_of)];
        get_at(bed, &service, HOURS, &asked).json()["complete_through"].clone()
    };
    let report = |partition: u32, partitions: u32, watermark: &str| {
        bed.execute(&format!(
            "insert into partition_progress select 'known-then', {partition}, 1, {partitions}, 20, \
             toDateTime64('2026-01-01 {watermark}', 3, 'UTC'), 0, now64(3)"
        ));
    };
    let enter_life = |partition: u32, life: u32, start: u32, entry: &str, watermark: &str, closed_at: &str| {
        bed.execute(&format!(
            "insert into batch_ledger (stage, kafka_topic, kafka_partition, log_epoch, start_offset, end_offset, entry, watermark, \
             closed_at, inserted_at) values ('aggregate', 'known-then', {partition}, {life}, {start}, {start} + 10, '{entry}', '{watermark}', \
             '{closed_at}', now64(3))"
        ));
    };
    let enter = |partition: u32, start: u32, entry: &str, watermark: &str, closed_at: &str| {
        enter_life(partition, 1, start, entry, watermark, closed_at);
    };
    report(0, 2, "10:00:00");
    report(1, 2, "08:00:00");
    enter(0, 0, "batch", "1970-01-01 00:00:00", "2026-01-01 01:00:00");
    enter(0, 10, "batch", "2026-01-01 03:30:00", "2026-01-01 05:00:00");
    enter(1, 0, "batch", "1970-01-01 00:00:00", "2026-01-01 00:30:00");
    assert_eq!(claim("2026-01-01T00:45:00Z"), Value::Null, "partition 0 was not known");
    assert_eq!(claim("2026-01-01T02:00:00Z"), "2026-01-01T02:00:00Z");
    assert_eq!(
        claim("2026-01-01T04:00:00Z"),
        "2026-01-01T03:30:00Z",
        "more may have come on time"
    );
    assert_eq!(
        claim("2026-01-01T06:00:00Z"),
        "2026-01-01T06:00:00Z",
        "nothing has come since"
    );
    assert_eq!(claim("2026-01-01T09:00:00Z"), "2026-01-01T08:00:00Z");
    enter(1, 10, "begun", "2026-01-01 05:00:00", "2026-01-01 05:30:00");
    assert_eq!(
        claim("2026-01-01T05:15:00Z"),
        "2026-01-01T05:00:00Z",
        "it may bring more"
    );

    for (partition, watermark) in [(0, "10:00:00"), (1, "08:00:00"), (2, "07:00:00")] {
        report(partition, 3, watermark);
    }
    assert_eq!(claim("2100-01-01T00:00:00Z"), Value::Null, "partition 2 was not known");
    enter(2, 0, "epoch", "2026-01-01 05:00:00", "1970-01-01 00:00:00");
    assert_eq!(claim("2100-01-01T00:00:00Z"), "2026-01-01T07:00:00Z", "it is empty");
    assert_eq!(
        claim("2026-01-01T06:00:00Z"),
        "2026-01-01T05:00:00Z",
        "it was added later, and began with that"
    );

    let now = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    assert_eq!(claim(&now), "2026-01-01T07:00:00Z");
    enter_life(0, 2, 20, "epoch", "2026-01-01 06:30:00", "1970-01-01 00:00:00");
    assert_eq!(claim(&now), "2026-01-01T06:30:00Z", "another life took its log over");
    enter_life(2, 2, 0, "epoch", "1970-01-01 00:00:00", "1970-01-01 00:00:00");
    assert_eq!(claim(&now), Value::Null, "a new life may bring anything on time");
}

#[test]
fn a_type_of_metrics_is_asked_for_as_any_other_column_of_the_key() {
    insert_hours("typed", 1);
    let of = |kind: &str| rows(HOURS, &[("tenant_id", "typed"), ("metric_type", kind)]).len();
    assert_eq!((of("gauge"), of("counter"), of("histogram")), (8, 0, 0));
    let both = [
        ("tenant_id", "typed"),
        ("metric_type", "counter"),
        ("metric_type", "gauge"),
    ];
    assert_eq!(rows(HOURS, &both).len(), 8);
    let unknown = get(HOURS, &[("tenant_id", "typed"), ("metric_type", "number")]);
    assert_eq!(unknown.refused_parameter(), "metric_type");
}
