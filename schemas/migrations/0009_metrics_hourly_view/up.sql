-- Hourly aggregates as an analyst reads them: one row a key and hour, partial aggregates and revisions merged.
-- A filter on key columns reaches the primary key of metrics_hourly, because the inner query groups by those columns as
-- they are; a filter on anything else is applied to merged hours.
--
-- Quantiles. The q-quantile is the value of rank floor(q * count) in sorted order, as quantileExact takes it. Buckets in
-- sorted order are the negative ones by falling index, zero, the positive ones by rising index; the first whose
-- cumulative count exceeds the rank holds it. Bucket i covers (2^(i/64), 2^((i+1)/64)] and is represented by the harmonic
-- mean of its bounds, 2 * lo * hi / (lo + hi) = lo * 2 / (1 + 2^(-1/64)): the value is off by less than 0.6 %. The
-- clamp makes single-valued and extreme hours exact.
create view if not exists metrics_hourly_view${on_cluster} as
with
    -- The representative of the bucket at a position: negatives first, then zero, then positives.
    (position) -> multiIf(
        position <= length(negative_indexes), -exp2(negative_indexes[position] / 64),
        position = length(negative_indexes) + 1, 0.,
        exp2(positive_indexes[position - length(negative_indexes) - 1] / 64)
    ) * 2 / (1 + exp2(-1 / 64)) as representative,
    (q) -> greatest(min, least(max, representative(
        arrayFirstIndex(reached -> reached > least(toUInt64(q * count), count - 1), cumulative)
    ))) as quantile_at
select
    tenant_id,
    metric_name,
    hour,
    service_id,
    plugin_id,
    environment,
    team_id,
    metric_type,
    unit,
    count,
    late_count,
    sum,
    sum / count as avg,
    min,
    max,
    last,
    quantile_at(0.5) as p50,
    quantile_at(0.95) as p95,
    quantile_at(0.99) as p99,
    inserted_at
from
(
    select
        tenant_id,
        metric_name,
        hour,
        service_id,
        plugin_id,
        environment,
        team_id,
        metric_type,
        unit,
        sum(h.count) as count,
        sum(h.late_count) as late_count,
        sum(h.sum) as sum,
        toFloat64(min(h.min)) as min,
        toFloat64(max(h.max)) as max,
        tupleElement(max(h.last), 'value') as last,
        toDateTime64(max(h.inserted_at), 3, 'UTC') as inserted_at,
        mapSort(sumMap(h.positive)) as positive_buckets,
        mapReverseSort(sumMap(h.negative)) as negative_buckets,
        mapKeys(positive_buckets) as positive_indexes,
        mapKeys(negative_buckets) as negative_indexes,
        arrayCumSum(arrayConcat(mapValues(negative_buckets), [sum(h.zero_count)], mapValues(positive_buckets))) as cumulative
    from visible_partials as h
    group by tenant_id, metric_name, hour, service_id, plugin_id, environment, team_id, metric_type, unit
)
