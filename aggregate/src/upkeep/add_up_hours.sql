-- The hours of each metric over all of its series, for the days of a span, of some tenants or of all, of which hours and
-- totals have different counts. Days that a rebuild has written into stay as hours.
insert into hourly_totals
(
    tenant_id, metric_name, hour, metric_type, unit, kafka_topic,
    count, late_count, sum, min, max, last, codes, weights, inserted_at
)
with
    toDateTime({from:UInt32}, 'UTC') as span_from, toDateTime({to:UInt32}, 'UTC') as span_to,
    sumMap(h.positive) as positives, sumMap(h.negative) as negatives
select
    h.tenant_id, h.metric_name, h.hour, h.metric_type, h.unit, {topic:String},
    sum(h.count), sum(h.late_count), sum(h.sum), min(h.min), max(h.max), max(h.last),
    arrayConcat(arrayMap(k -> toInt32(-100000 - k), mapKeys(positives)), [toInt32(0)], arrayMap(k -> toInt32(100000 + k), mapKeys(negatives))),
    arrayConcat(mapValues(positives), [sum(h.zero_count)], mapValues(negatives)), now64(3)
from metrics_hourly as h
where h.kafka_topic = {topic:String} and h.hour >= span_from and h.hour < span_to and h.epoch % 2 = 0
    and (empty({tenants:Array(String)}) or h.tenant_id in {tenants:Array(String)})
    and (h.tenant_id, h.metric_name, toStartOfDay(h.hour)) in
    (
        select tenant_id, metric_name, day
        from
        (
            select tenant_id, metric_name, toStartOfDay(hour) as day, sum(count) as hourly, toUInt64(0) as totals, max(epoch % 2) as is_rebuilt
            from metrics_hourly
            where kafka_topic = {topic:String} and hour >= span_from and hour < span_to
                and (empty({tenants:Array(String)}) or tenant_id in {tenants:Array(String)})
            group by tenant_id, metric_name, day
            union all
            select tenant_id, metric_name, toStartOfDay(hour) as day, 0, sum(count), 0
            from hourly_totals final
            where kafka_topic = {topic:String} and hour >= span_from and hour < span_to
                and (empty({tenants:Array(String)}) or tenant_id in {tenants:Array(String)})
            group by tenant_id, metric_name, day
        )
        group by tenant_id, metric_name, day
        having sum(hourly) != sum(totals) and max(is_rebuilt) = 0
    )
group by h.tenant_id, h.metric_name, h.hour, h.metric_type, h.unit
