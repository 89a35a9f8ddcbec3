-- Dead letters: records that could not become rows, with their bytes, so that they can be replayed after a fix. Also
-- partitioned by kind: each kind has its own retention, and a part is dropped only when all of it has expired.
create table if not exists rejected_records${on_cluster}
(
    kafka_topic LowCardinality(String),
    kafka_partition Int32,
    kafka_offset Int64 codec(Delta, Default),
    kafka_timestamp DateTime64(3, 'UTC') codec(Delta, T64, Default),
    log_epoch UInt32,
    inserted_at DateTime64(3, 'UTC') codec(Delta, Default),
    kind LowCardinality(String) comment 'the record kind the topic carries: metric_sample, audit_event',
    step LowCardinality(String) comment 'where it failed: framing, decode, validate, insert',
    reason LowCardinality(String) comment 'a stable code',
    detail String comment 'what is wrong with this record, in words',
    rules_version UInt32,
    record_key String,
    payload String,
    index offsets kafka_offset type minmax granularity 1,
    constraint lease check inserted_at > now64(3) - interval ${lease_seconds} second and inserted_at < now64(3) + interval ${lease_seconds} second
)
engine = ${engine MergeTree}
partition by (kind, toYYYYMM(kafka_timestamp))
order by (kafka_topic, kafka_partition, kafka_offset)
settings ${durability}${storage_policy}, ttl_only_drop_parts = 1, default_compression_codec = 'ZSTD(3)'
