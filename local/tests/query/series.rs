//! Metrics merged: by columns, by days and months of a zone, with quantiles and shares, page by page, as of a moment.

use serde_json::{Value, json};

use crate::bed::Bed;
use crate::client::{HOURS, get, pages, rows};

pub(crate) const DAYS: &str = "/v1/metrics/daily";
pub(crate) const MONTHS: &str = "/v1/metrics/monthly";

/// An hour from 2026-01-01 of a metric and a service with `count` samples of one value, late or of a rebuild.
pub(crate) fn insert(tenant: &str, service: &str, hour: u32, count: u32, value: f64, revised_at: &str, epoch: u32) {
    let bucket = (value.log2() * 64.0).ceil() as i32 - 1;
    let late = if revised_at.starts_with("1970") { 0 } else { count };
    Bed::shared().execute(&format!(
        "insert into metrics_hourly select '{tenant}', 'latency', toDateTime('2026-01-01 00:00:00', 'UTC') + 3600 * {hour}, \
         '{service}', '', 'prod', '', 'gauge', 'ms', toDateTime('{revised_at}', 'UTC'), {epoch}, 'metrics', {count}, {late}, \
         {value} * {count}, {value}, {value}, (now64(6), 0, {hour}, {value}), map(toInt32({bucket}), toUInt64({count})), map(), \
         0, now64(3)"
    ));
}

/// Rolls up the days of some services as the upkeep does, but makes each sum larger by `more`, which shows where a row
/// comes from.
pub(crate) fn roll_up(tenant: &str, services: &str, more: f64) {
    Bed::shared().execute(&format!(
        "insert into daily_rollups select tenant_id, metric_name, toStartOfDay(h.hour) as day, service_id, plugin_id, environment, team_id, \
         metric_type, unit, kafka_topic, sum(h.count), sum(h.late_count), sum(h.sum) + {more}, min(h.min), max(h.max), max(h.last), \
         sumMap(h.positive), sumMap(h.negative), sum(h.zero_count), now64(3) from metrics_hourly as h \
         where tenant_id = '{tenant}' and service_id in ({services}) and epoch % 2 = 0 \
         group by tenant_id, metric_name, day, service_id, plugin_id, environment, team_id, metric_type, unit, kafka_topic"
    ));
}

/// Adds the hours of all services up as the upkeep does, by hour and by day, but makes the sum of each row larger by
/// `more`.
pub(crate) fn add_up(tenant: &str, more: f64) {
    for (table, start) in [("hourly_totals", "h.hour"), ("daily_totals", "toStartOfDay(h.hour)")] {
        Bed::shared().execute(&format!(
            "insert into {table} with sumMap(h.positive) as positives select tenant_id, metric_name, {start} as start, metric_type, unit, \
             kafka_topic, sum(h.count), sum(h.late_count), sum(h.sum) + {more}, min(h.min), max(h.max), max(h.last), \
             arrayConcat(arrayMap(k -> toInt32(-100000 - k), mapKeys(positives)), [toInt32(0)]), \
             arrayConcat(mapValues(positives), [sum(h.zero_count)]), now64(3) from metrics_hourly as h \
             where tenant_id = '{tenant}' and epoch % 2 = 0 group by tenant_id, metric_name, start, metric_type, unit, kafka_topic"
        ));
    }
}

pub(crate) const ON_TIME: &str = "1970-01-01 00:00:00";

#[test]
fn columns_are_merged_over_and_only_what_is_asked_for_is_told() {
    insert("merged", "api", 0, 90, 10.0, ON_TIME, 0);
    insert("merged", "web", 0, 10, 1000.0, ON_TIME, 0);
    let asked = [
        ("tenant_id", "merged"),
        ("metric_name", "latency"),
        ("group_by", ""),
        ("measures", "avg,p50,p99,max"),
        ("threshold", "500"),
    ];
    let found = rows(HOURS, &asked);
    assert_eq!(found.len(), 1);
    let p99 = found[0]["p99"].as_f64().unwrap();
    assert!((p99 / 1000.0 - 1.0).abs() < 0.006, "{p99}");
    let p50 = found[0]["p50"].as_f64().unwrap();
    assert!((p50 / 10.0 - 1.0).abs() < 0.006, "{p50}");
    let mut row = found[0].clone();
    for name in ["p50", "p99"] {
        row.as_object_mut().unwrap().remove(name);
    }
    assert_eq!(
        row,
        json!({
            "start": "2026-01-01T00:00:00Z", "end": "2026-01-01T01:00:00Z", "complete": false, "metric_name": "latency",
            "metric_type": "gauge", "unit": "ms", "count": 100, "late_count": 0, "fresh_count": 0, "avg": 109.0, "max": 1000.0,
            "share_under": 0.9,
        })
    );
    let by_service = [("tenant_id", "merged"), ("group_by", "service_id"), ("measures", "")];
    let services: Vec<_> = rows(HOURS, &by_service)
        .iter()
        .map(|row| row["service_id"].clone())
        .collect();
    assert_eq!(services, ["api", "web"]);
}

