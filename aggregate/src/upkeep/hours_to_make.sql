-- The hours of the days of a span, of some tenants or of all, of which a metric has another count than what is made of
-- them, the table ${made}. Days that a rebuild has written into are left out.
from metrics_hourly as h
where h.kafka_topic = {topic:String} and h.hour >= span_from and h.hour < span_to and h.epoch % 2 = 0
    and (empty({tenants:Array(String)}) or h.tenant_id in {tenants:Array(String)})
    and (h.tenant_id, h.metric_name, toStartOfDay(h.hour)) in
    (
        select tenant_id, metric_name, day
        from
        (
            select tenant_id, metric_name, toStartOfDay(hour) as day, sum(count) as hourly, toUInt64(0) as made, max(epoch % 2) as is_rebuilt
            from metrics_hourly
            where kafka_topic = {topic:String} and hour >= span_from and hour < span_to
                and (empty({tenants:Array(String)}) or tenant_id in {tenants:Array(String)})
            group by tenant_id, metric_name, day
            union all
            select tenant_id, metric_name, toStartOfDay(hour) as day, 0, sum(count), 0
            from ${made} final
            where kafka_topic = {topic:String} and hour >= span_from and hour < span_to
                and (empty({tenants:Array(String)}) or tenant_id in {tenants:Array(String)})
            group by tenant_id, metric_name, day
        )
        group by tenant_id, metric_name, day
        having sum(hourly) != sum(made) and max(is_rebuilt) = 0
    )
