//! The steps of the hot path, each on prepared input, so that only the step itself is measured.
//!
//! In: nothing; the records follow from a formula, which `aggregate_in_duckdb.py` repeats. Out: by name, a repeatable
//! step and the number of records in one run of it. For comparison, the same work done the obvious way: `apache-avro`
//! values, RowBinary. No clock, no I/O.
#![allow(dead_code)] // each benchmark that shares this module uses a part of it

mod aggregating;
mod storing;
mod the_obvious_way;

use horolog_schemas::{MetricSample, MetricType, RawRecord};

/// One step, ready to run.
pub struct Step {
    /// Records in one run.
    pub records: usize,
    /// Runs it.
    pub run: Box<dyn FnMut()>,
}

/// Prepares a step.
type Make = fn() -> Step;

/// All steps, in the order in which a record passes them. `bool`: whether everything runs on the calling thread.
pub const STEPS: [(&str, bool, Make); 19] = [
    ("encode", true, storing::encode),
    ("take into a range", true, storing::take),
    ("decode to Arrow and validate", true, storing::decode),
    ("rows with dictionaries", true, storing::rows_of),
    ("split by table partition, one day", true, storing::split_one_day),
    ("split by table partition, 400 days", true, storing::split_many_days),
    ("Arrow IPC", true, storing::ipc),
    ("LZ4 of it", true, storing::lz4),
    ("decode to wire, all of these", true, storing::to_wire),
    ("ledger", true, storing::ledger),
    ("apache-avro encode", true, the_obvious_way::encode),
    ("apache-avro values", true, the_obvious_way::values),
    ("apache-avro values to RowBinary", true, the_obvious_way::row_binary),
    ("histogram, record", true, aggregating::record),
    ("histogram, merge", true, aggregating::merge),
    ("pre-aggregate, 100,000 keys", true, aggregating::preaggregate),
    ("combine and block, 100,000 keys", true, aggregating::combine),
    ("dataflow, 1 worker, 100,000 keys", false, aggregating::dataflow_1),
    ("dataflow, 2 workers, 100,000 keys", false, aggregating::dataflow_2),
];

/// Records in a batch of the ingest stage.
const BATCH: usize = 65_536;
/// 2026-01-05 12:00, microseconds.
const START_US: i64 = 1_767_614_400_000_000;
const SERVICES: usize = 500;
const METRICS: usize = 200;

/// Record `number` of a batch over `series` series, at most 100,000: 12 to 50 values a minute and service, two decimals.
pub fn sample(number: usize, series: usize) -> MetricSample {
    let of = number % series;
    MetricSample {
        tenant_id: "acme".into(),
        time: START_US + (number / series) as i64 * 60_000_000,
        metric_name: format!("http_request_duration_{:03}", of % METRICS),
        metric_type: MetricType::Gauge,
        service_id: format!("service-{:03}", of / METRICS % SERVICES),
        plugin_id: "core".into(),
        environment: "production".into(),
        value: ((number * 7_919) % 1_000_003) as f64 / 100.0,
        unit: "ms".into(),
        labels: [
            ("region".into(), "eu-west-1".into()),
            ("instance".into(), format!("i-{:05}", of % 977)),
        ]
        .into(),
        ..MetricSample::default()
    }
}

/// A batch of such records.
fn samples(series: usize) -> Vec<MetricSample> {
    (0..BATCH).map(|number| sample(number, series)).collect()
}

/// The payloads of such records.
fn payloads(records: usize, series: usize) -> Vec<Vec<u8>> {
    let payload = |number| {
        let mut payload = Vec::new();
        sample(number, series).encode_single_object(&mut payload);
        payload
    };
    (0..records).map(payload).collect()
}

/// As read from one partition.
fn records(payloads: &[Vec<u8>]) -> Vec<RawRecord<'_>> {
    (0..)
        .zip(payloads)
        .map(|(offset, payload)| RawRecord {
            offset,
            timestamp_ms: START_US / 1_000 + offset,
            key: None,
            payload: Some(payload),
        })
        .collect()
}