#[test]
fn quantiles_are_right_on_both_sides_of_zero() {
    // A bucket includes its upper bound and not its lower one: -8 is in 191, 4 in 127.
    for (service, counts) in [("low", (9, 0, 1)), ("middle", (3, 6, 1))] {
        let (negative, zero, positive) = counts;
        Bed::shared().execute(&format!(
            "insert into metrics_hourly select 'signed', 'balance', toDateTime('2026-01-01 00:00:00', 'UTC'), '{service}', '', '', '', \
             'gauge', '', 0, 0, 'metrics', 10, 0, 0., -8., 4., (now64(6), 0, 0, 1.), map(toInt32(127), toUInt64({positive})), \
             map(toInt32(191), toUInt64({negative})), {zero}, now64(3)"
        ));
    }
    let asked = [
        ("tenant_id", "signed"),
        ("measures", "p50,p90"),
        ("group_by", "service_id"),
        ("threshold", "-1"),
    ];
    let told: Vec<_> = rows(HOURS, &asked)
        .iter()
        .map(|row| ["p50", "p90", "share_under"].map(|name| row[name].as_f64().unwrap()))
        .collect();
    let near = |told: f64, value: f64| told == value || (told / value - 1.0).abs() < 0.006;
    assert!(
        near(told[0][0], -8.0) && near(told[0][1], 4.0) && told[0][2] == 0.9,
        "{told:?}"
    );
    assert!(
        told[1][0] == 0.0 && near(told[1][1], 4.0) && told[1][2] == 0.3,
        "{told:?}"
    );
}

#[test]
fn days_and_months_are_those_of_the_zone() {
    for hour in 0..72 {
        insert("zoned", "api", hour, 1, 10.0, ON_TIME, 0);
    }
    let days = |zone: &[(&str, &str)]| {
        let asked: Vec<_> = [("tenant_id", "zoned"), ("measures", "sum")]
            .iter()
            .chain(zone)
            .copied()
            .collect();
        let counts = |row: &Value| {
            (
                row["start"].as_str().unwrap().to_owned(),
                row["count"].as_u64().unwrap(),
            )
        };
        rows(DAYS, &asked).iter().map(counts).collect::<Vec<_>>()
    };
    let found = days(&[]);
    assert_eq!(found.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [24, 24, 24]);
    assert_eq!(found[0].0, "2026-01-01T00:00:00Z");
    let tokyo = days(&[("zone", "Asia/Tokyo"), ("from", "2026-01-02"), ("to", "2026-01-03")]);
    assert_eq!(tokyo, [("2026-01-01T15:00:00Z".to_owned(), 24)]);
    let ends = days(&[("zone", "America/New_York")]);
    assert_eq!(
        ends.iter().map(|(_, count)| *count).collect::<Vec<_>>(),
        [5, 24, 24, 19]
    );
    let months = rows(MONTHS, &[("tenant_id", "zoned"), ("zone", "America/New_York")]);
    let ends: Vec<_> = months.iter().map(|row| row["end"].as_str().unwrap()).collect();
    assert_eq!(ends, ["2026-01-01T05:00:00Z", "2026-02-01T05:00:00Z"]);
    for (zone, said) in [("Asia/Kolkata", "330 minutes"), ("Mars/Base", "time zone")] {
        let answer = get(DAYS, &[("tenant_id", "zoned"), ("zone", zone)]);
        assert_eq!(answer.refused_parameter(), "zone");
        assert!(answer.text.contains(said), "{}", answer.text);
    }
}

