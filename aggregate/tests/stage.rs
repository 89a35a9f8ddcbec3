//! The stage from Avro records to blocks: what it counts, and that repeating it makes the same block.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type, TimestampSecondType, UInt32Type, UInt64Type};
use horolog_aggregate::stage::{Aggregation, CHUNK_RECORDS, Limits};
use horolog_schemas::{Kind, MetricSample, RULES_VERSION, RawRecord, WriterSchemas};
use horolog_stage::intent::Intent;
use horolog_stage::range::{Filling, PartitionId, Range};
use horolog_stage::stage::{PrepareError, Prepared, Stage};

/// 2023-11-14 22:00:00.
const HOUR: u32 = 1_699_999_200;
const HOUR_MS: i64 = HOUR as i64 * 1_000;
const PARTITION: i32 = 5;
const RETENTION_MONTHS: u32 = 25;
const LIMITS: Limits = Limits {
    max_clock_skew_ms: 60_000,
    keys_per_tenant_max: 1_000,
};

fn stage(workers: usize) -> Aggregation {
    let schemas = WriterSchemas::load(Kind::MetricSample, None).unwrap();
    let stage = Aggregation::start(workers, Arc::new(schemas), LIMITS).unwrap();
    stage.with_months_kept(Some(RETENTION_MONTHS))
}

fn partition() -> PartitionId {
    PartitionId {
        topic: "metrics".into(),
        partition: PARTITION,
    }
}

fn payload(sample: &MetricSample) -> Vec<u8> {
    let mut payload = Vec::new();
    sample.encode_single_object(&mut payload);
    payload
}

fn sample(time_ms: i64, value: f64) -> MetricSample {
    MetricSample {
        tenant_id: "demo".to_owned(),
        time: time_ms * 1_000,
        metric_name: "latency".to_owned(),
        service_id: "checkout".to_owned(),
        value,
        unit: "ms".to_owned(),
        ..MetricSample::default()
    }
}

/// The payloads as records from offset 100 on, with this Kafka timestamp.
fn range<'a>(payloads: impl IntoIterator<Item = &'a Vec<u8>>, timestamp_ms: i64) -> Range {
    let mut filling = Filling::new(100);
    for (offset, payload) in (100..).zip(payloads) {
        filling.push(
            &RawRecord {
                offset,
                timestamp_ms,
                key: None,
                payload: Some(payload),
            },
            Instant::now(),
        );
    }
    let end = filling.next();
    filling.close(&partition(), 1, end)
}

fn intent(watermark_ms: i64, at_ms: i64) -> Intent {
    Intent {
        end: 0,
        rules_version: RULES_VERSION,
        watermark_ms,
        at_ms,
        write_epoch: 2,
        fill: false,
        tail: None,
    }
}

fn pieces(prepared: &Prepared) -> &[RecordBatch] {
    assert_eq!(prepared.blocks[0].table, "metrics_hourly");
    &prepared.blocks[0].pieces
}

