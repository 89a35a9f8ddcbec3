-- Which revision of a tenant's counters is current for an hour of a topic: one row each time an hour was examined; the
-- newest wins. Written after the rows of the revision, so that a revision is visible entirely or not at all.
create table if not exists counter_revisions${on_cluster}
(
    tenant_id LowCardinality(String),
    hour DateTime('UTC'),
    kafka_topic LowCardinality(String),
    decided_at DateTime64(3, 'UTC'),
    revision UInt64 comment 'of the rows in counter_hourly; 0: none could be computed',
    outcome Enum8('computed' = 1, 'raw_expired' = 2) comment 'raw_expired: raw rows are missing, so the revision before stands',
    hourly_samples UInt64 comment 'samples of counters that metrics_hourly had: another number makes another revision',
    raw_samples UInt64 comment 'samples that the revision was computed from',
    series UInt64 comment 'label sets, those in overflow included',
    overflow_series UInt64 comment 'label sets beyond the limit, in one series each metric and service',
    inserted_at DateTime64(3, 'UTC'),
    constraint lease check inserted_at > now64(3) - interval ${lease_seconds} second and inserted_at < now64(3) + interval ${lease_seconds} second
)
engine = ${engine MergeTree}
partition by toYYYYMM(hour)
order by (tenant_id, hour, kafka_topic, decided_at)
settings ${durability}${storage_policy}, ttl_only_drop_parts = 1, default_compression_codec = 'ZSTD(3)'
