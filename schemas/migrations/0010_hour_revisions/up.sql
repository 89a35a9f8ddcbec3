-- Records that arrived after their hour was complete: one row per batch, tenant and hour. metrics_hourly has the
-- values; this table says what caused them. Written with the batch, under its token.
create table if not exists hour_revisions${on_cluster}
(
    tenant_id LowCardinality(String),
    hour DateTime('UTC'),
    revised_at DateTime('UTC') comment 'minute of the batch, as in metrics_hourly',
    kafka_topic LowCardinality(String),
    kafka_partition Int32,
    log_epoch UInt32,
    first_offset Int64 comment 'of the late records',
    last_offset Int64 comment 'of the late records, inclusive',
    records UInt64 comment 'late records',
    lateness_max_s UInt32 comment 'how far the time of a record was behind the watermark of its partition, seconds, at the most',
    lateness Map(UInt8, UInt64) comment 'records by lateness: n counts those of [2^(n-1), 2^n) seconds, 0 those under one',
    inserted_at DateTime64(3, 'UTC'),
    constraint lease check inserted_at > now64(3) - interval ${lease_seconds} second and inserted_at < now64(3) + interval ${lease_seconds} second
)
engine = ${engine MergeTree}
partition by toYYYYMM(hour)
order by (tenant_id, hour, revised_at, kafka_topic, kafka_partition, first_offset)
settings ${durability}${storage_policy}, ttl_only_drop_parts = 1, default_compression_codec = 'ZSTD(3)'