#[test]
fn samples_of_a_key_become_one_row() {
    let samples = [
        sample(HOUR_MS, 4.0),
        sample(HOUR_MS + 5_000, -2.0),
        sample(HOUR_MS + 2_000, 0.0),
    ]
    .map(|s| payload(&s));
    let prepared = stage(2)
        .prepare(&range(&samples, HOUR_MS + 9_000), &intent(0, HOUR_MS))
        .unwrap();
    assert_eq!(
        (prepared.rows, prepared.rejected, prepared.late, prepared.expired),
        (3, 0, 0, 0)
    );
    assert_eq!(prepared.hours, BTreeMap::from([(HOUR, 3)]));
    assert_eq!(prepared.high_time_ms, Some(HOUR_MS + 5_000));

    let [row] = pieces(&prepared) else { panic!("one piece") };
    assert_eq!(row.num_rows(), 1);
    let text = |name: &str| row[name].as_string::<i32>().value(0).to_owned();
    let number = |name: &str| row[name].as_primitive::<UInt64Type>().value(0);
    let value = |name: &str| row[name].as_primitive::<Float64Type>().value(0);
    assert_eq!(
        (text("tenant_id"), text("metric_name"), text("unit")),
        ("demo".into(), "latency".into(), "ms".into())
    );
    assert_eq!(
        row["hour"].as_primitive::<TimestampSecondType>().value(0),
        i64::from(HOUR)
    );
    assert_eq!((number("count"), number("late_count"), number("zero_count")), (3, 0, 1));
    assert_eq!((value("sum"), value("min"), value("max")), (2.0, -2.0, 4.0));
    let last = row["last"].as_struct();
    assert_eq!(last["kafka_partition"].as_primitive::<Int32Type>().value(0), PARTITION);
    assert_eq!(last["kafka_offset"].as_primitive::<Int64Type>().value(0), 101);
    assert_eq!(last["value"].as_primitive::<Float64Type>().value(0), -2.0);
    let map = |name: &str| {
        let entries = row[name].as_map().value(0);
        let (indexes, counts) = (
            entries.column(0).as_primitive::<Int32Type>(),
            entries.column(1).as_primitive::<UInt64Type>(),
        );
        indexes
            .values()
            .iter()
            .copied()
            .zip(counts.values().iter().copied())
            .collect::<Vec<_>>()
    };
    assert_eq!((map("positive"), map("negative")), (vec![(127, 1)], vec![(63, 1)]));
}

#[test]
fn an_hour_is_late_once_the_frozen_watermark_has_reached_its_end() {
    let samples = [
        sample(HOUR_MS, 1.0),
        sample(HOUR_MS + 1, 2.0),
        sample(HOUR_MS + 3_600_000, 3.0),
    ]
    .map(|s| payload(&s));
    let range = range(&samples, HOUR_MS + 3_600_000);
    let end_ms = HOUR_MS + 3_600_000;
    let at_ms = end_ms + 119_999; // a minute and 59.999 seconds later
    for (watermark_ms, late, revised_at) in [(end_ms - 1, 0, 0), (end_ms, 2, end_ms / 1_000 + 60)] {
        let prepared = stage(1).prepare(&range, &intent(watermark_ms, at_ms)).unwrap();
        assert_eq!((prepared.late, prepared.rows), (late, 3), "late records are added");
        let revisions = prepared.blocks.iter().find(|block| block.table == "hour_revisions");
        assert_eq!(revisions.is_some(), late > 0);
        if let Some(revisions) = revisions {
            let row = &revisions.pieces[0];
            let number = |name: &str| row[name].as_primitive::<Int64Type>().value(0);
            assert_eq!(
                (number("first_offset"), number("last_offset"), row.num_rows()),
                (100, 101, 1)
            );
            assert_eq!(row["records"].as_primitive::<UInt64Type>().value(0), 2);
            assert_eq!(row["lateness_max_s"].as_primitive::<UInt32Type>().value(0), 3_600);
            assert_eq!(prepared.lateness, BTreeMap::from([(12, 2)]), "2,048 to 4,095 seconds");
        }
        let row = &pieces(&prepared)[0];
        assert_eq!(row["epoch"].as_primitive::<UInt32Type>().values(), &[2, 2]);
        assert_eq!(row["late_count"].as_primitive::<UInt64Type>().values(), &[late, 0]);
        assert_eq!(
            row["revised_at"].as_primitive::<TimestampSecondType>().values(),
            &[revised_at, 0]
        );
    }
}

