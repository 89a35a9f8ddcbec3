-- The days of a span, of some tenants or of all: each metric for which the hours of a day and its roll-up have
-- different counts. Days that a rebuild has written into stay as hours.
insert into ${made}
(
    tenant_id, metric_name, hour, service_id, plugin_id, environment, team_id, metric_type, unit, kafka_topic,
    count, late_count, sum, min, max, last, positive, negative, zero_count, inserted_at
)
with toDateTime({from:UInt32}, 'UTC') as span_from, toDateTime({to:UInt32}, 'UTC') as span_to
select
    h.tenant_id, h.metric_name, ${start} as start, h.service_id, h.plugin_id, h.environment, h.team_id, h.metric_type, h.unit,
    {topic:String}, sum(h.count), sum(h.late_count), sum(h.sum), min(h.min), max(h.max), max(h.last),
    sumMap(h.positive), sumMap(h.negative), sum(h.zero_count), now64(3)
${hours_to_make}
group by h.tenant_id, h.metric_name, start, h.service_id, h.plugin_id, h.environment, h.team_id, h.metric_type, h.unit
