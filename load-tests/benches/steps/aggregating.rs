//! From decoded columns to a block of partial aggregates: the aggregate stage's work on a batch.

use std::hint::black_box;
use std::sync::Arc;

use horolog_aggregate::block::{BatchOrigin, metrics_hourly};
use horolog_aggregate::histogram::{Bucket, add_up};
use horolog_aggregate::hours::Hours;
use horolog_aggregate::partial::{Partial, Preaggregation};
use horolog_aggregate::samples::Samples;
use horolog_aggregate::stage::CHUNK_RECORDS;
use horolog_aggregate::time_frame::TimeFrame;
use horolog_aggregate::workers::Workers;
use horolog_schemas::{Decoder, Kind, WriterSchemas};

use super::{Step, payloads, records};

const RECORDS: usize = 1_000_000;
const KEYS: usize = 100_000;
const VALUES: usize = 65_536;

/// No sample is late.
const FRAME: TimeFrame = TimeFrame {
    watermark_ms: 0,
    begun_at_ms: super::START_US / 1_000,
    believed_until_ms: i64::MAX,
    max_clock_skew_ms: i64::MAX,
};
const ORIGIN: BatchOrigin<'_> = BatchOrigin {
    topic: "metrics",
    partition: 0,
    write_epoch: 0,
};

fn step(records: usize, run: impl FnMut() + 'static) -> Step {
    Step {
        records,
        run: Box::new(run),
    }
}

fn values() -> Vec<f64> {
    (0..VALUES).map(|number| super::sample(number, KEYS).value).collect()
}

fn sorted(values: &[f64]) -> Vec<(Bucket, u64)> {
    let mut buckets: Vec<_> = values.iter().map(|value| (Bucket::of(*value), 1)).collect();
    buckets.sort_unstable();
    buckets
}

pub fn record() -> Step {
    let values = values();
    step(VALUES, move || {
        black_box(values.iter().map(|value| Bucket::of(*value)).max());
    })
}

/// Merges the sorted distributions of a thousand values each into one.
pub fn merge() -> Step {
    let mut all: Vec<(Bucket, u64)> = values().chunks(1_000).flat_map(sorted).collect();
    all.sort_unstable();
    let mut merged = Vec::new();
    step(VALUES, move || {
        merged.clear();
        add_up(all.iter().copied(), &mut merged);
        black_box(&merged);
    })
}

/// A batch in chunks, as the workers receive it.
fn batch() -> Vec<Arc<Samples>> {
    let payloads = payloads(RECORDS, KEYS);
    let mut decoder = Decoder::new(Arc::new(WriterSchemas::load(Kind::MetricSample, None).unwrap()));
    records(&payloads)
        .chunks(CHUNK_RECORDS)
        .map(|records| Arc::new(Samples::new(&decoder.decode(records).unwrap(), records, FRAME).unwrap()))
        .collect()
}

fn partials(batch: &[Arc<Samples>]) -> Vec<Partial> {
    let mut preaggregation = Preaggregation::new(1);
    (0..)
        .zip(batch)
        .flat_map(|(number, samples)| preaggregation.run(number, samples))
        .collect()
}

pub fn preaggregate() -> Step {
    let batch = batch();
    step(RECORDS, move || drop(black_box(partials(&batch))))
}

pub fn combine() -> Step {
    let partials = partials(&batch());
    step(RECORDS, move || {
        let hours = Hours::combine(partials.clone());
        drop(black_box(metrics_hourly(&hours, ORIGIN, FRAME).unwrap()));
    })
}

pub fn dataflow_1() -> Step {
    dataflow(1)
}

pub fn dataflow_2() -> Step {
    dataflow(2)
}

fn dataflow(workers: usize) -> Step {
    let batch = batch();
    let decode = || |samples: Arc<Samples>| Ok((*samples).clone());
    let workers = Workers::start(workers, decode).unwrap();
    step(RECORDS, move || {
        let hours = workers.aggregate(batch.iter().cloned()).unwrap();
        drop(black_box(metrics_hourly(&hours, ORIGIN, FRAME).unwrap()));
    })
}