#[test]
fn a_clock_that_is_ahead_is_counted_and_does_not_move_the_watermark() {
    let (day_ms, at_ms) = (86_400_000, HOUR_MS + 10_000);
    let samples = [
        sample(HOUR_MS, 1.0),
        sample(HOUR_MS + day_ms, 2.0),
        sample(HOUR_MS + 7, 3.0),
    ];
    let range = range(&samples.map(|s| payload(&s)), at_ms);
    let prepared = stage(2).prepare(&range, &intent(0, at_ms)).unwrap();
    assert_eq!((prepared.rows, prepared.ahead), (3, 1), "it is aggregated all the same");
    assert_eq!(prepared.high_time_ms, Some(HOUR_MS + 7));
    let incidents = prepared.blocks.iter().find(|block| block.table == "incidents").unwrap();
    let row = &incidents.pieces[0];
    assert_eq!(row["reason"].as_string::<i32>().value(0), "clock_ahead");
    assert_eq!(row["start_offset"].as_primitive::<Int64Type>().value(0), 101);
    assert_eq!(
        row["hour"].as_primitive::<TimestampSecondType>().value(0),
        i64::from(HOUR) + day_ms / 1_000
    );
}

#[test]
fn keys_beyond_the_limit_are_added_up_and_no_record_is_lost() {
    let with_service = |service: u32, value: f64| MetricSample {
        service_id: format!("service-{service}"),
        ..sample(HOUR_MS + 1, value)
    };
    // One service with two records, more than the limit with one.
    let samples: Vec<_> = [with_service(7, 1.0)]
        .into_iter()
        .chain((0..1_500).map(|service| with_service(service, 2.0)))
        .map(|sample| payload(&sample))
        .collect();
    let prepared = stage(2)
        .prepare(&range(&samples, HOUR_MS + 1), &intent(0, HOUR_MS))
        .unwrap();
    let row = &pieces(&prepared)[0];
    assert_eq!((row.num_rows(), prepared.rows), (1_001, 1_501));
    let counts = row["count"].as_primitive::<UInt64Type>();
    let count = |metric: &str, service: &str| {
        let at = (0..row.num_rows()).find(|&at| {
            row["metric_name"].as_string::<i32>().value(at) == metric
                && row["service_id"].as_string::<i32>().value(at) == service
        });
        at.map(|at| counts.value(at))
    };
    assert_eq!(
        count("latency", "service-7"),
        Some(2),
        "those with the most records stay"
    );
    assert_eq!(count("horolog_overflow", ""), Some(500));
    assert_eq!(counts.values().iter().sum::<u64>(), 1_501);
    let incidents = prepared.blocks.iter().find(|block| block.table == "incidents").unwrap();
    let incident = &incidents.pieces[0];
    assert_eq!(incident["reason"].as_string::<i32>().value(0), "keys_overflowed");
    assert_eq!(incident["records"].as_primitive::<UInt64Type>().value(0), 500);
}

#[test]
fn a_bad_record_is_counted_and_costs_no_other() {
    let samples = [
        b"not avro".to_vec(),
        payload(&sample(HOUR_MS, 1.0)),
        payload(&sample(HOUR_MS, f64::NAN)),
        Vec::new(),
    ];
    let prepared = stage(2)
        .prepare(&range(&samples, HOUR_MS), &intent(0, HOUR_MS))
        .unwrap();
    assert_eq!((prepared.rows, prepared.rejected), (1, 3));
}

#[test]
fn a_range_without_a_good_record_has_no_piece() {
    let prepared = stage(2)
        .prepare(&range(&[b"not avro".to_vec()], HOUR_MS), &intent(0, HOUR_MS))
        .unwrap();
    assert_eq!((prepared.rows, prepared.rejected), (0, 1));
    assert!(pieces(&prepared).is_empty());
    assert_eq!(prepared.high_time_ms, Some(HOUR_MS), "the log has come so far");
    let prepared = stage(2).prepare(&range([], HOUR_MS), &intent(0, HOUR_MS)).unwrap();
    assert_eq!((prepared.rows, prepared.rejected), (0, 0));
}

