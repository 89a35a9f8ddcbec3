//! Hours against raw rows, key by key, in the engine: one pass over both, and only differences come back.
//!
//! Every hour that differs yields some differences, however many there are in other hours: an hour without any is
//! equal.
//!
//! This implementation of the aggregation shares nothing with the dataflow except the boundaries of the buckets, so
//! that each proves the other. Counts, extremes, last values and distributions must be equal, sums within 1e-9 of the
//! sum of magnitudes. If keys of a tenant's hour were folded into an overflow key, that tenant's hour is compared as a
//! whole.

use clickhouse::Row;
use horolog_stage::store::Store;
use serde::Deserialize;

use super::finding::{Finding, Span};
use super::verifier::looked_up;
use crate::cut::{Cut, client_literal};
use crate::fingerprint;
use crate::overflow::OVERFLOW_METRIC;
use crate::scope::Scope;
use crate::summary::SUM_TOLERANCE;
use crate::tool_error::ToolError;

/// Maximum number of differing keys reported per hour.
pub(super) const TOLD_AN_HOUR_MAX: usize = 10;
/// Once a run of hours has this many differing keys, only one is reported for each further hour.
const TOLD_MAX: usize = 100;
/// Differing keys of a run of hours whose offsets are looked up, the first ones.
const LOOKED_UP_MAX: usize = 20;
/// A key whose names are longer together, bytes, is not looked up: the statement would be too long for the engine.
const NAMES_BYTES_MAX: usize = 64_000;
/// Above this much memory the engine groups on disk, bytes.
pub(super) const GROUP_BYTES_MAX: u64 = 256 << 20;

/// The columns of a key besides the hour.
const KEY: [&str; 8] = [
    "tenant_id",
    "metric_name",
    "service_id",
    "plugin_id",
    "environment",
    "team_id",
    "metric_type",
    "unit",
];
/// Position of the metric in it, which is empty if the tenant's hour is compared as a whole.
const METRIC: usize = 1;

#[derive(Debug, Row, Deserialize)]
struct Differing {
    start: u32,
    /// By [`KEY`].
    of_key: Vec<String>,
    hour_count: u64,
    raw_count: u64,
    hour_sum: f64,
    raw_sum: f64,
    values_differ: u8,
}

/// The keys of some hours for which the aggregates and the raw rows differ; raw rows before the cut.
pub async fn compare(store: &Store, hours: &Scope, cut: &Cut) -> Result<Vec<Finding>, ToolError> {
    let query = store
        .client
        .query(&differing_sql(hours, cut))
        .with_setting("max_bytes_before_external_group_by", GROUP_BYTES_MAX.to_string());
    let rows: Vec<Differing> = query.fetch_all().await?;
    let mut findings: Vec<Finding> = Vec::new();
    for row in rows {
        let is_hour_told = findings.last().and_then(Finding::hour) == Some(row.start);
        if is_hour_told && findings.len() >= TOLD_MAX {
            continue;
        }
        let offsets = if findings.len() < LOOKED_UP_MAX {
            looked_up(offsets(store, &row, cut).await)
        } else {
            Vec::new()
        };
        findings.push(Finding::HourAgainstRaw {
            hour: row.start,
            key: row.of_key,
            count: (row.hour_count, row.raw_count),
            sum: (row.hour_sum, row.raw_sum),
            values_differ: row.values_differ != 0,
            offsets,
        });
    }
    Ok(findings)
}

fn differing_sql(hours: &Scope, cut: &Cut) -> String {
    let key = KEY.map(|column| match column {
        // The tenant stays, because folding is per tenant and hour.
        "tenant_id" => column.to_owned(),
        "metric_type" => format!("if(folded, 'gauge', toString({column}))"),
        _ => format!("if(folded, '', toString({column}))"),
    });
    format!(
        "with (tenant_id, hour) in ( \
           select tenant_id, hour from visible_partials as h where {hourly} and metric_name = '{OVERFLOW_METRIC}') as folded \
         select toUnixTimestamp(hour) as start, [{key}]::Array(String) as of_key, \
           sumIf(n, side = 0) as hour_count, sumIf(n, side = 1) as raw_count, \
           sumIf(total, side = 0) as hour_sum, sumIf(total, side = 1) as raw_sum, \
           minIf(smallest, side = 0) != minIf(smallest, side = 1) or maxIf(largest, side = 0) != maxIf(largest, side = 1) \
             or maxIf(newest, side = 0) != maxIf(newest, side = 1) or sumIf(buckets, side = 0) != sumIf(buckets, side = 1) \
             as values_differ \
         from ( \
           select hour, {columns}, 0 as side, h.count as n, h.sum as total, toFloat64(0) as magnitude, h.min as smallest, \
             h.max as largest, h.last::{LAST} as newest, {of_hour} as buckets \
           from visible_partials as h where {hourly} \
           union all \
           select toStartOfHour(time) as hour, {columns}, 1 as side, toUInt64(1) as n, value as total, abs(value) as magnitude, \
             value as smallest, value as largest, (time, kafka_partition, kafka_offset, value)::{LAST} as newest, \
             {of_value} as buckets \
           from metrics where {raw} and {before}) \
         group by hour, {key} \
         having hour_count != raw_count or values_differ or abs(hour_sum - raw_sum) > {SUM_TOLERANCE} * sum(magnitude) \
         order by all limit {TOLD_AN_HOUR_MAX} by start",
        key = key.join(", "),
        columns = KEY.join(", "),
        of_hour = fingerprint::of_hour_sql(),
        of_value = fingerprint::of_value_sql("value"),
        hourly = hours.hourly_condition(),
        raw = hours.raw_condition(),
        before = cut.condition("kafka_offset"),
    )
}

const LAST: &str = "Tuple(DateTime64(6, 'UTC'), Int32, Int64, Float64)";

/// Where the raw rows of a key come from.
async fn offsets(store: &Store, row: &Differing, cut: &Cut) -> Result<Vec<Span>, ToolError> {
    let names_bytes: usize = row.of_key.iter().map(String::len).sum();
    if row.of_key[METRIC].is_empty() || names_bytes > NAMES_BYTES_MAX {
        return Ok(Vec::new());
    }
    let equals = |(column, text): (&&str, &String)| format!("{column} = {}", client_literal(text));
    let key: Vec<String> = KEY.iter().zip(&row.of_key).map(equals).collect();
    let query = format!(
        "select kafka_topic, kafka_partition, log_epoch, min(kafka_offset), max(kafka_offset) + 1, count() from metrics \
         where {} and toStartOfHour(time) = toDateTime({}, 'UTC') and {} \
         group by kafka_topic, kafka_partition, log_epoch order by all",
        key.join(" and "),
        row.start,
        cut.condition("kafka_offset")
    );
    let rows: Vec<(String, i32, u32, i64, i64, u64)> = store.client.query(&query).fetch_all().await?;
    let span = |(topic, partition, log_epoch, start, end, raw): (String, i32, u32, i64, i64, u64)| Span {
        log: format!("{topic}/{partition}"),
        log_epoch,
        start,
        end,
        ledger: None,
        raw,
    };
    Ok(rows.into_iter().map(span).collect())
}
