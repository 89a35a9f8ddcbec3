//! The SQL that merges partial aggregates into the rows of an answer.
//!
//! Three layers: partial aggregates of `metrics_hourly`, or of raw samples, by key (`r` is the table); both together, where
//! samples that are not aggregated yet are counted too; the numbers of a row (`i` is the layer below). Distributions are
//! those of the view: base 2, scale 6, a bucket is represented by the harmonic mean of its bounds, off by less than 0.6 %. Pure.

use crate::metrics::column::{KeyColumn, Measure};
use crate::metrics::step::Steps;
use crate::store::Sql;

/// What a bucket `k` of positive values counts as.
const REPRESENTATIVE: &str = "exp2(k / 64) * 2 / (1 + exp2(-1 / 64))";

/// The key of a row: metric, start, columns that are not merged over, type, unit.
pub fn key_columns(steps: &Steps, hour: &'static str, groups: &[KeyColumn]) -> Sql {
    let groups = groups
        .iter()
        .map(|group| Sql::concat([", r.", group.name(), " as ", group.name()]));
    Sql::from("r.metric_name as metric_name, ")
        .then(steps.start_sql(hour))
        .then(" as start")
        .then(Sql::join(groups, ""))
        .then(", r.metric_type as metric_type, r.unit as unit")
}

/// Their names.
pub fn key_names(groups: &[KeyColumn]) -> Sql {
    let groups = groups.iter().map(|group| Sql::concat([", ", group.name()]));
    Sql::from("metric_name, start")
        .then(Sql::join(groups, ""))
        .then(", metric_type, unit")
}

/// The key as cursors have it, of the layer or table `of`.
pub fn cursor_key(of: &'static str, start: Sql, groups: &[KeyColumn]) -> Sql {
    let groups = groups
        .iter()
        .map(|group| Sql::concat(["toString(", of, ".", group.name(), ")"]));
    Sql::concat(["toString(", of, ".metric_name) as metric_name, toUnixTimestamp("])
        .then(start)
        .then(") as start, cast([")
        .then(Sql::join(groups, ", "))
        .then(Sql::concat([
            "], 'Array(String)') as groups, toString(",
            of,
            ".metric_type) as metric_type, toString(",
            of,
            ".unit) as unit",
        ]))
}

/// Partial aggregates of `metrics_hourly as r`, merged.
pub fn of_hours(with_distribution: bool) -> Sql {
    const NUMBERS: &str = ", sum(r.count) as count, sum(r.late_count) as late_count, toUInt64(0) as fresh_count, \
        sum(r.sum) as sum, min(r.min) as min, max(r.max) as max, max(r.last) as last";
    const DISTRIBUTION: &str =
        ", sumMap(r.positive) as positive, sumMap(r.negative) as negative, sum(r.zero_count) as zero_count";
    Sql::concat([NUMBERS, if with_distribution { DISTRIBUTION } else { "" }])
}

/// The same of samples, `metrics as r`.
pub fn of_samples(with_distribution: bool) -> Sql {
    const NUMBERS: &str = ", count() as count, toUInt64(0) as late_count, count() as fresh_count, sum(r.value) as sum, \
        min(r.value) as min, max(r.value) as max, \
        max(cast((r.time, r.kafka_partition, r.kafka_offset, r.value), \
        'Tuple(time DateTime64(6, \\'UTC\\'), kafka_partition Int32, kafka_offset Int64, value Float64)')) as last";
    let bucket = Sql::bucket_index("r.value");
    let numbers = Sql::from(NUMBERS);
    if !with_distribution {
        return numbers;
    }
    numbers
        .then(", sumMapIf(map(")
        .then(bucket.clone())
        .then(", toUInt64(1)), r.value > 0) as positive, sumMapIf(map(")
        .then(bucket)
        .then(", toUInt64(1)), r.value < 0) as negative, countIf(r.value = 0) as zero_count")
}

/// Both together.
pub fn of_both(groups: &[KeyColumn], with_distribution: bool) -> Sql {
    const NUMBERS: &str = ", sum(i.count) as count, sum(i.late_count) as late_count, sum(i.fresh_count) as fresh_count, \
        sum(i.sum) as sum, min(i.min) as min, max(i.max) as max, max(i.last) as last";
    const DISTRIBUTION: &str =
        ", sumMap(i.positive) as positive, sumMap(i.negative) as negative, sum(i.zero_count) as zero_count";
    let numbers = Sql::concat([NUMBERS, if with_distribution { DISTRIBUTION } else { "" }]);
    key_names(groups).then(numbers)
}

/// Names for the buckets in the order of their values: negative ones by falling index, zero, positive ones by rising index.
pub fn sorted_buckets() -> Sql {
    "arrayReverse(mapKeys(i.negative)) as negative_indexes, mapKeys(i.positive) as positive_indexes, \
     arrayCumSum(arrayConcat(arrayReverse(mapValues(i.negative)), [i.zero_count], mapValues(i.positive))) as cumulative"
        .into()
}

/// The numbers of a row in the order of the measures, and the share under `{threshold:Float64}`.
pub fn numbers(measures: &[Measure], with_threshold: bool) -> Sql {
    let values = measures.iter().map(|&measure| match measure {
        Measure::Sum => "i.sum".into(),
        Measure::Avg => "i.sum / i.count".into(),
        Measure::Min => "i.min".into(),
        Measure::Max => "i.max".into(),
        Measure::Last => "tupleElement(i.last, 4)".into(),
        Measure::P50 | Measure::P90 | Measure::P95 | Measure::P99 | Measure::P999 => {
            quantile(measure.quantile().unwrap_or_default())
        }
    });
    let share = with_threshold.then(share_under);
    Sql::from("i.count as count, i.late_count as late_count, i.fresh_count as fresh_count, cast([")
        .then(Sql::join(values.chain(share), ", "))
        .then("], 'Array(Float64)') as numbers")
}

/// The value of rank `floor(q * count)` in sorted order, as `quantileExact` takes it; exact where all values are the same.
fn quantile(q: &'static str) -> Sql {
    Sql::concat([
        "arrayMap(k -> greatest(i.min, least(i.max, multiIf(k <= length(negative_indexes), \
         -exp2(negative_indexes[k] / 64), k = length(negative_indexes) + 1, 0., \
         exp2(positive_indexes[k - length(negative_indexes) - 1] / 64)) * 2 / (1 + exp2(-1 / 64)))), \
         [arrayFirstIndex(reached -> reached > least(toUInt64(",
        q,
        " * i.count), i.count - 1), cumulative)])[1]",
    ])
}

fn share_under() -> Sql {
    Sql::concat([
        "multiIf(i.max <= {threshold:Float64}, 1., i.min > {threshold:Float64}, 0., (\
         arraySum(mapValues(mapFilter((k, v) -> ",
        REPRESENTATIVE,
        " <= {threshold:Float64}, i.positive))) + if(0 <= {threshold:Float64}, i.zero_count, 0) + \
         arraySum(mapValues(mapFilter((k, v) -> -",
        REPRESENTATIVE,
        " <= {threshold:Float64}, i.negative)))) / i.count)",
    ])
}
