//! The SQL that merges partial aggregates into the rows of an answer.
//!
//! Three layers: partial aggregates by key, of `metrics_hourly` or computed from raw samples (`r` is the table); both
//! together, if samples that are not aggregated yet are included; the numbers of a row (`i` is the layer below).
//! Distributions are those of the view: base 2, scale 6, a bucket is represented by the harmonic mean of its bounds,
//! with an error below 0.6 %. They are merged by `quantilesExactWeightedArray`, which takes a third of the time of
//! `sumMap` and a search in its arrays. Pure.

use crate::metrics::column::{KeyColumn, Measure};
use crate::metrics::step::Steps;
use crate::store::Sql;

/// The value that represents a bucket `k` of positive values.
const REPRESENTATIVE: &str = "exp2(k / 64) * 2 / (1 + exp2(-1 / 64))";
/// Buckets as codes that decrease as the values increase: negative for positive values, zero, positive for negative
/// values. Bucket indices are below 100,000: those of doubles end at 65,536 above and 68,736 below.
const CODES: &str = "arrayConcat(arrayMap(k -> toInt32(-100000 - k), mapKeys(r.positive)), [toInt32(0)], \
    arrayMap(k -> toInt32(100000 + k), mapKeys(r.negative)))";
/// Number of values in each of them.
const WEIGHTS: &str = "arrayConcat(mapValues(r.positive), [toUInt64(r.zero_count)], mapValues(r.negative))";
/// The value that represents the bucket of a code `c`.
const VALUE: &str =
    "multiIf(c = 0, 0., c < 0, exp2((-100000 - c) / 64), -exp2((c - 100000) / 64)) * 2 / (1 + exp2(-1 / 64))";

/// What a question needs of the distributions.
#[derive(Debug, Clone, Copy)]
pub struct Distribution<'a> {
    /// The measures of the answer, some of which may be quantiles.
    pub measures: &'a [Measure],
    /// Whether the share at or below `{threshold:Float64}` is requested.
    pub has_threshold: bool,
    /// Whether the result will be merged again with samples.
    pub is_partial: bool,
}

impl Distribution<'_> {
    /// The quantiles as arguments of the aggregate function; `None` if there are none.
    ///
    /// A quantile is the value of rank `floor(q * count)` in ascending order. The engine's function returns the first
    /// value at which `ceil(level * count)` is reached: over descending values, with the level `1 - q`, that is the
    /// same one.
    fn levels(&self) -> Option<Sql> {
        let levels: Vec<Sql> = self
            .measures
            .iter()
            .filter_map(|measure| measure.share_above())
            .map(Sql::from)
            .collect();
        (!levels.is_empty()).then(|| Sql::join(levels, ", "))
    }

    /// `, … as distribution`: over arrays of codes and weights.
    fn column(&self, function: &'static str, arguments: impl Into<Sql>) -> Sql {
        let Some(levels) = self.levels() else {
            return Sql::default();
        };
        Sql::concat([", quantilesExactWeightedArray", function, "("])
            .then(levels)
            .then(")(")
            .then(arguments)
            .then(") as distribution")
    }
}

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

/// The key as in cursors, from the layer or table `of`.
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
pub fn of_hours(distribution: Distribution<'_>) -> Sql {
    const NUMBERS: &str = ", sum(r.count) as count, sum(r.late_count) as late_count, toUInt64(0) as fresh_count, \
        sum(r.sum) as sum, min(r.min) as min, max(r.max) as max, max(r.last) as last";
    let function = if distribution.is_partial { "State" } else { "" };
    let under = distribution.has_threshold.then(|| {
        Sql::concat([
            ", sum(arraySum((k, v) -> if(",
            REPRESENTATIVE,
            " <= {threshold:Float64}, v, 0), mapKeys(r.positive), mapValues(r.positive)) \
             + if(0 <= {threshold:Float64}, toUInt64(r.zero_count), 0) + arraySum((k, v) -> if(-",
            REPRESENTATIVE,
            " <= {threshold:Float64}, v, 0), mapKeys(r.negative), mapValues(r.negative))) as under",
        ])
    });
    Sql::from(NUMBERS)
        .then(distribution.column(function, Sql::concat([CODES, ", ", WEIGHTS])))
        .then(under.unwrap_or_default())
}

