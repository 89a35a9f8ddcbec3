-- Increase and rate of counters by series and hour, including open hours: computed hours as stored, later ones from raw
-- rows. `complete` tells them apart; the rate of an open hour covers the time from its start to the series' last
-- sample. Columns as in counter_hourly_view. The sample before an open hour is looked up in the computed hours of the
-- preceding week. Open hours are determined per topic; a topic that no aggregate stage has reported on has none.
create view if not exists counter_hourly_fresh_view${on_cluster} as
with
    (select (groupArray(kafka_topic), groupArray(through)) from (${counters_through})) as progress,
    (topic) -> progress.2[indexOf(progress.1, topic)] as open_from
select
    tenant_id, metric_name, hour, service_id, plugin_id, environment, team_id, unit, user_id, labels, series_id, kafka_topic,
    series, samples, increase, rate, resets, before_time, before_value, first_time, last_time, last_value, computed_at,
    true as complete
from counter_hourly_view
where hour < open_from(kafka_topic)
union all
select
    tenant_id, metric_name, hour, service_id, plugin_id, environment, team_id, unit, user_id, labels, series_id, kafka_topic,
    toUInt64(1) as series, samples, increase,
    increase / greatest(1, dateDiff('second', hour, last_time)) as rate, resets, before.1 as before_time, before.2 as before_value,
    first_time, last_time, last_value, now64(3, 'UTC') as computed_at, false as complete
from
(
    with
        (select (groupArray(kafka_topic), groupArray(through)) from (${counters_through})) as progress,
        (topic) -> progress.2[indexOf(progress.1, topic)] as open_from,
        -- A constant to the engine, so that the index can be used.
        arrayMin(progress.2) as least_open
    select
        tenant_id, metric_name, hour, service_id, plugin_id, environment, any(team_id) as team_id, any(unit) as unit,
        any(user_id) as user_id, any(labels) as labels, series_id, kafka_topic, ${counter_hour_columns}
    from
    (
        with r as
        (
            select ${counter_sample_columns}
            from metrics as m
            where m.metric_type = 'counter' and has(progress.1, m.kafka_topic)
                and m.time >= toDateTime64(least_open, 6, 'UTC') and m.time >= toDateTime64(open_from(m.kafka_topic), 6, 'UTC')
            union all
            select ${counter_before_columns}
            from counter_hourly_view as b
            -- A topic without any computed hour has 1970 here, which has no preceding week.
            where b.series_id != 0 and b.hour >= toDateTime(greatest(toUnixTimestamp(least_open), 604800) - 604800, 'UTC')
                and b.hour + interval 7 day >= open_from(b.kafka_topic) and b.hour < open_from(b.kafka_topic)
            group by tenant_id, metric_name, service_id, plugin_id, environment, team_id, unit, user_id, series_id, kafka_topic
        )
        ${counter_steps}
    )
    where hour >= open_from(kafka_topic)
    group by tenant_id, metric_name, hour, service_id, plugin_id, environment, series_id, kafka_topic
)