#[test]
fn pages_of_merged_rows_are_all_rows_once() {
    for hour in 0..30 {
        for service in ["api", "db", "web"] {
            insert("series-paged", service, hour, 1, 10.0, ON_TIME, 0);
        }
    }
    for (path, asked, expected) in [
        (HOURS, vec![("group_by", "service_id")], 90),
        (HOURS, vec![("group_by", "")], 30),
        (HOURS, vec![("group_by", "environment"), ("metric_name", "latency")], 30),
        (DAYS, vec![("group_by", "service_id"), ("zone", "Europe/Berlin")], 6),
        (MONTHS, vec![("zone", "America/New_York")], 6),
    ] {
        for limit in ["1", "7"] {
            let all: Vec<_> = [("tenant_id", "series-paged"), ("limit", limit)]
                .into_iter()
                .chain(asked.clone())
                .collect();
            let found = pages(path, &all, || ());
            assert_eq!(found.len(), expected, "{path} {asked:?} {limit}");
            let counted: u64 = found.iter().map(|row| row["count"].as_u64().unwrap()).sum();
            assert_eq!(counted, 90, "{path} {asked:?} {limit}");
        }
    }
}

#[test]
fn a_moment_before_a_late_record_does_not_know_it() {
    insert("as-of", "api", 0, 10, 10.0, ON_TIME, 0);
    insert("as-of", "api", 0, 5, 10.0, "2026-01-02 00:00:00", 0);
    let count = |as_of: Option<&str>| {
        let asked: Vec<_> = [("tenant_id", "as-of")]
            .into_iter()
            .chain(as_of.map(|at| ("as_of", at)))
            .collect();
        let found = rows(HOURS, &asked);
        (
            found[0]["count"].as_u64().unwrap(),
            found[0]["late_count"].as_u64().unwrap(),
        )
    };
    assert_eq!(count(None), (15, 5));
    assert_eq!(count(Some("2026-01-01T23:59:59Z")), (10, 0));
    assert_eq!(
        count(Some("2026-01-02T00:00:59Z")),
        (10, 0),
        "the minute of its batch is not over"
    );
    assert_eq!(count(Some("2026-01-02T00:01:00Z")), (15, 5));
}

#[test]
fn a_rebuild_counts_from_the_moment_it_is_visible() {
    insert("rebuilt", "api", 0, 10, 10.0, ON_TIME, 0);
    insert("rebuilt", "api", 5, 10, 10.0, ON_TIME, 0);
    let count = |as_of: Option<&str>| {
        let asked: Vec<_> = [("tenant_id", "rebuilt"), ("group_by", "")]
            .into_iter()
            .chain(as_of.map(|at| ("as_of", at)))
            .collect();
        rows(HOURS, &asked)
            .iter()
            .map(|row| row["count"].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    let state = |state: &str, visible_at: &str| {
        Bed::shared().execute(&format!(
            "insert into rebuilds select 1, toDateTime('2026-01-01 00:00:00', 'UTC'), toDateTime('2026-01-01 01:00:00', 'UTC'), \
             'rebuilt', '', 'raw', '{state}', now64(3), toDateTime64('{visible_at}', 3, 'UTC'), 'test', now64(3)"
        ));
    };
    let found = || {
        let asked = [
            ("tenant_id", "rebuilt"),
            ("column", "service_id"),
            ("from", "2026-01-01T00:10:00Z"),
            ("to", "2026-01-01T02:00:00Z"),
        ];
        rows("/v1/metrics/values", &asked)[0]["samples"].clone()
    };
    state("registered", "1970-01-01 00:00:00");
    insert("rebuilt", "api", 0, 11, 10.0, ON_TIME, 1);
    assert_eq!(count(None), [10, 10], "it is not visible yet");
    assert_eq!(found(), 10, "the hour that the span begins in is part of it");
    state("visible", "2026-02-01 00:00:00");
    assert_eq!(count(None), [11, 10]);
    assert_eq!(found(), 11);
    insert("rebuilt", "api", 0, 2, 10.0, "2026-02-02 00:00:00", 2);
    assert_eq!(count(None), [13, 10], "what came after it is added to it");
    assert_eq!(count(Some("2026-01-31T00:00:00Z")), [10, 10], "as it was before");
}
