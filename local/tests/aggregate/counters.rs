//! Counters and fresh hours against a naive model, while a stage is killed and late samples arrive.

use horolog_schemas::MetricSample;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::bed::{now_ms, seed, wait_until};
use crate::flow::{Flow, STORED_DEADLINE};
use crate::model::{Hours, Model};
use crate::upkeep::{self, AT_ONCE, computed, counter, produce};

const HOUR_MS: i64 = 3_600_000;
const INSTANCES: u64 = 7;
const STEP_MS: i64 = 60_000;

/// Three hours of counters up to now, each instance with resets of its own; all values are whole, so that sums are exact.
fn history(flow: &Flow<'_>, random: &mut StdRng, from_ms: i64, to_ms: i64) -> Vec<MetricSample> {
    let mut values = [0_u32; INSTANCES as usize];
    let mut samples = Vec::new();
    for time in (from_ms..to_ms).step_by(STEP_MS as usize) {
        for instance in 0..INSTANCES {
            let value = &mut values[instance as usize];
            *value = if random.random_bool(0.02) {
                3
            } else {
                *value + random.random_range(0..50)
            };
            samples.push(counter(flow, "requests", instance, time, f64::from(*value)));
        }
    }
    samples
}

fn fresh(flow: &Flow<'_>) -> Hours {
    let rows: Vec<(String, String, u32, u64, f64, u64)> = flow.bed.sql(&format!(
        "select toString(metric_name), labels['instance'] as instance, toUInt32(hour), samples, increase, resets \
         from counter_hourly_fresh_view where tenant_id = '{}'",
        flow.topic
    ));
    rows.into_iter()
        .map(|(metric, instance, hour, samples, increase, resets)| {
            ((metric, instance, hour), (samples, increase, resets))
        })
        .collect()
}

#[test]
fn increases_are_those_of_the_model_over_batches_hours_crashes_and_late_samples() {
    let mut random = StdRng::seed_from_u64(seed());
    let flow = upkeep::flow("counters", 2);
    let mut model = Model::default();
    let _ingest = flow.ingest(&[]);
    let mut aggregate = flow.aggregate(&AT_ONCE);
    let this_hour = now_ms() / HOUR_MS * HOUR_MS;
    let start = this_hour - 3 * HOUR_MS + 30 * 60_000;
    let samples = history(&flow, &mut random, start, now_ms());
    // Samples of a series alternate between partitions; the stage dies between batches.
    let (front, back) = samples.split_at(samples.len() / 2);
    for (partition, samples) in [(0, front), (1, back)] {
        let offset = produce(&flow, partition, samples);
        model.add(samples, partition, offset);
        aggregate.restart();
    }
    flow.wait_until_stage_stored("ingest");
    flow.wait_until_stage_stored("aggregate");
    wait_until(STORED_DEADLINE, "the three hours before this one are computed", || {
        computed(&flow).0 >= 3
    });
    // An idle partition advances with the clock: what was sent after that is late, and its hours are computed again.
    wait_until(STORED_DEADLINE, "the hours are those of the model", || {
        fresh(&flow) == model.hours()
    });

    // The last sample of the first hour comes late: it changes that hour, and what the next one starts from. Its
    // instance does not fall there anyway, since then the next hour would stay as it was.
    let second_hour = start + 30 * 60_000;
    let value = |instance: u64, time: i64| {
        let of = |sample: &&MetricSample| {
            sample.time == time * 1_000 && sample.labels["instance"] == format!("i-{instance}")
        };
        samples.iter().find(of).unwrap().value
    };
    let rises = |instance: &u64| value(*instance, second_hour) >= value(*instance, second_hour - STEP_MS);
    let rising = (0..INSTANCES).find(rises).unwrap();
    let late = [counter(&flow, "requests", rising, second_hour - 1, 100_000.0)];
    let before = model.hours();
    let offset = produce(&flow, 1, &late);
    model.add(&late, 1, offset);
    let changed: Vec<u32> = model
        .hours()
        .iter()
        .filter(|(key, hour)| before.get(*key) != Some(*hour))
        .map(|(key, _)| key.2)
        .collect();
    assert_eq!(changed.len(), 2, "two hours change: {changed:?}");
    wait_until(STORED_DEADLINE, "both hours are revised", || {
        fresh(&flow) == model.hours()
    });
    aggregate.kill9();
    let as_of_before: f64 = flow.bed.one(&format!(
        "select sum(increase) from counter_hourly_as_of(as_of = toString(now64(3, 'UTC') - interval 1 day)) where tenant_id = '{}'",
        flow.topic
    ));
    assert_eq!(as_of_before, 0.0, "a day ago nothing was known");
    let revisions: u64 = flow.bed.one(&format!(
        "select uniqExact(revision) from counter_hourly where tenant_id = '{}' and hour = toDateTime({})",
        flow.topic, changed[0]
    ));
    assert!(revisions >= 2, "what was known before is kept");
    let twice: u64 = flow.bed.one(&format!(
        "select toUInt64(count() - uniqExact(hour, metric_name, splitByString(': ', detail)[2])) from incidents \
         where reason = 'counter_reset_twice' and tenant_id = '{}'",
        flow.topic
    ));
    assert_eq!(twice, 0, "a counter that fell twice is told of once");
}

