//! The hourly view: partial aggregates merged, quantiles within the bound of the histogram, filters in the primary key.

use crate::target::Target;

/// One hour of several shapes of values, from hashes so that every run has the same.
const SAMPLES: &str = "create table samples engine = MergeTree order by name as \
    with cityHash64(number) % 1000003 / 1000003 as u, sipHash64(number) % 1000003 / 1000003 as v, \
         sqrt(-2 * log(u + 1e-9)) * cos(2 * pi() * v) as normal \
    select ['skewed', 'signed', 'with zeros', 'constant', 'extreme', 'small'][number % 6 + 1] as name, \
        multiIf(name = 'skewed', exp(2 * normal), name = 'signed', round(10 * normal, 2), \
                name = 'with zeros', if(u < 0.3, 0., 1 + 3 * normal), name = 'constant', -12.5, \
                name = 'extreme', exp2(1800 * u - 900) * if(v < 0.5, -1, 1), toFloat64(intDiv(number, 6))) as value, \
        number % 7 as batch from numbers(60000) where name != 'small' or number < 18";

/// What the aggregate stage would write for them: one partial per batch.
const PARTIALS: &str = "insert into metrics_hourly \
    with map(toInt32(ceil(log2(if(value = 0, 1, abs(value))) * 64) - 1), toUInt64(1)) as bucket \
    select 'demo', name, toDateTime('2026-01-01 05:00:00', 'UTC'), 's', '', '', '', 'gauge', '', \
        toDateTime(if(batch = 6, 600, 0), 'UTC'), 0, 'metrics', count(), if(batch = 6, count(), 0), sum(value), min(value), max(value), \
        (toDateTime64(batch, 6, 'UTC'), 0, 0, toFloat64(batch)), \
        sumMapIf(bucket, value > 0), sumMapIf(bucket, value < 0), countIf(value = 0), now64(3) \
    from samples group by name, batch";

#[test]
fn merges_partials_and_keeps_quantiles_within_six_per_mille() {
    let target = Target::migrated();
    target.execute(SAMPLES);
    target.execute(PARTIALS);
    // An epoch that a rebuild is still writing must not be added.
    target.execute(
        "insert into metrics_hourly (tenant_id, metric_name, hour, epoch, count, inserted_at) \
         select 'demo', 'constant', toDateTime('2026-01-01 05:00:00', 'UTC'), 1, 1000, now64(3)",
    );
    let wrong: Vec<String> = target.rows(
        "with (approximate, exact) -> abs(approximate - exact) > 0.006 * abs(exact) as is_off \
         select concat(name, ' ', toString(tuple(h.*))) from (select name, count() as n, countIf(batch = 6) as late, sum(value) as total, \
             sum(abs(value)) as magnitude, min(value) as least, max(value) as greatest, max(batch) as newest, \
             quantileExact(0.5)(value) as q50, quantileExact(0.9)(value) as q90, quantileExact(0.95)(value) as q95, \
             quantileExact(0.99)(value) as q99, quantileExact(0.999)(value) as q999 \
             from samples group by name) as s \
         full join metrics_hourly_view as h on h.metric_name = s.name \
         where n != h.count or late != h.late_count or abs(total - h.sum) > 1e-9 * magnitude or abs(total / n - h.avg) > 1e-9 * magnitude \
             or least != h.min or greatest != h.max or newest != h.last \
             or is_off(h.p50, q50) or is_off(h.p90, q90) or is_off(h.p95, q95) or is_off(h.p99, q99) or is_off(h.p999, q999)",
    );
    assert_eq!(wrong, [""; 0]);
    assert_eq!(target.one::<u64>("select count() from metrics_hourly_view"), 6);
    let constant: (f64, f64) = target.one("select p50, p99 from metrics_hourly_view where metric_name = 'constant'");
    assert_eq!(constant, (-12.5, -12.5), "the clamp makes a single value exact");
}

#[test]
fn a_filter_on_key_columns_reads_few_granules() {
    let target = Target::migrated();
    target.execute(
        "insert into metrics_hourly (tenant_id, metric_name, hour, count, inserted_at) \
         select concat('t', toString(number % 10)), concat('m', toString(intDiv(number, 10) % 100)), \
             toDateTime('2026-01-01 00:00:00', 'UTC') + 3600 * intDiv(number, 1000), 1, now64(3) from numbers(500000)",
    );
    target.execute("optimize table metrics_hourly final");
    let read: u64 = target.one(
        "select sum(marks) from viewExplain('EXPLAIN ESTIMATE', '', (select * from metrics_hourly_view \
         where tenant_id = 't3' and metric_name = 'm42' and hour >= '2026-01-05 00:00:00' and hour < '2026-01-06 00:00:00'))",
    );
    let all: u64 = target.one(&format!(
        "select sum(marks) from system.parts where database = '{}' and table = 'metrics_hourly' and active",
        target.database
    ));
    assert!(all > 50 && read <= 3, "{read} of {all} granules");
}
