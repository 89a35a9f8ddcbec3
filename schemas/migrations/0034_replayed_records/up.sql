-- Rejected records that `horolog-ingest replay-rejected` sent to their topic again: one row per record and replay. A
-- replay is one Kafka transaction: all of its records arrive or none. Of a replay's states the highest
-- in the enum counts: read it with FINAL. A record was replayed if one of its replays is `sent`; its new copy in the
-- topic has the headers horolog-replay and horolog-replayed-from.
create table if not exists replayed_records${on_cluster}
(
    kafka_topic LowCardinality(String),
    kafka_partition Int32,
    log_epoch UInt32,
    kafka_offset Int64 codec(Delta, Default),
    replay String comment 'identifier of the transaction',
    state Enum8('begun' = 1, 'abandoned' = 2, 'sent' = 3) comment 'begun: written before the transaction; abandoned: the transaction never was',
    inserted_at DateTime64(3, 'UTC'),
    version UInt8 materialized toUInt8(state),
    constraint lease check inserted_at > now64(3) - interval ${lease_seconds} second and inserted_at < now64(3) + interval ${lease_seconds} second
)
engine = ${engine ReplacingMergeTree(version)}
partition by toYYYYMM(inserted_at)
order by (kafka_topic, kafka_partition, log_epoch, kafka_offset, replay)
settings ${durability}${storage_policy}, ttl_only_drop_parts = 1, default_compression_codec = 'ZSTD(3)'
