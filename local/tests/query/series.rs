//! Metrics merged: by columns, by days and months of a zone, with quantiles and shares, as of a moment, fresh, in every form.

use serde_json::{Value, json};

use crate::bed::Bed;
use crate::client::{Answer, HOURS, get, get_at, pages, ready, rows, send, service};

const DAYS: &str = "/v1/metrics/daily";
const MONTHS: &str = "/v1/metrics/monthly";

/// An hour from 2026-01-01 of a metric and a service with `count` samples of one value, late or of a rebuild.
fn insert(tenant: &str, service: &str, hour: u32, count: u32, value: f64, revised_at: &str, epoch: u32) {
    let bucket = (value.log2() * 64.0).ceil() as i32 - 1;
    let late = if revised_at.starts_with("1970") { 0 } else { count };
    Bed::shared().execute(&format!(
        "insert into metrics_hourly select '{tenant}', 'latency', toDateTime('2026-01-01 00:00:00', 'UTC') + 3600 * {hour}, \
         '{service}', '', 'prod', '', 'gauge', 'ms', toDateTime('{revised_at}', 'UTC'), {epoch}, 'metrics', {count}, {late}, \
         {value} * {count}, {value}, {value}, (now64(6), 0, {hour}, {value}), map(toInt32({bucket}), toUInt64({count})), map(), \
         0, now64(3)"
    ));
}

const ON_TIME: &str = "1970-01-01 00:00:00";

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
    // Buckets hold what is above a power of two's predecessor and up to it: -8 is in 191, 4 in 127.
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
    assert_eq!(count(Some("2026-01-02T00:00:00Z")), (15, 5));
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
    state("registered", "1970-01-01 00:00:00");
    insert("rebuilt", "api", 0, 11, 10.0, ON_TIME, 1);
    assert_eq!(count(None), [10, 10], "it is not visible yet");
    state("visible", "2026-02-01 00:00:00");
    assert_eq!(count(None), [11, 10]);
    insert("rebuilt", "api", 0, 2, 10.0, "2026-02-02 00:00:00", 2);
    assert_eq!(count(None), [13, 10], "what came after it is added to it");
    assert_eq!(count(Some("2026-01-31T00:00:00Z")), [10, 10], "as it was before");
}

#[test]
fn fresh_answers_count_the_samples_that_are_not_aggregated_yet() {
    let bed = Bed::shared();
    let service = ready(bed, &[("HOROLOG_QUERY__SOURCE__METRICS_TOPIC", "fresh-metrics")]);
    insert("fresh", "api", 0, 10, 10.0, ON_TIME, 0);
    bed.execute(
        "insert into partition_progress (kafka_topic, kafka_partition, log_epoch, partitions, aggregated_end, watermark, inserted_at) \
         select 'fresh-metrics', 0, 1, 1, 100, toDateTime64('2026-01-01 00:30:00', 3, 'UTC'), now64(3)",
    );
    for (offset, value) in [(99, 7.0), (100, 20.0), (101, -3.0)] {
        bed.execute(&format!(
            "insert into metrics (tenant_id, time, metric_name, metric_type, service_id, environment, value, unit, kafka_topic, \
             kafka_partition, kafka_offset, kafka_timestamp, log_epoch, inserted_at) select 'fresh', \
             toDateTime64('2026-01-01 00:10:00', 6, 'UTC'), 'latency', 'gauge', 'api', 'prod', {value}, 'ms', 'fresh-metrics', 0, \
             {offset}, now64(3), 1, now64(3)"
        ));
    }
    let ask = |fresh: &str| {
        let asked = [
            ("tenant_id", "fresh"),
            ("fresh", fresh),
            ("measures", "sum,min,max,p50"),
            ("threshold", "15"),
        ];
        get_at(bed, &service, HOURS, &asked).json()["rows"][0].clone()
    };
    let old = ask("false");
    assert_eq!(
        (&old["count"], &old["fresh_count"], &old["sum"]),
        (&json!(10), &json!(0), &json!(100.0))
    );
    let new = ask("true");
    assert_eq!(
        (&new["count"], &new["fresh_count"], &new["sum"]),
        (&json!(12), &json!(2), &json!(117.0))
    );
    assert_eq!((&new["min"], &new["max"]), (&json!(-3.0), &json!(20.0)));
    assert_eq!(new["share_under"], 11.0 / 12.0);
    let p50 = new["p50"].as_f64().unwrap();
    assert!((p50 / 10.0 - 1.0).abs() < 0.006, "{p50}");
    let both = get(
        HOURS,
        &[("tenant_id", "fresh"), ("fresh", "true"), ("as_of", "2026-01-01")],
    );
    assert_eq!(both.refused_parameter(), "fresh");
}