/// The same from samples, `metrics as r`.
pub fn of_samples(distribution: Distribution<'_>) -> Sql {
    const NUMBERS: &str = ", count() as count, toUInt64(0) as late_count, count() as fresh_count, sum(r.value) as sum, \
        min(r.value) as min, max(r.value) as max, \
        max(cast((r.time, r.kafka_partition, r.kafka_offset, r.value), \
        'Tuple(time DateTime64(6, \\'UTC\\'), kafka_partition Int32, kafka_offset Int64, value Float64)')) as last";
    let bucket = || Sql::bucket_index("r.value");
    let coded = Sql::from("[multiIf(r.value > 0, toInt32(-100000 - ")
        .then(bucket())
        .then("), r.value < 0, toInt32(100000 + ")
        .then(bucket())
        .then("), toInt32(0))], [toUInt64(1)]");
    let under = distribution.has_threshold.then(|| {
        Sql::from(", countIf(if(r.value = 0, 0., sign(r.value) * arrayMap(k -> ")
            .then(Sql::concat([REPRESENTATIVE, ", ["]))
            .then(bucket())
            .then("])[1]) <= {threshold:Float64}) as under")
    });
    Sql::from(NUMBERS)
        .then(distribution.column("State", coded))
        .then(under.unwrap_or_default())
}

/// Both together.
pub fn of_both(groups: &[KeyColumn], distribution: Distribution<'_>) -> Sql {
    const NUMBERS: &str = ", sum(i.count) as count, sum(i.late_count) as late_count, sum(i.fresh_count) as fresh_count, \
        sum(i.sum) as sum, min(i.min) as min, max(i.max) as max, max(i.last) as last";
    let under = if distribution.has_threshold {
        ", sum(i.under) as under"
    } else {
        ""
    };
    key_names(groups)
        .then(NUMBERS)
        .then(distribution.column("Merge", "i.distribution"))
        .then(under)
}

/// The counts and the numbers of a row in the order of the measures, and the share at or below `{threshold:Float64}`.
pub fn numbers(distribution: Distribution<'_>) -> Sql {
    const SHARE: &str = "multiIf(i.max <= {threshold:Float64}, 1., i.min > {threshold:Float64}, 0., i.under / i.count)";
    const PLACES: [&str; 5] = ["[1]", "[2]", "[3]", "[4]", "[5]"];
    let mut places = PLACES.into_iter();
    let mut quantile = || {
        let place = places.next().unwrap_or_default();
        Sql::concat(["quantiles", place])
    };
    let values: Vec<Sql> = distribution
        .measures
        .iter()
        .map(|measure| match measure {
            Measure::Sum => "i.sum".into(),
            Measure::Avg => "i.sum / i.count".into(),
            Measure::Min => "i.min".into(),
            Measure::Max => "i.max".into(),
            Measure::Last => "tupleElement(i.last, 4)".into(),
            Measure::P50 | Measure::P90 | Measure::P95 | Measure::P99 | Measure::P999 => quantile(),
        })
        .collect();
    let share = distribution.has_threshold.then(|| SHARE.into());
    Sql::from("[toUInt64(i.count), toUInt64(i.late_count), toUInt64(i.fresh_count)] as counts, cast([")
        .then(Sql::join(values.into_iter().chain(share), ", "))
        .then("], 'Array(Float64)') as numbers")
}

/// Names the quantiles of a row `quantiles`, in the order of the measures; exact if all values are equal.
pub fn quantiles(distribution: Distribution<'_>) -> Option<Sql> {
    distribution.levels().map(|_| {
        Sql::concat([
            "arrayMap(c -> greatest(i.min, least(i.max, ",
            VALUE,
            ")), i.distribution) as quantiles",
        ])
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_rank_from_above_is_the_rank_from_below(count in 1u64..1 << 40, hundreds in 1u64..1 << 30) {
            for count in [count, hundreds * 1_000] {
                for (q, above) in [(0.5, 0.5), (0.9, 0.1), (0.95, 0.05), (0.99, 0.01), (0.999, 0.001)] {
                    let from_below = ((q * count as f64) as u64).min(count - 1);
                    let from_above = (above * count as f64).ceil() as u64;
                    prop_assert_eq!(count - from_below, from_above, "{} of {}", q, count);
                }
            }
        }
    }
}
