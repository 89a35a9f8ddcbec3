//! The SQL that merges partial aggregates into the rows of an answer.
//!
//! Partial aggregates of `metrics_hourly` (`r` is the table) become rows in one step, because planning is most of what a
//! small statement costs. Where samples that are not aggregated yet are included, there is a layer below: partial
//! aggregates by key, of hours and of raw samples (`i` is that layer). Distributions are those of the view: base 2,
//! scale 6, a bucket is represented by the harmonic mean of its bounds, with an error below 0.6 %. They are merged by
//! `quantilesExactWeightedArray`, which takes a third of the time of `sumMap` and a search in its arrays, over codes of
//! buckets: what they stand for is computed here, since formulas in SQL cost planning. Pure.

use crate::metrics::column::{KeyColumn, Measure};
use crate::metrics::step::Steps;
use crate::store::Sql;

/// The value that represents a bucket `k` of positive values.
const REPRESENTATIVE: &str = "exp2(k / 64) * 2 / (1 + exp2(-1 / 64))";
/// Buckets as codes that decrease as the values increase: negative for positive values, zero, positive for negative
/// values. Bucket indices are smaller than [`CODE_OFFSET`]: those of doubles are -68,737 to 65,535.
const CODES: &str = "arrayConcat(arrayMap(k -> toInt32(-100000 - k), mapKeys(r.positive)), [toInt32(0)], \
    arrayMap(k -> toInt32(100000 + k), mapKeys(r.negative)))";
const CODE_OFFSET: i32 = 100_000;
/// Number of values in each of them.
const WEIGHTS: &str = "arrayConcat(mapValues(r.positive), [toUInt64(r.zero_count)], mapValues(r.negative))";
/// Samples of totals as `r` at or below `{threshold:Float64}`.
const UNDER_OF_TOTALS: &str = "sum(arraySum((c, v) -> if(multiIf(c = 0, 0., c < 0, exp2((-100000 - c) / 64), \
    -exp2((c - 100000) / 64)) * 2 / (1 + exp2(-1 / 64)) <= {threshold:Float64}, v, 0), r.codes, r.weights))";

/// What a question needs of the distributions.
#[derive(Debug, Clone, Copy)]
pub struct Distribution<'a> {
    /// The measures of the answer, some of which may be quantiles.
    pub measures: &'a [Measure],
    /// Whether the share at or below `{threshold:Float64}` is requested.
    pub has_threshold: bool,
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

    /// The aggregate function over arrays of codes and weights; nothing if there are no quantiles.
    fn merged(&self, function: &'static str, arguments: impl Into<Sql>) -> Option<Sql> {
        let levels = self.levels()?;
        let function = Sql::concat(["quantilesExactWeightedArray", function, "("]);
        Some(function.then(levels).then(")(").then(arguments).then(")"))
    }

    /// Its state, `, … as distribution`.
    fn partial(&self, arguments: impl Into<Sql>) -> Sql {
        let state = self.merged("State", arguments);
        state.map_or_else(Sql::default, |state| {
            Sql::from(", ").then(state).then(" as distribution")
        })
    }
}

/// What the rows of an answer are merged from.
#[derive(Debug, Clone, Copy)]
pub enum Layer {
    /// Partial aggregates of hours, or daily roll-ups, which have the same columns: the table `r`.
    Hours,
    /// Hourly totals, which have codes and weights: the table `r`.
    Totals,
    /// Partial aggregates of hours and of samples by key: the layer `i`.
    Both,
}

impl Layer {
    fn name(self) -> &'static str {
        match self {
            Self::Hours | Self::Totals => "r",
            Self::Both => "i",
        }
    }

    fn quantile_codes(self, distribution: Distribution<'_>) -> Option<Sql> {
        match self {
            Self::Hours => distribution.merged("", Sql::concat([CODES, ", ", WEIGHTS])),
            Self::Totals => distribution.merged("", "r.codes, r.weights"),
            Self::Both => distribution.merged("Merge", "i.distribution"),
        }
    }

    fn under(self) -> Sql {
        match self {
            Self::Hours => under_of_hours(),
            Self::Totals => UNDER_OF_TOTALS.into(),
            Self::Both => "sum(i.under)".into(),
        }
    }
}

