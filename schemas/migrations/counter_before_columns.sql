-- Columns: the newest sample of each series in computed hours `b`, as a sample that precedes all raw ones of its time.
b.tenant_id as tenant_id, b.metric_name as metric_name, b.service_id as service_id, b.plugin_id as plugin_id,
b.environment as environment, b.team_id as team_id, b.unit as unit, b.user_id as user_id, any(b.labels) as labels,
max(b.last_time) as time, toInt32(-1) as kafka_partition, toInt64(-1) as kafka_offset, argMax(b.last_value, b.last_time) as value, b.series_id as series_id, b.kafka_topic as kafka_topic
