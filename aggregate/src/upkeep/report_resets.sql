insert into incidents
(stage, reason, kafka_topic, kafka_partition, log_epoch, start_offset, end_offset, hour, tenant_id, metric_name, records, detail, inserted_at)
with concat('service ', service_id, ', environment ', environment, ', labels ', toString(labels)) as words
select
    'aggregate', {reason:String}, {topic:String}, -1, 0, 0, 0, hour, tenant_id, metric_name, resets,
    concat('a counter fell ', toString(resets), ' times within the hour: ', words), now64(3)
from counter_hourly
where tenant_id = {tenant:String} and kafka_topic = {topic:String} and hour >= toDateTime({from:UInt32}, 'UTC') and hour < toDateTime({to:UInt32}, 'UTC')
    and revision = {revision:UInt64} and resets >= 2 and series_id != 0
    and (hour, metric_name, words) not in
    (
        select i.hour, i.metric_name, substring(i.detail, position(i.detail, ': ') + 2) from incidents as i
        where i.reason = {reason:String} and i.tenant_id = {tenant:String}
            and i.hour >= toDateTime({from:UInt32}, 'UTC') and i.hour < toDateTime({to:UInt32}, 'UTC')
    )
order by metric_name, hour
limit {incidents_max:UInt64}
