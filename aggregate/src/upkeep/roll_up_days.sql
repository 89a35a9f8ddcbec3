-- The days of a span, of some tenants or of all: each metric for which the hours of a day and its roll-up have
-- different counts. Days that a rebuild has written into stay as hours.
insert into daily_rollups
(
    tenant_id, metric_name, hour, service_id, plugin_id, environment, team_id, metric_type, unit, kafka_topic,
    count, late_count, sum, min, max, last, positive, negative, zero_count, inserted_at
)
with toDateTime({from:UInt32}, 'UTC') as span_from, toDateTime({to:UInt32}, 'UTC') as span_to
select
    h.tenant_id, h.metric_name, toStartOfDay(h.hour) as day, h.service_id, h.plugin_id, h.environment, h.team_id, h.metric_type, h.unit,
    {topic:String}, sum(h.count), sum(h.late_count), sum(h.sum), min(h.min), max(h.max), max(h.last),
    sumMap(h.positive), sumMap(h.negative), sum(h.zero_count), now64(3)
from metrics_hourly as h
where h.kafka_topic = {topic:String} and h.hour >= span_from and h.hour < span_to and h.epoch % 2 = 0
    and (empty({tenants:Array(String)}) or h.tenant_id in {tenants:Array(String)})
    and (h.tenant_id, h.metric_name, day) in
    (
        select tenant_id, metric_name, day
        from
        (
            select tenant_id, metric_name, toStartOfDay(hour) as day, sum(count) as hourly, toUInt64(0) as rolled_up, max(epoch % 2) as is_rebuilt
            from metrics_hourly
            where kafka_topic = {topic:String} and hour >= span_from and hour < span_to
                and (empty({tenants:Array(String)}) or tenant_id in {tenants:Array(String)})
            group by tenant_id, metric_name, day
            union all
            select tenant_id, metric_name, hour, 0, sum(count), 0
            from daily_rollups final
            where kafka_topic = {topic:String} and hour >= span_from and hour < span_to
                and (empty({tenants:Array(String)}) or tenant_id in {tenants:Array(String)})
            group by tenant_id, metric_name, hour
        )
        group by tenant_id, metric_name, day
        having sum(hourly) != sum(rolled_up) and max(is_rebuilt) = 0
    )
group by h.tenant_id, h.metric_name, day, h.service_id, h.plugin_id, h.environment, h.team_id, h.metric_type, h.unit
