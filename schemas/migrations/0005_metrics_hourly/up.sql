-- Partial hourly aggregates: each batch adds its share, merging adds them up. Merging is associative and commutative,
-- so late records of any age are simply added. Read it with `group by`, or through metrics_hourly_view.
-- Distribution: exponential histogram, base 2, scale 6 (OpenTelemetry metrics data model), bucket index -> count.
create table if not exists metrics_hourly${on_cluster}
(
    tenant_id LowCardinality(String),
    metric_name LowCardinality(String),
    hour DateTime('UTC') codec(DoubleDelta, Default),
    service_id LowCardinality(String),
    plugin_id LowCardinality(String),
    environment LowCardinality(String),
    team_id LowCardinality(String),
    metric_type Enum8('counter' = 1, 'gauge' = 2, 'histogram' = 3),
    unit LowCardinality(String),
    revised_at DateTime('UTC') comment 'minute of the batch for late records, 1970 for those on time',
    epoch UInt32 comment 'even: written by the stage; odd: by a rebuild. What is visible: see rebuilds',
    kafka_topic LowCardinality(String) comment 'each topic has a progress of its own, and so has complete hours of its own',
    count SimpleAggregateFunction(sum, UInt64),
    late_count SimpleAggregateFunction(sum, UInt64),
    sum SimpleAggregateFunction(sum, Float64),
    min SimpleAggregateFunction(min, Float64),
    max SimpleAggregateFunction(max, Float64),
    last SimpleAggregateFunction(max, Tuple(time DateTime64(6, 'UTC'), kafka_partition Int32, kafka_offset Int64, value Float64)),
    positive SimpleAggregateFunction(sumMap, Map(Int32, UInt64)),
    negative SimpleAggregateFunction(sumMap, Map(Int32, UInt64)),
    zero_count SimpleAggregateFunction(sum, UInt64),
    inserted_at SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
    constraint lease check inserted_at > now64(3) - interval ${lease_seconds} second and inserted_at < now64(3) + interval ${lease_seconds} second
)
engine = ${engine AggregatingMergeTree}
partition by toYYYYMM(hour)
order by (tenant_id, metric_name, hour, service_id, plugin_id, environment, team_id, metric_type, unit, revised_at, epoch, kafka_topic)
settings ${durability}${storage_policy}, ttl_only_drop_parts = 1, default_compression_codec = 'ZSTD(3)',
    auto_statistics_types = ''
