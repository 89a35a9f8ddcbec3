//! The dataflow against a naive model: any samples, chunk sizes, numbers of workers and concurrent batches.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use horolog_aggregate::histogram::Bucket;
use horolog_aggregate::hours::Hours;
use horolog_aggregate::key::{HOUR_S, Key};
use horolog_aggregate::late::LateRecords;
use horolog_aggregate::partial::{Ahead, Tally};
use horolog_aggregate::samples::Samples;
use horolog_aggregate::time_frame::TimeFrame;
use horolog_aggregate::workers::{Workers, WorkersError};
use proptest::prelude::*;

const MINUTE_US: i64 = 60_000_000;

/// In the middle of the records' times: some hours are late, some clocks ahead.
const FRAME: TimeFrame = TimeFrame {
    watermark_ms: 1_680_004_000_000,
    begun_at_ms: 1_680_006_000_000,
    believed_until_ms: 1_680_006_000_000,
    max_clock_skew_ms: 2_000_000,
};

/// A sample, or nothing where the record was rejected.
type Record = Option<Row>;

#[derive(Clone, Debug)]
struct Row {
    tenant: &'static str,
    metric: &'static str,
    service: &'static str,
    metric_type: u8,
    minute: i64,
    value: f64,
    timestamp_ms: i64,
}

/// What is known of a key: count, sum, min, max, last (time, offset, value), distribution.
#[derive(Clone, Debug, PartialEq)]
struct Expected {
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
    last: (i64, i64, f64),
    buckets: BTreeMap<Bucket, u64>,
}

/// Tenant, metric, hour, service, type: what differs between the keys of these tests, in the order of the table.
type TestKey = (String, String, u32, String, u8);

type Model = BTreeMap<TestKey, Expected>;

/// In the order of the keys.
type Rows = Vec<(TestKey, Expected)>;

fn merge(into: &mut Model, later: Model) {
    for (key, add) in later {
        into.entry(key)
            .and_modify(|to| {
                to.count += add.count;
                to.sum += add.sum;
                to.min = to.min.min(add.min);
                to.max = to.max.max(add.max);
                to.last = if (add.last.0, add.last.1) > (to.last.0, to.last.1) {
                    add.last
                } else {
                    to.last
                };
                for (bucket, count) in &add.buckets {
                    *to.buckets.entry(*bucket).or_default() += count;
                }
            })
            .or_insert(add);
    }
}

fn model(records: &[Record], chunk: usize) -> Model {
    let mut model = Model::new();
    for (number, records) in records.chunks(chunk).enumerate() {
        let mut of_chunk = Model::new();
        for (offset, row) in ((number * chunk) as i64..).zip(records) {
            let Some(row) = row else { continue };
            let (time, value) = (row.minute * MINUTE_US, row.value + 0.0);
            let hour = (row.minute / 60) as u32 * HOUR_S;
            let buckets = BTreeMap::from([(Bucket::of(value), 1)]);
            let one = Expected {
                count: 1,
                sum: value,
                min: value,
                max: value,
                last: (time, offset, value),
                buckets,
            };
            let key = (
                row.tenant.into(),
                row.metric.into(),
                hour,
                row.service.into(),
                row.metric_type,
            );
            merge(&mut of_chunk, Model::from([(key, one)]));
        }
        merge(&mut model, of_chunk);
    }
    model
}

/// The tally of the batch as a whole, computed record by record.
fn tally(records: &[Record]) -> Tally {
    let mut tally = Tally::default();
    for (offset, row) in (0..).zip(records) {
        let Some(row) = row else {
            tally.rejected += 1;
            continue;
        };
        let time_ms = row.minute * 60_000;
        if row.timestamp_ms <= FRAME.believed_until_ms && time_ms <= row.timestamp_ms + FRAME.max_clock_skew_ms {
            tally.high_time_ms = tally.high_time_ms.max(Some(row.timestamp_ms.min(time_ms)));
        } else {
            let known = tally.ahead;
            tally.ahead = Some(Ahead {
                records: known.map_or(0, |known| known.records) + 1,
                first_offset: known.map_or(offset, |known| known.first_offset),
                last_offset: offset,
                latest_ms: known
                    .map_or(i64::MIN, |known| known.latest_ms)
                    .max(row.timestamp_ms)
                    .max(time_ms),
            });
        }
        let hour = (row.minute / 60) as u32 * HOUR_S;
        if i64::from(hour + HOUR_S) * 1_000 <= FRAME.watermark_ms {
            let lateness_s = ((FRAME.watermark_ms - time_ms) / 1_000) as u32;
            tally
                .late
                .entry((row.tenant.to_owned(), hour))
                .and_modify(|late| late.add_one(offset, lateness_s))
                .or_insert_with(|| LateRecords::of(offset, lateness_s));
        }
    }
    tally
}

fn found(hours: &Hours) -> Rows {
    let rows = hours
        .keys
        .iter()
        .zip(&hours.summaries)
        .enumerate()
        .map(|(position, (key, summary))| {
            let key = Key::decode(key).unwrap();
            let key = (
                key.tenant_id.into_owned(),
                key.metric_name.into_owned(),
                key.hour,
                key.service_id.into_owned(),
                key.metric_type,
            );
            let expected = Expected {
                count: summary.count,
                sum: summary.sum,
                min: summary.min,
                max: summary.max,
                last: (summary.last.time_us, summary.last.offset, summary.last.value),
                buckets: hours.buckets(position).iter().copied().collect(),
            };
            (key, expected)
        });
    rows.collect()
}

