-- Columns: raw rows `m` as samples of counters.
m.tenant_id as tenant_id, m.metric_name as metric_name, m.service_id as service_id, m.plugin_id as plugin_id,
m.environment as environment, m.team_id as team_id, m.unit as unit, m.user_id as user_id, m.labels as labels,
m.time as time, m.kafka_partition as kafka_partition, m.kafka_offset as kafka_offset, m.value as value, ${series_id} as series_id, m.kafka_topic as kafka_topic