/// The columns of a [`MergedPoint`](crate::metrics::point::MergedPoint): key, counts, the measures in their order but
/// for the quantiles, the codes of these, and the share at or below `{threshold:Float64}`.
pub fn row(layer: Layer, start: Sql, groups: &[KeyColumn], distribution: Distribution<'_>) -> Sql {
    let of = layer.name();
    let merged = |function, column| Sql::concat([function, "(", of, ".", column, ")"]);
    let measures = distribution.measures.iter().filter_map(|measure| match measure {
        Measure::Sum => Some(merged("sum", "sum")),
        Measure::Avg => Some(merged("sum", "sum").then(" / ").then(merged("sum", "count"))),
        Measure::Min => Some(merged("min", "min")),
        Measure::Max => Some(merged("max", "max")),
        Measure::Last => Some(Sql::from("tupleElement(").then(merged("max", "last")).then(", 4)")),
        Measure::P50 | Measure::P90 | Measure::P95 | Measure::P99 | Measure::P999 => None,
    });
    let codes = layer.quantile_codes(distribution);
    let bounds = [merged("min", "min"), merged("max", "max")];
    let bounds = bounds.into_iter().filter(|_| codes.is_some());
    let share = distribution.has_threshold.then(|| {
        Sql::concat([
            "multiIf(max(",
            of,
            ".max) <= {threshold:Float64}, 1., min(",
            of,
            ".min) > {threshold:Float64}, 0., ",
        ])
        .then(layer.under())
        .then(Sql::concat([" / sum(", of, ".count))"]))
    });
    let fresh = match layer {
        Layer::Hours | Layer::Totals => "0".into(),
        Layer::Both => merged("sum", "fresh_count"),
    };
    let counts = [merged("sum", "count"), merged("sum", "late_count"), fresh];
    cursor_key(of, start, groups)
        .then(", cast([")
        .then(Sql::join(counts, ", "))
        .then("], 'Array(UInt64)') as counts, cast([")
        .then(Sql::join(measures, ", "))
        .then("], 'Array(Float64)') as numbers, cast([")
        .then(Sql::join(bounds, ", "))
        .then("], 'Array(Float64)') as bounds, ")
        .then(codes.unwrap_or_else(|| "cast([], 'Array(Int32)')".into()))
        .then(" as quantile_codes, cast([")
        .then(Sql::join(share, ", "))
        .then("], 'Array(Float64)') as shares")
}

/// `group by` the columns that a [`row`] is made of.
pub fn grouped(layer: Layer, start: Sql, groups: &[KeyColumn]) -> Sql {
    let of = layer.name();
    let groups = groups.iter().map(|group| Sql::concat([", ", of, ".", group.name()]));
    Sql::concat(["group by ", of, ".metric_name, "])
        .then(start)
        .then(Sql::join(groups, ""))
        .then(Sql::concat([", ", of, ".metric_type, ", of, ".unit"]))
}

/// The value that represents the bucket of a code.
pub fn value_of(code: i32) -> f64 {
    let bound = |bucket: i32| (f64::from(bucket) / 64.0).exp2() * 2.0 / (1.0 + (-1.0_f64 / 64.0).exp2());
    match code {
        0 => 0.0,
        ..0 => bound(-CODE_OFFSET - code),
        1.. => -bound(code - CODE_OFFSET),
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

/// Samples of `metrics_hourly as r` at or below `{threshold:Float64}`.
fn under_of_hours() -> Sql {
    Sql::concat([
        "sum(arraySum((k, v) -> if(",
        REPRESENTATIVE,
        " <= {threshold:Float64}, v, 0), mapKeys(r.positive), mapValues(r.positive)) \
         + if(0 <= {threshold:Float64}, toUInt64(r.zero_count), 0) + arraySum((k, v) -> if(-",
        REPRESENTATIVE,
        " <= {threshold:Float64}, v, 0), mapKeys(r.negative), mapValues(r.negative)))",
    ])
}

/// Partial aggregates of `metrics_hourly as r`, merged by key.
pub fn of_hours(distribution: Distribution<'_>) -> Sql {
    const NUMBERS: &str = ", sum(r.count) as count, sum(r.late_count) as late_count, toUInt64(0) as fresh_count, \
        sum(r.sum) as sum, min(r.min) as min, max(r.max) as max, max(r.last) as last";
    let under = distribution
        .has_threshold
        .then(|| Sql::from(", ").then(under_of_hours()).then(" as under"));
    Sql::from(NUMBERS)
        .then(distribution.partial(Sql::concat([CODES, ", ", WEIGHTS])))
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
        .then(distribution.partial(coded))
        .then(under.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::value_of;

    #[test]
    fn values_fall_as_codes_rise() {
        for (code, value) in [
            (-100_064, 2.0),
            (-99_936, 0.5),
            (0, 0.0),
            (99_936, -0.5),
            (100_064, -2.0),
        ] {
            let off = (value_of(code) - value).abs();
            assert!(off <= 0.006 * f64::abs(value), "{code}: {}", value_of(code));
        }
        for codes in [[-100_001, -100_000], [-31_264, 0], [0, 31_264], [100_000, 100_001]] {
            let [above, below] = codes.map(value_of);
            assert!(above > below, "{codes:?}: {above}, {below}");
        }
    }

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
