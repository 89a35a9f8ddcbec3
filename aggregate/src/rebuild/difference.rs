//! What a rebuild would change, by hour, tenant and metric: the dry run.
//!
//! Compares the recomputed hours with the visible ones: counts, late counts, extremes and distributions exactly, sums
//! to a [`SUM_TOLERANCE`] of the sum of magnitudes, which the distributions bound. Distributions are compared by their
//! [`fingerprint`].

use std::collections::{BTreeMap, BTreeSet};

use clickhouse::Row;
use horolog_stage::store::Store;
use serde::{Deserialize, Serialize};

use super::recompute::Recomputed;
use crate::fingerprint;
use crate::key::Key;
use crate::scope::{Scope, show_hour};
use crate::summary::SUM_TOLERANCE;
use crate::tool_error::ToolError;

/// A metric in an hour: hour, tenant, metric.
type MetricHour = (u32, String, String);

/// The values of a metric in an hour that are compared.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Summary {
    count: u64,
    late_count: u64,
    sum: f64,
    magnitude: f64,
    min: f64,
    max: f64,
    buckets: u64,
}

const NOTHING: Summary = Summary {
    count: 0,
    late_count: 0,
    sum: 0.0,
    magnitude: 0.0,
    min: f64::INFINITY,
    max: f64::NEG_INFINITY,
    buckets: 0,
};

impl Summary {
    fn equals(&self, other: &Self) -> bool {
        let tolerance = SUM_TOLERANCE * self.magnitude.max(other.magnitude);
        // Sums that overflowed cannot be compared, which is no difference; verification sees it so, too.
        let sums_differ = (self.sum - other.sum).abs() > tolerance;
        (self.count, self.late_count, self.buckets) == (other.count, other.late_count, other.buckets)
            && (self.min, self.max) == (other.min, other.max)
            && !sums_differ
    }
}

/// The compared values, by hour, tenant and metric.
#[derive(Debug, Default)]
pub struct Summaries(BTreeMap<MetricHour, Summary>);

impl Summaries {
    /// Adds recomputed hours.
    pub fn add(&mut self, recomputed: Recomputed) -> Result<(), ToolError> {
        for (group, hours) in recomputed.into_hours() {
            for (position, (key, summary)) in hours.keys.iter().zip(&hours.summaries).enumerate() {
                let key = Key::decode(key).ok_or(crate::block::BlockError::Key)?;
                let of = (key.hour, key.tenant_id.into_owned(), key.metric_name.into_owned());
                let to = self.0.entry(of).or_insert(NOTHING);
                to.count += summary.count;
                to.late_count += if group.revised_at == 0 { 0 } else { summary.count };
                to.sum += summary.sum;
                to.min = to.min.min(summary.min);
                to.max = to.max.max(summary.max);
                for (bucket, count) in hours.buckets(position) {
                    to.magnitude += bucket.representative().abs() * *count as f64;
                    to.buckets = to
                        .buckets
                        .wrapping_add(fingerprint::of_bucket(*bucket).wrapping_mul(*count));
                }
            }
        }
        Ok(())
    }
}

/// The visible values.
pub async fn stored(store: &Store, scope: &Scope) -> Result<Summaries, ToolError> {
    #[derive(Row, Deserialize)]
    struct Found {
        start: u32,
        tenant_id: String,
        metric_name: String,
        total: u64,
        late: u64,
        total_sum: f64,
        smallest: f64,
        largest: f64,
        buckets: u64,
    }
    let query = format!(
        "select toUnixTimestamp(hour) as start, tenant_id, metric_name, sum(h.count) as total, sum(h.late_count) as late, \
         sum(h.sum) as total_sum, min(h.min) as smallest, max(h.max) as largest, sum({}) as buckets \
         from visible_partials as h where {} group by hour, tenant_id, metric_name",
        fingerprint::of_hour_sql(),
        scope.hourly_condition()
    );
    let rows: Vec<Found> = scope.bind(store.client.query(&query)).fetch_all().await?;
    let summary = |row: Found| {
        let summary = Summary {
            count: row.total,
            late_count: row.late,
            sum: row.total_sum,
            magnitude: 0.0,
            min: row.smallest,
            max: row.largest,
            buckets: row.buckets,
        };
        ((row.start, row.tenant_id, row.metric_name), summary)
    };
    Ok(Summaries(rows.into_iter().map(summary).collect()))
}

/// What would change for a metric in an hour.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    hour: String,
    tenant_id: String,
    metric_name: String,
    count: (u64, u64),
    late_count: (u64, u64),
    sum: (f64, f64),
    /// Whether the extremes or the distribution differ.
    values_differ: bool,
}

/// What would change, by hour.
pub fn between(stored: &Summaries, found: &Summaries, but_not: &BTreeSet<u32>) -> Vec<Difference> {
    let all: BTreeSet<&MetricHour> = stored.0.keys().chain(found.0.keys()).collect();
    let difference = |of: &MetricHour| {
        let old = stored.0.get(of).unwrap_or(&NOTHING);
        let new = found.0.get(of).unwrap_or(&NOTHING);
        (!old.equals(new)).then(|| Difference {
            hour: show_hour(of.0),
            tenant_id: of.1.clone(),
            metric_name: of.2.clone(),
            count: (old.count, new.count),
            late_count: (old.late_count, new.late_count),
            sum: (old.sum, new.sum),
            values_differ: (old.min, old.max, old.buckets) != (new.min, new.max, new.buckets),
        })
    };
    let all = all.into_iter().filter(|of| !but_not.contains(&of.0));
    all.filter_map(difference).collect()
}

/// Prints what would change.
pub fn print(differences: &[Difference], json: bool) {
    if json {
        println!("{}", serde_json::json!({ "differences": differences }));
        return;
    }
    for difference in differences {
        let Difference {
            hour,
            tenant_id,
            metric_name,
            count,
            late_count,
            sum,
            values_differ,
        } = difference;
        println!(
            "{hour} {tenant_id} {metric_name}: count {} -> {}, late {} -> {}, sum {} -> {}{}",
            count.0,
            count.1,
            late_count.0,
            late_count.1,
            sum.0,
            sum.1,
            if *values_differ { ", other values differ" } else { "" }
        );
    }
    println!("{} metrics and hours would change", differences.len());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_compared_relative_to_their_magnitudes() {
        let one = Summary {
            count: 2,
            sum: 1e-8,
            magnitude: 1e3,
            ..NOTHING
        };
        assert!(one.equals(&Summary { sum: 0.0, ..one }));
        assert!(!one.equals(&Summary { sum: 1e-5, ..one }));
        assert!(!one.equals(&Summary { count: 3, ..one }));
    }
}
