insert into counter_revisions
(tenant_id, hour, kafka_topic, decided_at, revision, outcome, hourly_samples, raw_samples, series, overflow_series, inserted_at)
select
    {tenant:String}, hour, {topic:String}, now64(3), {revision:UInt64}, 'computed',
    transform(toUInt32(hour), {hours:Array(UInt32)}, {hourly:Array(UInt64)}, toUInt64(0)),
    sum(samples), sum(series), sumIf(series, series_id = 0), now64(3)
from counter_hourly
where tenant_id = {tenant:String} and kafka_topic = {topic:String} and hour >= toDateTime({from:UInt32}, 'UTC') and hour < toDateTime({to:UInt32}, 'UTC')
    and revision = {revision:UInt64}
    -- A member that paused since it computed the rows does not replace a newer revision.
    and hour not in
    (
        select r.hour from counter_revisions as r
        where r.tenant_id = {tenant:String} and r.kafka_topic = {topic:String}
            and r.hour >= toDateTime({from:UInt32}, 'UTC') and r.hour < toDateTime({to:UInt32}, 'UTC') and r.revision > {revision:UInt64}
    )
group by hour
