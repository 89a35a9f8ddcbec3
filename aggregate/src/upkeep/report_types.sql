insert into incidents
(stage, reason, kafka_topic, kafka_partition, log_epoch, start_offset, end_offset, hour, tenant_id, metric_name, records, detail, inserted_at)
select
    'aggregate', {reason:String}, {topic:String}, -1, 0, 0, 0, max(first_hour) as hour, tenant_id, metric_name, sum(samples),
    concat('the metric has samples of several types: ', arrayStringConcat(arraySort(groupArray(toString(metric_type))), ', ')) as detail,
    now64(3)
from
(
    select tenant_id, metric_name, metric_type, min(h.hour) as first_hour, sum(h.count) as samples
    from visible_partials as h
    where h.hour >= toDateTime({from:UInt32}, 'UTC') - interval 1 day and h.hour < toDateTime({to:UInt32}, 'UTC')
    group by tenant_id, metric_name, metric_type
)
group by tenant_id, metric_name
having count() > 1 and (tenant_id, metric_name, detail) not in
    (select i.tenant_id, i.metric_name, i.detail from incidents as i where i.reason = {reason:String})
order by tenant_id, metric_name
limit {incidents_max:UInt64}
