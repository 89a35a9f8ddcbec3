select distinct hour
from
(
    select toUInt32(l.hour) as hour
    from counter_hourly_view as l
    inner join
    (
        select metric_name, series_id, max(last_time) as newest_time, argMax(last_value, last_time) as newest_value
        from counter_hourly_view
        where tenant_id = {tenant:String} and kafka_topic = {topic:String} and hour >= toDateTime({from:UInt32}, 'UTC') and hour < toDateTime({to:UInt32}, 'UTC')
            and series_id != 0
        group by metric_name, series_id
    ) as r
    on l.metric_name = r.metric_name and l.series_id = r.series_id
    where l.tenant_id = {tenant:String} and l.kafka_topic = {topic:String} and l.hour >= toDateTime({to:UInt32}, 'UTC')
        and l.hour < toDateTime({to:UInt32}, 'UTC') + interval 7 day
        and (l.before_time < r.newest_time or (l.before_time = r.newest_time and l.before_value != r.newest_value))
    union all
    -- If series are in overflow here or in the next hour, nobody knows which sample the next hour began with.
    select toUInt32(n.hour) as hour
    from counter_hourly_view as n
    where n.tenant_id = {tenant:String} and n.kafka_topic = {topic:String} and n.hour = toDateTime({to:UInt32}, 'UTC')
        and
        (
            n.series_id = 0
            or
            (
                select count() > 0 from counter_hourly_view as o
                where o.tenant_id = {tenant:String} and o.kafka_topic = {topic:String} and o.series_id = 0
                    and o.hour >= toDateTime({from:UInt32}, 'UTC') and o.hour < toDateTime({to:UInt32}, 'UTC')
            )
        )
)
order by hour
