select tenant_id, toUInt32(hour) as hour, sum(hourly) as hourly_samples, sum(raw) as raw_samples, sum(known) as known_samples
from
(
    select tenant_id, h.hour as hour, toUInt64(sum(h.count)) as hourly, toUInt64(0) as raw, toUInt64(0) as known
    from visible_partials as h
    where h.kafka_topic = {topic:String} and h.metric_type = 'counter' and h.hour >= toDateTime({from:UInt32}, 'UTC') and h.hour < toDateTime({to:UInt32}, 'UTC')
        and (empty({tenants:Array(String)}) or (tenant_id, toUInt32(h.hour)) in (select arrayJoin(arrayZip({tenants:Array(String)}, {hours:Array(UInt32)}))))
    group by tenant_id, hour
    union all
    select tenant_id, toDateTime(toStartOfHour(m.time), 'UTC') as hour, 0, count(), 0
    from metrics as m
    where m.kafka_topic = {topic:String} and m.metric_type = 'counter' and m.time >= toDateTime64({from:UInt32}, 6, 'UTC') and m.time < toDateTime64({to:UInt32}, 6, 'UTC')
        and (empty({tenants:Array(String)}) or (tenant_id, toUInt32(toDateTime(toStartOfHour(m.time), 'UTC'))) in (select arrayJoin(arrayZip({tenants:Array(String)}, {hours:Array(UInt32)}))))
    group by tenant_id, hour
    union all
    select tenant_id, c.hour as hour, 0, 0, argMax(c.hourly_samples, c.decided_at)
    from counter_revisions as c
    where c.kafka_topic = {topic:String} and c.hour >= toDateTime({from:UInt32}, 'UTC') and c.hour < toDateTime({to:UInt32}, 'UTC')
        and (empty({tenants:Array(String)}) or (tenant_id, toUInt32(c.hour)) in (select arrayJoin(arrayZip({tenants:Array(String)}, {hours:Array(UInt32)}))))
    group by tenant_id, hour
)
group by tenant_id, hour
having hourly_samples > 0
order by tenant_id, hour