/// A host whose clock is ahead made a revision count; of the next revision only rows were written.
#[test]
fn what_an_attempt_left_is_no_part_of_the_revision_after_it() {
    let flow = upkeep::flow("left", 1);
    let _stages = (flow.ingest(&[]), flow.aggregate(&AT_ONCE));
    let now = now_ms();
    let hour = now / HOUR_MS * HOUR_MS - HOUR_MS;
    let at = |minute: i64, value: f64| counter(&flow, "requests", 0, hour + minute * STEP_MS, value);
    let samples = [at(10, 1.0), at(20, 5.0), counter(&flow, "requests", 0, now, 6.0)];
    produce(&flow, 0, &samples);
    let of_hour = format!("tenant_id = '{}' and hour = toDateTime({})", flow.topic, hour / 1_000);
    let counted = || -> Vec<(u64, f64)> {
        flow.bed.sql(&format!(
            "select samples, increase from counter_hourly_view where {of_hour}"
        ))
    };
    let settled = format!("counter_revisions where {of_hour} and hourly_samples = 2");
    wait_until(STORED_DEADLINE, "the hour is computed", || {
        let settled: u64 = flow.bed.one(&format!("select count() from {settled}"));
        settled > 0 && counted() == [(2, 4.0)]
    });

    let ahead = now + 24 * HOUR_MS;
    for revision in [ahead, ahead + 1] {
        flow.bed.execute(&format!(
            "insert into counter_hourly select * replace ({revision} as revision, now64(3) as inserted_at) from counter_hourly \
             where {of_hour} limit 1"
        ));
    }
    flow.bed.execute(&format!(
        "insert into counter_revisions select * replace ({ahead} as revision, now64(3) as decided_at, now64(3) as inserted_at) \
         from {settled} limit 1"
    ));
    assert_eq!(counted(), [(2, 4.0)]);
    produce(&flow, 0, &[at(30, 9.0)]);
    wait_until(STORED_DEADLINE, "the hour is revised", || counted() == [(3, 8.0)]);
}

/// Six series, then twenty-four, of which most are folded, then the six again: each hour is a job of its own.
#[test]
fn what_series_rise_while_they_are_folded_is_counted_once() {
    let flow = upkeep::flow("folded", 1);
    let _ingest = flow.ingest(&[]);
    let this_hour = now_ms() / HOUR_MS * HOUR_MS;
    let mut samples = Vec::new();
    let mut values = [0_u32; 24];
    for (hours_ago, series, a_series) in [(3, 6, 180), (2, 24, 50), (1, 6, 180)] {
        let start = this_hour - hours_ago * HOUR_MS;
        for number in 0..a_series {
            for instance in 0..series {
                values[instance as usize] += 1 + instance;
                let value = f64::from(values[instance as usize]);
                samples.push(counter(
                    &flow,
                    "requests",
                    instance.into(),
                    start + number * 15_000,
                    value,
                ));
            }
        }
    }
    produce(&flow, 0, &samples);
    flow.wait_until_stage_stored("ingest");
    let in_slices = [
        ("HOROLOG_AGGREGATE__UPKEEP__LABEL_SETS_MAX", "6"),
        ("HOROLOG_AGGREGATE__UPKEEP__SLICE_ROWS_MAX", "1000"),
    ];
    let _aggregate = flow.aggregate(&[&AT_ONCE[..], &in_slices].concat());
    wait_until(STORED_DEADLINE, "the three hours before this one are computed", || {
        computed(&flow).0 >= 3
    });
    // The first sample of a series has none before it.
    let first: u32 = (0..24).map(|instance| 1 + instance).sum();
    let rises = f64::from(values.iter().sum::<u32>() - first);
    let hours: Vec<(u32, f64, u64)> = flow.bed.sql(&format!(
        "select toUInt32(hour), sum(increase), countIf(series_id = 0) from counter_hourly_view where tenant_id = '{}' \
         group by hour order by hour",
        flow.topic
    ));
    assert!(
        hours[1].2 > 0 && hours[0].2 + hours[2].2 == 0,
        "only the second hour is folded: {hours:?}"
    );
    assert_eq!(hours.iter().map(|hour| hour.1).sum::<f64>(), rises, "{hours:?}");
}

