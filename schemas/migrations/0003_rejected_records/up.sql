-- The dead letters: records that could not become rows, with their bytes, so that they can be replayed after a fix.
create table if not exists rejected_records${on_cluster}
(
    kafka_topic LowCardinality(String),
    kafka_partition Int32,
    kafka_offset Int64 codec(Delta, ZSTD(3)),
    kafka_timestamp DateTime64(3, 'UTC') codec(DoubleDelta, ZSTD(3)),
    log_epoch UInt32 codec(ZSTD(3)),
    inserted_at DateTime64(3, 'UTC') codec(Delta, ZSTD(3)),
    kind LowCardinality(String) comment 'the record kind the topic carries: metric_sample, audit_event',
    step LowCardinality(String) comment 'where it failed: framing, decode, validate, insert',
    reason LowCardinality(String) comment 'a stable code',
    detail String comment 'what is wrong with this record, in words' codec(ZSTD(3)),
    rules_version UInt32,
    record_key String codec(ZSTD(3)),
    payload String codec(ZSTD(3)),
    index offsets kafka_offset type minmax granularity 1,
    constraint lease check inserted_at > now64(3) - interval ${lease_seconds} second
)
engine = ${engine MergeTree}
partition by (kind, toYYYYMM(kafka_timestamp))
order by (kafka_topic, kafka_partition, kafka_offset)
settings ${deduplication_window}${storage_policy}
