-- Audit events. Partition by month: exports and retention are by month, and years of history stay under a hundred parts.
-- Order: compliance asks for a tenant and a span; event_id last makes a repeated event an immediate neighbour.
create table if not exists audit_logs${on_cluster}
(
    event_id UUID,
    tenant_id LowCardinality(String),
    occurred_at DateTime64(6, 'UTC') codec(DoubleDelta, ZSTD(3)),
    user_id String codec(ZSTD(3)),
    team_id LowCardinality(String),
    service_id LowCardinality(String),
    plugin_id LowCardinality(String),
    source Enum8('ui' = 1, 'api' = 2, 'system' = 3, 'webhook' = 4),
    action LowCardinality(String),
    resource_type LowCardinality(String),
    resource_id String codec(ZSTD(3)),
    resource_name String codec(ZSTD(3)),
    old_value String codec(ZSTD(3)),
    new_value String codec(ZSTD(3)),
    ip_address String codec(ZSTD(3)),
    user_agent String codec(ZSTD(3)),
    session_id String codec(ZSTD(3)),
    request_id String codec(ZSTD(3)),
    status Enum8('success' = 1, 'failure' = 2, 'error' = 3),
    error_message String codec(ZSTD(3)),
    metadata Map(LowCardinality(String), String) codec(ZSTD(3)),
    kafka_topic LowCardinality(String),
    kafka_partition Int32 codec(ZSTD(3)),
    kafka_offset Int64 codec(Delta, ZSTD(3)),
    kafka_timestamp DateTime64(3, 'UTC') codec(DoubleDelta, ZSTD(3)),
    log_epoch UInt32 codec(ZSTD(3)),
    inserted_at DateTime64(3, 'UTC') codec(Delta, ZSTD(3)),
    index offsets kafka_offset type minmax granularity 1,
    index users user_id type bloom_filter(0.01) granularity 4,
    index resources resource_id type bloom_filter(0.01) granularity 4,
    index requests request_id type bloom_filter(0.01) granularity 4,
    constraint lease check inserted_at > now64(3) - interval ${lease_seconds} second
)
engine = ${engine MergeTree}
partition by toYYYYMM(occurred_at)
order by (tenant_id, occurred_at, event_id)
settings ${deduplication_window}${storage_policy}
