insert into incidents
(stage, reason, kafka_topic, kafka_partition, log_epoch, start_offset, end_offset, hour, tenant_id, metric_name, records, detail, inserted_at)
select
    'aggregate', {reason:String}, {topic:String}, -1, 0, 0, 0, toDateTime({from:UInt32}, 'UTC') as its_hour, {tenant:String}, '',
    {hourly_samples:UInt64} - {raw_samples:UInt64},
    'counters: raw rows of the hour are missing, so its increases stay as they were', now64(3)
where not exists
(
    select 1 from incidents as i
    where i.reason = {reason:String} and i.kafka_topic = {topic:String} and i.tenant_id = {tenant:String} and i.hour = toDateTime({from:UInt32}, 'UTC') and startsWith(i.detail, 'counters: ')
)