#[test]
fn a_fresh_hour_is_the_partials_and_the_raw_rows_after_them() {
    let flow = upkeep::flow("fresh", 2);
    let _ingest = flow.ingest(&[]);
    let mut aggregate = flow.aggregate(&AT_ONCE);
    let now = now_ms();
    let samples = |from: i64, count: i64| -> Vec<MetricSample> {
        (from..from + count)
            .map(|number| {
                counter(
                    &flow,
                    "m",
                    number as u64 % 3,
                    now - number * 1_000,
                    (number % 97) as f64 - 20.0,
                )
            })
            .collect()
    };
    // Partition 0 gets more than partition 1: each has its own aggregated end.
    produce(&flow, 0, &samples(0, 5_000));
    produce(&flow, 1, &samples(5_000, 10));
    flow.wait_until_stage_stored("aggregate");
    flow.wait_until_stage_stored("ingest");
    let fresh_count = || -> u64 {
        flow.bed.one(&format!(
            "select sum(fresh_count) from metrics_hourly_fresh_view where tenant_id = '{}'",
            flow.topic
        ))
    };
    wait_until(STORED_DEADLINE, "both partitions have their progress", || {
        fresh_count() == 0
    });
    let totals = |fresh: u64| {
        let rows: Vec<(u64, u64)> = flow.bed.sql(&format!(
            "select sum(count), sum(fresh_count) from metrics_hourly_fresh_view where tenant_id = '{}'",
            flow.topic
        ));
        assert_eq!(rows[0].1, fresh);
        rows[0].0
    };
    assert_eq!(totals(0), 5_010);

    aggregate.kill9();
    produce(&flow, 0, &samples(6_000, 700));
    produce(&flow, 1, &samples(7_000, 300));
    flow.wait_until_stage_stored("ingest");
    assert_eq!(totals(1_000), 6_010);
    // Except for the last bits of the sums, all is as if everything had been aggregated.
    let columns = "metric_name, hour, count, min, max, last, p50, p90, p95, p99, p999, positive, negative, zero_count, round(sum, 6)";
    let rows = |view: &str| -> Vec<String> {
        flow.bed.sql(&format!(
            "select toString(({columns})) from {view} where tenant_id = '{}' order by hour",
            flow.topic
        ))
    };
    let while_fresh = rows("metrics_hourly_fresh_view");
    aggregate.restart();
    flow.wait_until_stage_stored("aggregate");
    wait_until(STORED_DEADLINE, "nothing is fresh any more", || fresh_count() == 0);
    assert_eq!(rows("metrics_hourly_fresh_view"), while_fresh);
    assert_eq!(rows("metrics_hourly_view"), while_fresh);
}

#[test]
fn a_topic_that_waits_for_its_raw_rows_is_not_given_up_by_the_upkeep_of_another() {
    let (ahead, behind) = (upkeep::flow("ahead", 1), upkeep::flow("behind", 1));
    let bed = ahead.bed;
    let now = now_ms();
    let this_hour = now / HOUR_MS * HOUR_MS;
    // One tenant is on both topics, with series of its own on each.
    let samples = |instance: u64| -> Vec<MetricSample> {
        let times = (this_hour - 2 * HOUR_MS..now).step_by(STEP_MS as usize);
        let sample = |(number, time)| counter(&ahead, "requests", instance, time, 10.0 * number as f64);
        times.enumerate().map(sample).collect()
    };
    let computed = |flow: &Flow<'_>| -> Vec<(u64, f64)> {
        bed.sql(&format!(
            "select samples, increase from counter_hourly_view where tenant_id = '{}' and kafka_topic = '{}' \
             and hour < toDateTime({}) order by hour",
            ahead.topic,
            flow.topic,
            this_hour / 1_000
        ))
    };
    let two_hours = [(60, 590.0), (60, 600.0)];
    let _behind = behind.aggregate(&AT_ONCE);
    produce(&behind, 0, &samples(1));
    behind.wait_until_stage_stored("aggregate");
    let _ahead = (ahead.ingest(&[]), ahead.aggregate(&AT_ONCE));
    produce(&ahead, 0, &samples(0));
    wait_until(STORED_DEADLINE, "the topic that has its raw rows is computed", || {
        computed(&ahead) == two_hours
    });
    assert_eq!(computed(&behind), [], "the other one's are not there yet");

    let _ingest = behind.ingest(&[]);
    wait_until(STORED_DEADLINE, "the other one is computed once it has them", || {
        computed(&behind) == two_hours
    });
    let given_up: u64 = bed.one(&format!(
        "select count() from incidents where reason = 'raw_expired' and tenant_id = '{}'",
        ahead.topic
    ));
    assert_eq!(given_up, 0);
}
