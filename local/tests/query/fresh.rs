//! Samples that are stored and not aggregated yet, in answers that ask for them.

use serde_json::json;

use crate::bed::Bed;
use crate::client::{HOURS, get, get_at, ready};
use crate::series::{ON_TIME, insert};

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
    let in_motion = || {
        let asked = [("tenant_id", "fresh"), ("fresh", "true")];
        get_at(bed, &service, HOURS, &asked).json()["in_motion"].clone()
    };
    let ingested = |life: u32| {
        bed.execute(&format!(
            "insert into batch_ledger (stage, kafka_topic, kafka_partition, log_epoch, start_offset, end_offset, entry, inserted_at) \
             values ('ingest', 'fresh-metrics', 0, {life}, 0, 102, 'batch', now64(3))"
        ));
    };
    ingested(1);
    assert_eq!(in_motion(), json!(null));
    ingested(2);
    assert_eq!(
        in_motion(),
        json!([0]),
        "offsets of two lives of a log cannot be compared"
    );
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
