-- Raw samples. Partition by day: recompression and deletion by age act on whole parts.
-- Order: an analyst asks for one metric of one tenant; samples of a series lie together in time, which is what compresses.
create table if not exists metrics${on_cluster}
(
    tenant_id LowCardinality(String),
    time DateTime64(6, 'UTC') codec(DoubleDelta, ZSTD(3)),
    metric_name LowCardinality(String),
    metric_type Enum8('counter' = 1, 'gauge' = 2, 'histogram' = 3),
    service_id LowCardinality(String),
    plugin_id LowCardinality(String),
    user_id String codec(ZSTD(3)),
    team_id LowCardinality(String),
    environment LowCardinality(String),
    value Float64 codec(ZSTD(3)),
    unit LowCardinality(String),
    labels Map(LowCardinality(String), String) codec(ZSTD(3)),
    kafka_topic LowCardinality(String),
    kafka_partition Int32 codec(ZSTD(3)),
    kafka_offset Int64 codec(Delta, ZSTD(3)),
    kafka_timestamp DateTime64(3, 'UTC') codec(DoubleDelta, ZSTD(3)),
    log_epoch UInt32 codec(ZSTD(3)),
    inserted_at DateTime64(3, 'UTC') codec(Delta, ZSTD(3)),
    index offsets kafka_offset type minmax granularity 1,
    -- The lease of the writer: see ARCHITECTURE.md, Delivery.
    constraint lease check inserted_at > now64(3) - interval ${lease_seconds} second
)
engine = ${engine MergeTree}
partition by toDate(time)
order by (tenant_id, metric_name, service_id, plugin_id, environment, time)
settings ${deduplication_window}${storage_policy}
