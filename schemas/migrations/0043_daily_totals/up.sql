-- Days of hourly_totals: what a chart of one line by day or month of UTC is made of, with a twenty-fourth of the rows.
-- Written and trusted as those are; each row has the start of its day as its hour.
create table if not exists daily_totals${on_cluster}
(
    tenant_id LowCardinality(String),
    metric_name LowCardinality(String),
    hour DateTime('UTC') comment 'start of the day' codec(DoubleDelta, Default),
    metric_type Enum8('counter' = 1, 'gauge' = 2, 'histogram' = 3),
    unit LowCardinality(String),
    kafka_topic LowCardinality(String),
    count UInt64,
    late_count UInt64,
    sum Float64,
    min Float64,
    max Float64,
    last Tuple(time DateTime64(6, 'UTC'), kafka_partition Int32, kafka_offset Int64, value Float64),
    codes Array(Int32) comment 'the buckets: -100000 - k of positive values, 0 for zero, 100000 + k of negative ones' codec(Delta, Default),
    weights Array(UInt64) comment 'samples in each of them' codec(T64, Default),
    inserted_at DateTime64(3, 'UTC'),
    constraint lease check inserted_at > now64(3) - interval ${lease_seconds} second and inserted_at < now64(3) + interval ${lease_seconds} second
)
engine = ${engine ReplacingMergeTree(count)}
partition by toYYYYMM(hour)
order by (tenant_id, metric_name, hour, metric_type, unit, kafka_topic)
settings ${durability_without_tokens}${storage_policy}, ttl_only_drop_parts = 1, default_compression_codec = 'ZSTD(3)',
    auto_statistics_types = '', index_granularity = 256
