insert into counter_hourly
(
    tenant_id, metric_name, hour, service_id, plugin_id, environment, team_id, unit, series_id, kafka_topic, revision, user_id, labels, series, samples,
    increase, resets, before_time, before_value, first_time, last_time, last_value, inserted_at
)
with
    toUInt64({revision:UInt64}) as revision,
    toUInt64({cutoff:UInt64}) as cutoff,
    toDateTime({from:UInt32}, 'UTC') as hour_from,
    toDateTime({to:UInt32}, 'UTC') as hour_to,
    assumeNotNull((
        select count() > 0 from counter_hourly_view as o
        where o.tenant_id = {tenant:String} and o.kafka_topic = {topic:String} and o.series_id = 0
            and o.hour = toDateTime({from:UInt32}, 'UTC') - interval 1 hour
    )) as had_overflow
select
    {tenant:String}, metric_name, hour, service_id, plugin_id, environment, team, its_unit, kept, {topic:String}, revision, any(its_user),
    if(kept = 0, map('otel.metric.overflow', 'true'), any(its_labels)), count(), sum(samples), sum(increase), sum(resets),
    if(kept = 0, toDateTime64(0, 6, 'UTC'), any(before.1)), if(kept = 0, 0, any(before.2)),
    min(first_time), max(last_time), if(kept = 0, 0, any(last_value)), now64(3)
from
(
    select
        metric_name, hour, service_id, plugin_id, environment, series_id, if(series_id > cutoff, 0, series_id) as kept,
        any(team_id) as team, any(unit) as its_unit, if(kept = 0, '', any(user_id)) as its_user, any(labels) as its_labels,
        ${counter_hour_columns}
    from
    (
        with r as
        (
            select ${counter_sample_columns}
            from metrics as m
            where m.tenant_id = {tenant:String} and m.kafka_topic = {topic:String} and m.metric_type = 'counter'
                -- Series in overflow, now or in the hour before, have no row of their own there: raw rows give their
                -- previous sample.
                and m.time >= hour_from - toIntervalHour(cutoff < 18446744073709551615 or had_overflow) and m.time < toDateTime64(hour_to, 6, 'UTC')
                and series_id % {slices:UInt64} = {slice:UInt64}
            union all
            select ${counter_before_columns}
            from counter_hourly_view as b
            where b.tenant_id = {tenant:String} and b.kafka_topic = {topic:String} and b.hour >= hour_from - interval 7 day and b.hour < hour_from
                and b.series_id != 0 and b.series_id <= cutoff and b.series_id % {slices:UInt64} = {slice:UInt64}
            group by tenant_id, metric_name, service_id, plugin_id, environment, team_id, unit, user_id, series_id, kafka_topic
        )
        ${counter_steps}
    )
    where hour >= hour_from
    group by metric_name, hour, service_id, plugin_id, environment, series_id
)
group by metric_name, hour, service_id, plugin_id, environment, team, its_unit, kept