/// The samples of the records of a chunk that begins at `offset`.
fn samples(offset: i64, records: &[Record]) -> Samples {
    let placed: Vec<(i64, &Row)> = (offset..)
        .zip(records)
        .filter_map(|(offset, row)| row.as_ref().map(|row| (offset, row)))
        .collect();
    let texts = |of: fn(&Row) -> &'static str| placed.iter().map(|(_, row)| Some(of(row))).collect();
    Samples {
        tenant_id: texts(|row| row.tenant),
        metric_name: texts(|row| row.metric),
        metric_type: placed.iter().map(|(_, row)| row.metric_type).collect(),
        service_id: texts(|row| row.service),
        plugin_id: texts(|_| "plugin"),
        team_id: texts(|_| ""),
        environment: texts(|_| "production"),
        unit: texts(|_| "ms"),
        time: placed
            .iter()
            .map(|(_, row)| row.minute * MINUTE_US)
            .collect::<Vec<_>>()
            .into(),
        value: placed.iter().map(|(_, row)| row.value).collect::<Vec<_>>().into(),
        offset: placed.iter().map(|(offset, _)| *offset).collect(),
        timestamp_ms: placed.iter().map(|(_, row)| row.timestamp_ms).collect(),
        rejected: (records.len() - placed.len()) as u64,
        frame: FRAME,
    }
}

fn start(workers: usize) -> Workers<Samples> {
    Workers::start(workers, || Ok).unwrap()
}

fn chunks(records: &[Record], chunk: usize) -> Vec<Samples> {
    let chunks = records.chunks(chunk).enumerate();
    chunks
        .map(|(number, records)| samples((number * chunk) as i64, records))
        .collect()
}

/// Few keys, so that most have values in many chunks.
fn record() -> impl Strategy<Value = Record> {
    let value = prop_oneof![
        1 => Just(0.0),
        1 => Just(-0.0),
        20 => -1e6..1e6,
        1 => any::<u64>()
            .prop_map(f64::from_bits)
            .prop_filter("validated", |value| value.is_finite()),
    ];
    let texts = (
        prop::sample::select(vec!["a\0b", "ab"]),
        prop::sample::select(vec!["cpu", "cpu\u{1}"]),
        prop::sample::select(vec!["", "api"]),
    );
    let row = (
        texts,
        1..=3u8,
        28_000_000..28_000_180i64,
        value,
        1_679_999_000_000..1_680_009_000_000i64,
    );
    let row = row.prop_map(
        |((tenant, metric, service), metric_type, minute, value, timestamp_ms)| Row {
            tenant,
            metric,
            service,
            metric_type,
            minute,
            value,
            timestamp_ms,
        },
    );
    prop::option::weighted(0.95, row)
}

/// Without what depends on the order of addition.
fn without_sums(mut rows: Rows) -> Rows {
    rows.iter_mut().for_each(|(_, expected)| expected.sum = 0.0);
    rows
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn equals_the_model_bit_for_bit_with_any_number_of_workers(
        records in prop::collection::vec(record(), 1..400),
        chunk in 1..70usize,
    ) {
        let model: Rows = model(&records, chunk).into_iter().collect();
        let tally = tally(&records);
        for workers in 1..=4 {
            let hours = start(workers).aggregate(chunks(&records, chunk)).unwrap();
            prop_assert_eq!(&hours.tally, &tally);
            prop_assert_eq!(without_sums(found(&hours)), without_sums(model.clone()));
            let bits = |rows: &Rows| rows.iter().map(|(_, row)| row.sum.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&found(&hours)), bits(&model));
        }
    }

    #[test]
    fn all_but_the_sums_is_equal_under_any_chunk_size(
        records in prop::collection::vec(record(), 1..400),
        one in 1..70usize,
        other in 1..70usize,
    ) {
        let workers = start(2);
        let one = found(&workers.aggregate(chunks(&records, one)).unwrap());
        let other = found(&workers.aggregate(chunks(&records, other)).unwrap());
        prop_assert_eq!(without_sums(one), without_sums(other));
    }

    #[test]
    fn batches_at_a_time_do_not_mix(
        batches in prop::collection::vec(prop::collection::vec(record(), 0..60), 1..8),
        workers in 1..=4usize,
    ) {
        let workers = Arc::new(start(workers));
        let asked: Vec<_> = batches
            .iter()
            .map(|records| {
                let (workers, chunks) = (Arc::clone(&workers), chunks(records, 7));
                std::thread::spawn(move || workers.aggregate(chunks).unwrap())
            })
            .collect();
        for (records, asked) in batches.iter().zip(asked) {
            prop_assert_eq!(found(&asked.join().unwrap()), model(records, 7).into_iter().collect::<Rows>());
        }
    }
}

#[test]
fn a_batch_without_records_is_empty() {
    assert!(start(2).aggregate([]).unwrap().is_empty());
}

#[test]
fn a_batch_of_rejected_records_still_tells_how_many() {
    let hours = start(2).aggregate(chunks(&vec![None; 10], 3)).unwrap();
    assert!(hours.is_empty());
    assert_eq!(
        hours.tally,
        Tally {
            rejected: 10,
            ..Tally::default()
        }
    );
}

#[test]
fn a_chunk_that_cannot_be_decoded_fails_its_batch_and_no_other() {
    let decoder = || |chunk: Option<Samples>| chunk.ok_or_else(|| "no columns".to_owned());
    let workers = Workers::start(2, decoder).unwrap();
    let row = || samples(0, &[None]);
    assert!(
        matches!(workers.aggregate([Some(row()), None, Some(row())]), Err(WorkersError::Decode(reason)) if reason == "no columns")
    );
    assert_eq!(workers.aggregate([Some(row())]).unwrap().tally.rejected, 1);
}

#[test]
fn more_chunks_than_the_inboxes_hold_wait_their_turn() {
    let records = vec![None; 10_000];
    assert_eq!(start(3).aggregate(chunks(&records, 1)).unwrap().tally.rejected, 10_000);
}
