-- Complete UTC days, rolled up from metrics_hourly by the upkeep: one row per key and topic, of which the one with most
-- samples counts. It only speeds up UTC days and months and is never trusted by itself: a reader compares the counts of
-- what it asks for with those of metrics_hourly in all epochs; both only ever grow. If they are equal, no row is
-- missing or stale; otherwise, and for days that a visible rebuild covers, it reads the hours. A metric has some
-- thousand rows in a month: with the default granules of 8192, reading a year of it took twice as long.
create table if not exists daily_rollups${on_cluster}
(
    tenant_id LowCardinality(String),
    metric_name LowCardinality(String),
    hour DateTime('UTC') comment 'start of the day, named as in metrics_hourly, so that the same text merges both' codec(DoubleDelta, Default),
    service_id LowCardinality(String),
    plugin_id LowCardinality(String),
    environment LowCardinality(String),
    team_id LowCardinality(String),
    metric_type Enum8('counter' = 1, 'gauge' = 2, 'histogram' = 3),
    unit LowCardinality(String),
    kafka_topic LowCardinality(String),
    count UInt64,
    late_count UInt64,
    sum Float64,
    min Float64,
    max Float64,
    last Tuple(time DateTime64(6, 'UTC'), kafka_partition Int32, kafka_offset Int64, value Float64),
    positive Map(Int32, UInt64),
    negative Map(Int32, UInt64),
    zero_count UInt64,
    inserted_at DateTime64(3, 'UTC'),
    constraint lease check inserted_at > now64(3) - interval ${lease_seconds} second and inserted_at < now64(3) + interval ${lease_seconds} second
)
engine = ${engine ReplacingMergeTree(count)}
partition by toYYYYMM(hour)
order by (tenant_id, metric_name, hour, service_id, plugin_id, environment, team_id, metric_type, unit, kafka_topic)
settings ${durability_without_tokens}${storage_policy}, ttl_only_drop_parts = 1, default_compression_codec = 'ZSTD(3)',
    auto_statistics_types = '', index_granularity = 256
