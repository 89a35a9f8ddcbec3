-- Hours as fresh as the raw table: the partial aggregates plus the raw rows that are not in them yet. `count` covers
-- both, `fresh_count` only the raw rows (whether one of those is late is known once it is aggregated). Other columns as
-- in metrics_hourly_view.
--
-- A raw row is fresh from the aggregated end of its partition on, in the newest life of its log. The smallest of those
-- ends is a constant to the engine, so the index on kafka_offset skips older granules; the rest is checked against the
-- exact end of its partition. The branch with the progress comes first: it is read before the partial aggregates, so
-- that no row is missing. While a batch is being stored (well under a second), its rows can be in both. Raw rows of a
-- topic that no aggregate stage has reported on are left out, unless no topic has been reported on at all.
create view if not exists metrics_hourly_fresh_view${on_cluster} as
with ${quantile_functions}
select
    tenant_id, metric_name, hour, service_id, plugin_id, environment, team_id, metric_type, unit,
    fresh_count,
    ${merged_columns}
from
(
    select
        tenant_id, metric_name, hour, service_id, plugin_id, environment, team_id, metric_type, unit,
        sum(h.fresh_count) as fresh_count,
        ${merged_partials}
    from
    (
        with
            (
                -- Nothing may be skipped while a partition of a topic has not reported.
                select (min(smallest_of_topic), groupArray(kafka_topic))
                from
                (
                    select kafka_topic, if(count() < max(partitions), 0, min(tupleElement(end, 2))) as smallest_of_topic
                    from
                    (
                        select
                            p.kafka_topic as kafka_topic, max(p.partitions) as partitions, max((p.log_epoch, p.aggregated_end)) as end
                        from partition_progress as p
                        group by p.kafka_topic, p.kafka_partition
                    )
                    group by kafka_topic
                )
            ) as reported,
            reported.1 as smallest_end,
            reported.2 as topics
        select
            m.tenant_id as tenant_id,
            m.metric_name as metric_name,
            toDateTime(toStartOfHour(m.time), 'UTC') as hour,
            m.service_id as service_id,
            m.plugin_id as plugin_id,
            m.environment as environment,
            m.team_id as team_id,
            m.metric_type as metric_type,
            m.unit as unit,
            count() as fresh_count,
            count() as count,
            toUInt64(0) as late_count,
            sum(m.value) as sum,
            min(m.value) as min,
            max(m.value) as max,
            max((m.time, m.kafka_partition, m.kafka_offset, m.value))::Tuple(time DateTime64(6, 'UTC'), kafka_partition Int32, kafka_offset Int64, value Float64) as last,
            sumMapIf(map(${bucket_index m.value}, toUInt64(1)), m.value > 0) as positive,
            sumMapIf(map(${bucket_index m.value}, toUInt64(1)), m.value < 0) as negative,
            countIf(m.value = 0) as zero_count,
            max(m.inserted_at) as inserted_at
        from metrics as m
        any left join
        (
            select p.kafka_topic as kafka_topic, p.kafka_partition as kafka_partition, max((p.log_epoch, p.aggregated_end)) as end
            from partition_progress as p
            group by kafka_topic, kafka_partition
        ) as progress
        on m.kafka_topic = progress.kafka_topic and m.kafka_partition = progress.kafka_partition
        where m.kafka_offset >= smallest_end and (empty(topics) or has(topics, m.kafka_topic)) and (m.log_epoch, m.kafka_offset) >= progress.end
        group by tenant_id, metric_name, hour, service_id, plugin_id, environment, team_id, metric_type, unit
        union all
        select
            tenant_id, metric_name, hour, service_id, plugin_id, environment, team_id, metric_type, unit,
            toUInt64(0) as fresh_count,
            toUInt64(v.count) as count,
            toUInt64(v.late_count) as late_count,
            toFloat64(v.sum) as sum,
            toFloat64(v.min) as min,
            toFloat64(v.max) as max,
            v.last::Tuple(time DateTime64(6, 'UTC'), kafka_partition Int32, kafka_offset Int64, value Float64) as last,
            v.positive::Map(Int32, UInt64) as positive,
            v.negative::Map(Int32, UInt64) as negative,
            toUInt64(v.zero_count) as zero_count,
            v.inserted_at::DateTime64(3, 'UTC') as inserted_at
        from visible_partials as v
    ) as h
    group by tenant_id, metric_name, hour, service_id, plugin_id, environment, team_id, metric_type, unit
)