/// One batch of one sample after another, each as the stage stores it: begun, partial aggregates, stored, progress.
#[test]
fn a_batch_that_lands_while_it_is_asked_for_is_counted_once() {
    const BATCHES: i64 = 40;
    let bed = Bed::shared();
    let service = ready(bed, &[("HOROLOG_QUERY__SOURCE__METRICS_TOPIC", "landing")]);
    bed.execute(&format!(
        "insert into metrics (tenant_id, time, metric_name, metric_type, service_id, environment, value, unit, kafka_topic, \
         kafka_partition, kafka_offset, kafka_timestamp, log_epoch, inserted_at) select 'landing', \
         toDateTime64('2026-01-01 00:10:00', 6, 'UTC'), 'latency', 'gauge', 'api', 'prod', 10., 'ms', 'landing', 0, number, now64(3), \
         1, now64(3) from numbers({BATCHES})"
    ));
    let ledger = |offset: i64, entry: &str| {
        bed.execute(&format!(
            "insert into batch_ledger (stage, kafka_topic, kafka_partition, log_epoch, start_offset, end_offset, entry, inserted_at) \
             values ('aggregate', 'landing', 0, 1, {offset}, {offset} + 1, '{entry}', now64(3))"
        ));
    };
    let progress = |end: i64| {
        bed.execute(&format!(
            "insert into partition_progress (kafka_topic, kafka_partition, log_epoch, partitions, aggregated_end, watermark, inserted_at) \
             select 'landing', 0, 1, 1, {end}, toDateTime64('2026-01-01 00:30:00', 3, 'UTC'), now64(3)"
        ));
    };
    progress(0);
    let is_done = std::sync::atomic::AtomicBool::new(false);
    let asked = [("tenant_id", "landing"), ("fresh", "true"), ("measures", "sum")];
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for offset in 0..BATCHES {
                ledger(offset, "begun");
                insert("landing", "api", 0, 1, 10.0, ON_TIME, 0);
                ledger(offset, "batch");
                progress(offset + 1);
            }
            is_done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        let mut settled = 0;
        while !is_done.load(std::sync::atomic::Ordering::Relaxed) {
            let answer = get_at(bed, &service, HOURS, &asked).json();
            if answer["in_motion"].is_null() {
                settled += 1;
                assert_eq!(answer["rows"][0]["count"], BATCHES, "{answer}");
            }
        }
        println!("{settled} answers came to rest while batches landed");
    });
    let after = get_at(bed, &service, HOURS, &asked).json();
    assert_eq!(
        (&after["rows"][0]["count"], &after["rows"][0]["fresh_count"]),
        (&json!(BATCHES), &json!(0))
    );
    ledger(BATCHES, "begun");
    let begun = get_at(bed, &service, HOURS, &asked).json();
    assert_eq!(
        begun["in_motion"],
        json!([0]),
        "a batch that does not come to rest is told of"
    );
}

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
    // The same from the store: what may be more than a page is not remembered.
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

fn ask_as(accept: &str, more: &[(&str, &str)]) -> Answer {
    let url = url::Url::parse_with_params(&format!("{}{HOURS}?tenant_id=forms", service().http()), more).unwrap();
    send(Bed::shared(), reqwest::Client::new().get(url).header("accept", accept))
}

#[test]
fn an_answer_has_the_form_that_is_asked_for() {
    insert("forms", "a,\"b\"", 0, 1, 10.0, ON_TIME, 0);
    let csv = ask_as("text/csv", &[("measures", "avg"), ("group_by", "service_id")]);
    assert_eq!(csv.header("content-type"), "text/csv");
    assert_eq!(
        csv.text,
        "start,end,complete,metric_name,service_id,metric_type,unit,count,late_count,fresh_count,avg\n\
         2026-01-01T00:00:00Z,2026-01-01T01:00:00Z,false,latency,\"a,\"\"b\"\"\",gauge,ms,1,0,0,10.0\n"
    );
    let wins = ask_as("application/json", &[("format", "csv")]);
    assert_eq!(wins.header("content-type"), "text/csv");
    let arrow = ask_as("application/vnd.apache.arrow.stream", &[]);
    assert_eq!(arrow.header("content-type"), "application/vnd.apache.arrow.stream");
    let none = ask_as("image/png", &[]);
    assert_eq!(none.status, 406);
    crate::client::assert_is_problem(&none);
    let bad = ask_as("*/*", &[("format", "xml")]);
    assert_eq!(bad.refused_parameter(), "format");
}

#[test]
fn arrow_is_read_by_others_as_what_it_is() {
    insert("arrow", "api", 0, 4, 2.0, ON_TIME, 0);
    let url = format!("{}{HOURS}?tenant_id=arrow&format=arrow&measures=avg", service().http());
    let key = Bed::shared().key("auditor");
    let bytes = Bed::shared().block_on(async {
        reqwest::Client::new()
            .get(url)
            .bearer_auth(key)
            .send()
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap()
    });
    let reader = arrow::ipc::reader::StreamReader::try_new(std::io::Cursor::new(bytes), None).unwrap();
    let batches: Vec<_> = reader.map(Result::unwrap).collect();
    assert_eq!(
        batches.iter().map(arrow::array::RecordBatch::num_rows).sum::<usize>(),
        1
    );
    let avg = batches[0].column_by_name("avg").unwrap();
    assert_eq!(
        avg.as_any()
            .downcast_ref::<arrow::array::Float64Array>()
            .unwrap()
            .value(0),
        2.0
    );
}

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
