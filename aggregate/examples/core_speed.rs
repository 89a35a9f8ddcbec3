//! How many records per second the core aggregates at 100,000 keys, with one worker and with two; without decoding.
//!
//! `cargo run --release -p horolog-aggregate --example core_speed [records] [keys]`
#![allow(missing_docs)]

use std::time::Instant;

use anyhow::Context as _;
use arrow::array::StringArray;
use horolog_aggregate::partial::Preaggregation;
use horolog_aggregate::samples::Samples;
use horolog_aggregate::stage::CHUNK_RECORDS;
use horolog_aggregate::time_frame::TimeFrame;
use horolog_aggregate::workers::Workers;

const ROUNDS: usize = 5;
const HOUR_US: u64 = 3_600_000_000;

/// Reproducible pseudo-random numbers.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Samples of random keys: 20 tenants, 50 metrics, the rest services; values with a long tail.
fn samples(start: u64, records: usize, keys: u64, numbers: &mut Numbers) -> Samples {
    let series: Vec<u64> = (0..records).map(|_| numbers.next() % keys).collect();
    let texts = |of: fn(u64) -> String| StringArray::from_iter_values(series.iter().map(|series| of(*series)));
    let time = |offset: u64| (1_700_000_000_000_000 / HOUR_US * HOUR_US + offset) as i64;
    let mut value = || (numbers.next() as f64 / u64::MAX as f64).powi(-2) * 3.5;
    Samples {
        tenant_id: texts(|series| format!("tenant-{:02}", series % 20)),
        metric_name: texts(|series| format!("http_request_duration_{:02}", series / 20 % 50)),
        metric_type: vec![3; records],
        service_id: texts(|series| format!("service-{:03}", series / 1_000)),
        plugin_id: texts(|series| format!("plugin-{}", series % 7)),
        team_id: texts(|series| format!("team-{}", series % 11)),
        environment: texts(|_| "production".to_owned()),
        unit: texts(|_| "ms".to_owned()),
        time: (start..).take(records).map(time).collect::<Vec<_>>().into(),
        value: (0..records).map(|_| value()).collect::<Vec<_>>().into(),
        offset: (start as i64..).take(records).collect(),
        timestamp_ms: (start..).take(records).map(|offset| time(offset) / 1_000).collect(),
        rejected: 0,
        frame: TimeFrame::new(std::iter::empty(), 0, 0, 0),
    }
}

fn batch(records: usize, keys: u64) -> Vec<Samples> {
    let mut numbers = Numbers(0x9E37_79B9_7F4A_7C15);
    let starts = (0..records).step_by(CHUNK_RECORDS);
    starts
        .map(|start| samples(start as u64, CHUNK_RECORDS.min(records - start), keys, &mut numbers))
        .collect()
}

fn report(what: &str, records: usize, seconds: f64) {
    let (rate, cost) = (records as f64 / seconds / 1e6, seconds / records as f64 * 1e9);
    println!("{what}: {rate:.2} M records/s, {cost:.0} ns a record");
}

fn main() -> anyhow::Result<()> {
    let argument = |position, default| match std::env::args().nth(position) {
        Some(text) => text.parse().with_context(|| format!("{text} is not a number")),
        None => Ok(default),
    };
    let (records, keys) = (argument(1, 1_000_000)?, argument(2, 100_000)?);

    let chunks = batch(records, keys as u64);
    let begin = Instant::now();
    let mut preaggregation = Preaggregation::new(1);
    let partials: usize = (0..)
        .zip(&chunks)
        .map(|(number, chunk)| preaggregation.run(number, chunk)[0].keys.len())
        .sum();
    report(
        &format!("pre-aggregation alone, to {partials} partials"),
        records,
        begin.elapsed().as_secs_f64(),
    );

    for count in [1, 2] {
        let workers = Workers::start(count, || Ok)?;
        let mut fastest = f64::INFINITY;
        let mut found = 0;
        for _ in 0..ROUNDS {
            let chunks = batch(records, keys as u64);
            let begin = Instant::now();
            found = workers.aggregate(chunks)?.len();
            fastest = fastest.min(begin.elapsed().as_secs_f64());
        }
        report(
            &format!("{count} worker(s), {records} records to {found} keys"),
            records,
            fastest,
        );
    }
    Ok(())
}
