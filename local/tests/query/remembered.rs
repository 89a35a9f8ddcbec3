//! Cached rows equal the stored ones: after late records, rebuilds and merges, and while batches are being stored.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::bed::Bed;
use crate::client::{HOURS, get_at, pages, ready, rows};
use crate::series::{DAYS, MONTHS, ON_TIME, add_up, insert, roll_up};

#[test]
fn remembered_rows_are_the_rows_there_are() {
    for hour in 0..60 {
        insert("remembered", "api", hour, 1, 10.0, ON_TIME, 0);
    }
    let ask = |path: &str, more: &[(&str, &str)]| {
        let asked = [
            ("tenant_id", "remembered"),
            ("metric_name", "latency"),
            ("measures", "sum,p50"),
            ("from", "2026-01-01"),
            ("to", "2026-01-04"),
        ];
        rows(path, &asked.iter().chain(more).copied().collect::<Vec<_>>())
    };
    let whole = [("limit", "50000")];
    let merged = [("limit", "50000"), ("group_by", "")];
    let counts = |rows: &[Value]| {
        rows.iter()
            .map(|row| row["count"].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    let first = ask(HOURS, &whole);
    assert_eq!(counts(&first), [1; 60]);
    assert_eq!(ask(HOURS, &whole), first);
    // The same from ClickHouse: an answer that may exceed a page is not cached.
    assert_eq!(ask(HOURS, &[("limit", "70")]), first);
    insert("remembered", "api", 30, 2, 10.0, "2026-01-05 00:00:00", 0);
    let second = ask(HOURS, &whole);
    assert_eq!(
        (second.len(), &second[30]["count"], &second[30]["late_count"]),
        (60, &json!(3), &json!(2))
    );
    assert_eq!((&second[..30], &second[31..]), (&first[..30], &first[31..]));
    insert("remembered", "web", 61, 5, 10.0, ON_TIME, 0);
    assert_eq!(counts(&ask(HOURS, &whole)).len(), 61);
    assert_eq!(counts(&ask(DAYS, &merged)), [24, 26, 17]);
    Bed::shared().execute(
        "insert into rebuilds select 7, toDateTime('2026-01-01 00:00:00', 'UTC'), toDateTime('2026-01-01 01:00:00', 'UTC'), \
         'remembered', '', 'raw', 'visible', now64(3), now64(3), 'test', now64(3)",
    );
    assert_eq!(
        counts(&ask(DAYS, &merged)),
        [23, 26, 17],
        "the rebuild holds nothing of its hour"
    );
    let tokyo = [("group_by", ""), ("zone", "Asia/Tokyo"), ("limit", "50000")];
    assert_eq!(counts(&ask(DAYS, &tokyo)), [14, 26, 26]);
}

#[test]
fn days_of_utc_come_from_what_is_rolled_up_where_that_is_all_there_is() {
    const MORE: f64 = 1_000.0;
    let tenant = "rolled-up";
    for hour in 0..72 {
        insert(tenant, "api", hour, 1, 10.0, ON_TIME, 0);
        insert(tenant, "web", hour, 1, 10.0, ON_TIME, 0);
    }
    // Each question is a new one, so that no answer comes from the cache.
    let mut asked = 0;
    let mut sums = |path: &str, more: &[(&str, &str)]| {
        asked += 1;
        let threshold = asked.to_string();
        let of_days = [
            ("tenant_id", tenant),
            ("metric_name", "latency"),
            ("group_by", "environment"),
            ("measures", "sum"),
            ("threshold", &threshold),
            ("from", "2026-01-01"),
            ("to", if path == MONTHS { "2026-02-02" } else { "2026-01-04" }),
        ];
        let rows = rows(path, &of_days.iter().chain(more).copied().collect::<Vec<_>>());
        rows.iter().map(|row| row["sum"].as_f64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(sums(DAYS, &[]), [480.0; 3]);
    roll_up(tenant, "'api'", MORE);
    assert_eq!(sums(DAYS, &[]), [480.0; 3], "half of it is not rolled up");
    assert_eq!(sums(DAYS, &[("service_id", "api")]), [240.0 + MORE; 3]);
    roll_up(tenant, "'web'", MORE);
    assert_eq!(sums(DAYS, &[]), [480.0 + 2.0 * MORE; 3]);
    assert_eq!(sums(MONTHS, &[]), [1_440.0 + 6.0 * MORE]);
    assert_eq!(sums(DAYS, &[("zone", "Asia/Tokyo")]), [300.0, 480.0, 480.0]);
    assert_eq!(sums(HOURS, &[]), [20.0; 72]);

    insert(tenant, "api", 30, 1, 10.0, "2026-04-01 00:00:00", 0);
    let late = [480.0 + 2.0 * MORE, 490.0, 480.0 + 2.0 * MORE];
    assert_eq!(sums(DAYS, &[]), late, "a late sample makes its day one of hours");
    assert_eq!(sums(MONTHS, &[]), [1_450.0]);
    roll_up(tenant, "'api'", 2.0 * MORE);
    let again = [480.0 + 3.0 * MORE, 490.0 + 3.0 * MORE, 480.0 + 3.0 * MORE];
    assert_eq!(
        sums(DAYS, &[]),
        again,
        "what was rolled up again replaces what was before"
    );

    // A rebuild that covers a day but has no rows for it hides what was rolled up.
    for (number, of) in [(71, "another"), (72, tenant)] {
        Bed::shared().execute(&format!(
            "insert into rebuilds select {number}, toDateTime('2026-01-03 00:00:00', 'UTC'), toDateTime('2026-01-04 00:00:00', 'UTC'), \
             '{of}', '', 'raw', 'visible', now64(3), now64(3), 'test', now64(3)"
        ));
        let days = sums(DAYS, &[]);
        match of == tenant {
            true => assert_eq!(days, again[..2]),
            false => assert_eq!(days, again),
        }
    }
}

#[test]
fn charts_of_one_line_come_from_totals_where_those_are_all_there_is() {
    const MORE: f64 = 1_000.0;
    let tenant = "totals";
    for hour in 0..48 {
        insert(tenant, "api", hour, 1, 10.0, ON_TIME, 0);
        insert(tenant, "web", hour, 1, 20.0, ON_TIME, 0);
    }
    // Each question is a new one, so that no answer comes from the cache.
    let mut asked = 0;
    let mut ask = |path: &str, more: &[(&str, &str)]| {
        asked += 1;
        let threshold = format!("15.{asked:02}");
        let of_line = [
            ("tenant_id", tenant),
            ("metric_name", "latency"),
            ("measures", "sum,p50,p99"),
            ("threshold", &threshold),
            ("from", "2026-01-01"),
            ("to", "2026-01-03"),
        ];
        rows(path, &of_line.iter().chain(more).copied().collect::<Vec<_>>())
    };
    let line = ("group_by", "");
    let of_hours = [DAYS, HOURS].map(|path| ask(path, &[line]));
    add_up(tenant, 0.0);
    let of_totals = [DAYS, HOURS].map(|path| ask(path, &[line]));
    assert_eq!(of_totals, of_hours, "quantiles and shares too");

    add_up(tenant, MORE);
    let mut sums = |path: &str, more: &[(&str, &str)]| {
        let rows = ask(path, more);
        rows.iter().map(|row| row["sum"].as_f64().unwrap()).collect::<Vec<_>>()
    };
    let (hour, day) = (30.0 + MORE, 720.0 + MORE);
    assert_eq!(sums(DAYS, &[line]), [day; 2]);
    assert_eq!(sums(MONTHS, &[line]), [1_440.0 + 2.0 * MORE]);
    assert_eq!(sums(HOURS, &[line]), [hour; 48]);
    assert_eq!(sums(DAYS, &[line, ("zone", "Asia/Tokyo")]), [15.0 * hour, 24.0 * hour]);
    assert_eq!(
        sums(DAYS, &[line, ("service_id", "web")]),
        [480.0; 2],
        "not of all services"
    );
    assert_eq!(sums(DAYS, &[("group_by", "environment")]), [720.0; 2], "not one line");

    insert(tenant, "api", 30, 1, 10.0, "2026-04-01 00:00:00", 0);
    let late = [day, 730.0];
    assert_eq!(sums(DAYS, &[line]), late, "a late sample makes its day one of hours");
    add_up(tenant, MORE);
    assert_eq!(sums(DAYS, &[line]), [day, day + 10.0]);
}

/// The rows as a service without a cache answers them: pages of few rows are not cached.
fn from_the_store(path: &str, asked: &[(&str, &str)]) -> Vec<Value> {
    pages(
        path,
        &asked.iter().chain(&[("limit", "9")]).copied().collect::<Vec<_>>(),
        || (),
    )
}

#[test]
fn whatever_comes_and_whatever_is_asked_what_is_remembered_is_what_is_stored() {
    let seed = std::env::var("HOROLOG_SEED").map_or(20_260_101, |seed| seed.parse().unwrap());
    println!("HOROLOG_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let tenant = "remembered-any";
    for _ in 0..25 {
        for _ in 0..random.random_range(1..4) {
            let service = ["api", "db", "web"][random.random_range(0..3)];
            // Nine weeks, and so three months, with most of it at the end.
            let hour = 24 * 63 - u32::from(random.random::<u16>()).isqrt() * 24 * 63 / 256 - 1;
            let revised = ["2026-04-01 00:00:00", ON_TIME][random.random_range(0..2)];
            insert(
                tenant,
                service,
                hour,
                random.random_range(1..9),
                f64::from(random.random_range(1..99)),
                revised,
                0,
            );
        }
        if random.random_range(0..4) == 0 {
            // Half-way, now and then: days of which not everything is rolled up.
            roll_up(
                tenant,
                ["'api'", "'db', 'web'", "'api', 'db', 'web'"][random.random_range(0..3)],
                0.0,
            );
        }
        if random.random_range(0..4) == 0 {
            add_up(tenant, 0.0);
        }
        if random.random_range(0..5) == 0 {
            Bed::shared().execute("optimize table metrics_hourly partition 202603");
        }
        let path = [HOURS, DAYS, MONTHS][random.random_range(0..3)];
        let zone = ["UTC", "Asia/Tokyo", "America/New_York"][random.random_range(0..3)];
        let group = ["", "service_id"][random.random_range(0..2)];
        let from = ["2026-01-01", "2026-02-14T05:00:00Z", "2026-03-01"][random.random_range(0..3)];
        let mut asked = vec![("tenant_id", tenant), ("metric_name", "latency"), ("group_by", group)];
        asked.extend([
            ("measures", "sum,min,max,p50,p99"),
            ("from", from),
            ("to", "2026-03-05"),
        ]);
        if path != HOURS {
            asked.push(("zone", zone));
        }
        let whole: Vec<_> = asked.iter().chain(&[("limit", "50000")]).copied().collect();
        assert_eq!(rows(path, &whole), from_the_store(path, &asked), "{path} {asked:?}");
    }
}

#[test]
fn an_answer_has_what_was_stored_before_it_was_asked_for() {
    const BATCHES: u64 = 30;
    const ASKERS: usize = 4;
    let tenant = "remembered-landing";
    let (stored, is_done) = (AtomicU64::new(0), AtomicBool::new(false));
    let mut asked = vec![
        ("tenant_id", tenant),
        ("metric_name", "latency"),
        ("group_by", ""),
        ("measures", "sum,p50"),
    ];
    asked.extend([("from", "2026-01-01"), ("to", "2026-02-01"), ("limit", "50000")]);
    let samples = |path: &str| {
        let rows = rows(path, &asked);
        rows.iter().map(|row| row["count"].as_u64().unwrap()).sum::<u64>()
    };
    std::thread::scope(|scope| {
        for asker in 0..ASKERS {
            let (samples, stored, is_done) = (&samples, &stored, &is_done);
            scope.spawn(move || {
                let path = [HOURS, DAYS, MONTHS][asker % 3];
                let mut known = 0;
                while !is_done.load(Ordering::Acquire) {
                    let before = stored.load(Ordering::Acquire).max(known);
                    known = samples(path);
                    assert!(
                        known >= before,
                        "{path}: {known} samples, and {before} were stored or told of before"
                    );
                }
            });
        }
        for batch in 0..BATCHES {
            insert(tenant, "api", 17 * batch as u32, 1, 10.0, ON_TIME, 0);
            stored.store(batch + 1, Ordering::Release);
        }
        is_done.store(true, Ordering::Release);
    });
    for path in [HOURS, DAYS, MONTHS] {
        assert_eq!(samples(path), BATCHES);
    }
}

#[test]
fn questions_that_differ_in_anything_are_remembered_apart() {
    for (service, value) in [("api", 10.0), ("db", 20.0)] {
        insert("remembered-apart", service, 0, 1, value, ON_TIME, 0);
    }
    let mut sums = BTreeMap::new();
    for _ in 0..2 {
        for (name, value) in [
            ("service_id", "api"),
            ("service_id", "db"),
            ("environment", "prod"),
            ("unit", "s"),
        ] {
            let mut asked = vec![
                ("tenant_id", "remembered-apart"),
                ("metric_name", "latency"),
                ("group_by", ""),
            ];
            asked.extend([
                ("measures", "sum"),
                ("from", "2026-01-01"),
                ("to", "2026-01-02"),
                (name, value),
            ]);
            let told: Vec<Value> = rows(DAYS, &asked).iter().map(|row| row["sum"].clone()).collect();
            assert_eq!(*sums.entry((name, value)).or_insert_with(|| told.clone()), told);
        }
    }
    let told: Vec<_> = sums.into_values().map(Value::from).collect();
    assert_eq!(told, [json!([30.0]), json!([10.0]), json!([20.0]), json!([])]);
}

#[test]
fn a_service_that_reads_replicas_remembers_no_less_exactly() {
    let bed = Bed::shared();
    let service = ready(bed, &[("HOROLOG_QUERY__CLICKHOUSE__QUORUM", "true")]);
    let mut asked = vec![
        ("tenant_id", "remembered-replicas"),
        ("metric_name", "latency"),
        ("group_by", ""),
    ];
    asked.extend([
        ("measures", "sum"),
        ("from", "2026-01-01"),
        ("to", "2026-03-01"),
        ("limit", "50000"),
    ]);
    let sums = || {
        let answer = get_at(bed, &service, DAYS, &asked).json();
        let rows = answer["rows"].as_array().unwrap();
        rows.iter().map(|row| row["sum"].as_f64().unwrap()).collect::<Vec<_>>()
    };
    assert!(sums().is_empty());
    for (hour, expected) in [(0, vec![10.0]), (24 * 40, vec![10.0, 10.0]), (5, vec![20.0, 10.0])] {
        insert("remembered-replicas", "api", hour, 1, 10.0, ON_TIME, 0);
        assert_eq!(sums(), expected);
        assert_eq!(sums(), expected, "again");
    }
}