#[test]
fn records_without_a_kafka_timestamp_say_nothing_about_the_clocks_of_others() {
    let (good, at_ms) = (payload(&sample(HOUR_MS, 1.0)), HOUR_MS + 10);
    let mut filling = Filling::new(0);
    for (offset, timestamp_ms) in (0..).zip([at_ms, -1, -1]) {
        let record = RawRecord {
            offset,
            timestamp_ms,
            key: None,
            payload: Some(&good),
        };
        filling.push(&record, Instant::now());
    }
    let prepared = stage(1)
        .prepare(&filling.close(&partition(), 1, 3), &intent(0, at_ms))
        .unwrap();
    assert_eq!((prepared.rows, prepared.rejected, prepared.ahead), (1, 2, 0));
    assert_eq!(prepared.high_time_ms, Some(HOUR_MS));
}

#[test]
fn the_same_keys_stay_hour_after_hour() {
    let stayed = |at_ms: i64| -> Vec<String> {
        let with_service = |service: u32| MetricSample {
            service_id: format!("service-{service}"),
            ..sample(at_ms, 1.0)
        };
        let samples: Vec<_> = (0..1_500).map(|service| payload(&with_service(service))).collect();
        let prepared = stage(1).prepare(&range(&samples, at_ms), &intent(0, at_ms)).unwrap();
        let services = pieces(&prepared)[0]["service_id"].as_string::<i32>();
        services.iter().flatten().map(str::to_owned).collect()
    };
    assert_eq!(stayed(HOUR_MS), stayed(HOUR_MS + 3_600_000));
}

#[test]
fn what_is_older_than_the_retention_is_aggregated_and_counted_as_expired() {
    let at_ms = HOUR_MS + 26 * 31 * 86_400_000;
    let samples = [sample(HOUR_MS, 1.0), sample(at_ms, 1.0)].map(|s| payload(&s));
    let prepared = stage(1).prepare(&range(&samples, at_ms), &intent(0, at_ms)).unwrap();
    assert_eq!((prepared.rows, prepared.expired), (2, 1));
}

#[test]
fn a_batch_over_many_months_is_cut_into_pieces() {
    let month_ms = 31 * 86_400_000;
    let samples: Vec<_> = (0..60)
        .map(|month| payload(&sample(HOUR_MS + month * month_ms, 1.0)))
        .collect();
    let prepared = stage(2)
        .prepare(&range(&samples, HOUR_MS + 60 * month_ms), &intent(0, HOUR_MS))
        .unwrap();
    let rows: Vec<usize> = pieces(&prepared).iter().map(RecordBatch::num_rows).collect();
    assert_eq!(rows.iter().sum::<usize>(), 60);
    assert!(rows.len() > 1, "more than fifty table partitions");
}

#[test]
fn a_batch_is_the_same_whenever_and_by_however_many_workers_it_is_made() {
    let records = 3 * CHUNK_RECORDS as i64 + 17;
    let value = |n: i64| (n as f64 * 0.7).sin() * 10f64.powi((n % 30) as i32 - 15);
    let payloads: Vec<_> = (0..records)
        .map(|n| {
            let service_id = format!("service-{}", n * 7_919 % 300);
            payload(&MetricSample {
                service_id,
                ..sample(HOUR_MS + n * 977 % 7_200_000, value(n))
            })
        })
        .collect();
    let range = range(&payloads, HOUR_MS + 7_200_000);
    let intent = intent(HOUR_MS + 3_600_000, HOUR_MS + 7_200_000);
    let first = stage(1).prepare(&range, &intent).unwrap();
    for workers in 1..=4 {
        let stage = stage(workers);
        for _ in 0..2 {
            let again = stage.prepare(&range, &intent).unwrap();
            assert_eq!(pieces(&again), pieces(&first), "{workers} workers");
            assert_eq!(
                (again.hours, again.high_time_ms),
                (first.hours.clone(), first.high_time_ms)
            );
        }
    }
}

#[test]
fn rules_of_another_release_are_refused() {
    let intent = Intent {
        rules_version: RULES_VERSION + 1,
        ..intent(0, 0)
    };
    let refused = stage(1).prepare(&range([], 0), &intent);
    assert!(matches!(refused, Err(PrepareError::Rules(version)) if version == RULES_VERSION + 1));
}
