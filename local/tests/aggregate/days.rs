//! Days that the upkeep rolls up, against the hours they are made of, while the stage is killed and late samples
//! arrive.

use horolog_schemas::MetricSample;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::bed::{now_ms, seed, wait_until};
use crate::flow::{Flow, STORED_DEADLINE};
use crate::upkeep::{self, AT_ONCE, counter, produce};

const DAY_MS: i64 = 86_400_000;
const ROLLED_UP: &str = "(select * from daily_rollups final)";

/// The days before `end` (ms since 1970): key, samples, and the other columns as text.
fn rows(flow: &Flow<'_>, table: &str, end: i64) -> Vec<(u32, String, u64, String)> {
    flow.bed.sql(&format!(
        "select toUInt32(toStartOfDay(r.hour)) as day, toString(r.metric_name) as metric, sum(r.count) as samples, \
         toString((any(r.tenant_id), any(r.service_id), any(r.environment), any(r.metric_type), any(r.unit), any(r.kafka_topic), \
         sum(r.late_count), sum(r.sum), min(r.min), max(r.max), max(r.last), mapSort(sumMap(r.positive)), mapSort(sumMap(r.negative)), \
         sum(r.zero_count))) from {table} as r where r.tenant_id = '{}' and r.hour < toDateTime({}, 'UTC') \
         group by day, metric order by day, metric",
        flow.topic,
        end / 1_000
    ))
}

/// Distributions of hours and of totals, as maps of codes.
const HOURS_BUCKETS: &str = "arrayConcat(arrayMap((k, v) -> (-100000 - k, v), mapKeys(r.positive), mapValues(r.positive)), \
    arrayMap((k, v) -> (100000 + k, v), mapKeys(r.negative), mapValues(r.negative)), [(0, toUInt64(r.zero_count))])";
const TOTALS_BUCKETS: &str = "arrayZip(r.codes, r.weights)";

/// The hours or days before `end` (ms since 1970) over all series, by their `start`: what there is of each, as text.
fn totals(flow: &Flow<'_>, table: &str, start: &str, buckets: &str, end: i64) -> Vec<(u32, String, String)> {
    flow.bed.sql(&format!(
        "select toUInt32({start}) as start_s, toString(r.metric_name) as metric, toString((any(r.metric_type), any(r.unit), \
         any(r.kafka_topic), sum(r.count), sum(r.late_count), sum(r.sum), min(r.min), max(r.max), max(r.last), \
         sumMap(mapFromArrays(arrayMap(b -> toInt32(b.1), {buckets}), arrayMap(b -> toUInt64(b.2), {buckets}))))) \
         from {table} as r where r.tenant_id = '{}' and r.hour < toDateTime({}, 'UTC') \
         group by start_s, metric order by start_s, metric",
        flow.topic,
        end / 1_000
    ))
}

fn wait_until_rolled_up(flow: &Flow<'_>, end: i64, samples: usize) {
    wait_until(STORED_DEADLINE, &format!("{samples} samples are rolled up"), || {
        let days = rows(flow, ROLLED_UP, end);
        let rolled_up: u64 = days.iter().map(|day| day.2).sum();
        rolled_up == samples as u64
            && days == rows(flow, "metrics_hourly", end)
            && [("hourly_totals", "r.hour"), ("daily_totals", "toStartOfDay(r.hour)")]
                .iter()
                .all(|(table, start)| {
                    totals(
                        flow,
                        &format!("(select * from {table} final)"),
                        "r.hour",
                        TOTALS_BUCKETS,
                        end,
                    ) == totals(flow, "metrics_hourly", start, HOURS_BUCKETS, end)
                })
    });
}

#[test]
fn complete_days_are_rolled_up_and_anew_when_they_are_revised_or_the_stage_dies() {
    let mut random = StdRng::seed_from_u64(seed());
    let flow = upkeep::flow("days", 2);
    let mut aggregate = flow.aggregate(&AT_ONCE);
    let today = now_ms() / DAY_MS * DAY_MS;
    let mut sample = |day: i64| -> MetricSample {
        let time = today + day * DAY_MS + random.random_range(0..DAY_MS);
        let metric = ["cpu", "requests"][random.random_range(0..2)];
        // Whole values, so that sums are exact.
        counter(&flow, metric, 0, time, f64::from(random.random_range(-50..1_000)))
    };
    // One day in between has no samples.
    let first: Vec<MetricSample> = (0..3_000).map(|number| sample([-6, -5, -3, -1][number % 4])).collect();
    for (partition, samples) in [(0, &first[..1_500]), (1, &first[1_500..])] {
        produce(&flow, partition, samples);
        aggregate.restart();
    }
    produce(&flow, 0, &[counter(&flow, "cpu", 0, now_ms() - 1_000, 1.0)]);
    wait_until_rolled_up(&flow, today, first.len());

    // Late samples, stored by a stage that most likely dies before the upkeep has seen them.
    let late: Vec<MetricSample> = (0..20).map(|number| sample([-5, -3][number % 2])).collect();
    produce(&flow, 1, &late);
    flow.wait_until_stage_stored("aggregate");
    aggregate.restart();
    wait_until_rolled_up(&flow, today, first.len() + late.len());
    let of_today: u64 = flow.bed.one(&format!(
        "select count() from daily_rollups where tenant_id = '{}' and hour >= toDateTime({}, 'UTC')",
        flow.topic,
        today / 1_000
    ));
    if now_ms() < today + DAY_MS {
        assert_eq!(of_today, 0, "a day that is not over is not rolled up");
    }

    // What a rebuild writes beside the hours is not rolled up, and leaves existing roll-ups as they are.
    let before = rows(&flow, ROLLED_UP, today);
    flow.bed.execute(&format!(
        "insert into metrics_hourly (tenant_id, metric_name, hour, service_id, metric_type, epoch, kafka_topic, count, sum, min, max, inserted_at) \
         select tenant_id, metric_name, hour, service_id, metric_type, 1, kafka_topic, count, sum, min, max, now64(3) from metrics_hourly \
         where tenant_id = '{}' and metric_name = 'cpu' and epoch = 0",
        flow.topic
    ));
    let more: Vec<MetricSample> = (0..20).map(|_| sample(-3)).collect();
    produce(&flow, 0, &more);
    let requests = more.iter().filter(|sample| sample.metric_name == "requests").count() as u64;
    let of = |rows: &[(u32, String, u64, String)], metric: &str| -> u64 {
        rows.iter().filter(|row| row.1 == metric).map(|row| row.2).sum()
    };
    wait_until(STORED_DEADLINE, "the other metric is rolled up again", || {
        let now = rows(&flow, ROLLED_UP, today);
        of(&now, "requests") == of(&before, "requests") + requests && of(&now, "cpu") == of(&before, "cpu")
    });
}
