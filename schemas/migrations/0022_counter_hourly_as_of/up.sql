-- Counters as they were known at a time: `select … from counter_hourly_as_of(as_of = '2026-05-01 12:00:00')`, in UTC.
-- Columns as in counter_hourly_view.
create view if not exists counter_hourly_as_of${on_cluster} as
select
    c.tenant_id as tenant_id, c.metric_name as metric_name, c.hour as hour, c.service_id as service_id, c.plugin_id as plugin_id,
    c.environment as environment, c.team_id as team_id, c.unit as unit, c.user_id as user_id, c.labels as labels, c.series_id as series_id, c.kafka_topic as kafka_topic,
    c.series as series, c.samples as samples, c.increase as increase, c.increase / 3600 as rate, c.resets as resets,
    c.before_time as before_time, c.before_value as before_value,
    c.first_time as first_time, c.last_time as last_time, c.last_value as last_value,
    fromUnixTimestamp64Milli(toInt64(c.revision), 'UTC') as computed_at
from counter_hourly as c
inner join
(
    select tenant_id, hour, kafka_topic, argMax(revision, decided_at) as revision from counter_revisions
    where decided_at <= toDateTime64({as_of:String}, 3, 'UTC')
    group by tenant_id, hour, kafka_topic
) as newest
on c.tenant_id = newest.tenant_id and c.hour = newest.hour and c.kafka_topic = newest.kafka_topic and c.revision = newest.revision
