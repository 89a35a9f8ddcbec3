-- What went wrong, where, and why: for operators and analysts, never read by the stages.
create table if not exists incidents${on_cluster}
(
    stage LowCardinality(String),
    reason LowCardinality(String) comment 'a stable code; ARCHITECTURE.md lists them',
    kafka_topic LowCardinality(String),
    kafka_partition Int32,
    log_epoch UInt32,
    start_offset Int64,
    end_offset Int64 comment 'exclusive; equal to start_offset where no record is concerned',
    hour DateTime('UTC') comment 'the hour concerned, 1970 where there is none',
    tenant_id LowCardinality(String) comment 'empty where all are concerned',
    metric_name LowCardinality(String),
    records UInt64,
    detail String comment 'what is wrong, in words',
    inserted_at DateTime64(3, 'UTC'),
    constraint lease check inserted_at > now64(3) - interval ${lease_seconds} second and inserted_at < now64(3) + interval ${lease_seconds} second
)
engine = ${engine MergeTree}
partition by toYYYYMM(inserted_at)
order by (reason, inserted_at, kafka_topic, kafka_partition)
settings ${durability}${storage_policy}, ttl_only_drop_parts = 1, default_compression_codec = 'ZSTD(3)'
