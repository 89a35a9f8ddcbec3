-- Raw samples.
--
-- Partition by day: recompression acts once a whole part is old, and deletion drops whole parts (ttl_only_drop_parts)
-- instead of rewriting them.
-- Order: analysts ask for one metric of one tenant. Samples of a series lie next to each other in time, which
-- compresses well.
--
-- Codecs, measured on 6,000 regular one-minute series of a day (random walk, 2 decimals) and on real CloudWatch series.
-- `recompress` would keep a general codec named on a column, so none is named: `Default` or no codec means
-- default_compression_codec until the TTL replaces it.
-- * value: plain ZSTD finds the repeated doubles of rounded readings. Delta wins on smooth walks and loses a quarter on
--   real readings; Gorilla and FPC lose everywhere; ALP wins, but is experimental.
-- * 256 KiB blocks hold four granules, enough for ZSTD to see the repeats; larger ones gain under 2 % and slow down
--   every point read.
--
-- Merges cost more than inserts: each merge of a row takes 0.8 µs whatever the codec, its insert 0.6 µs. Merging from
-- ten parts on instead of five (merge_selector_base) takes 0.7 instead of 1.2 µs a row over 64 consecutive inserts, and
-- leaves a few more parts per day. No automatic statistics: they cost 0.1 µs a row for insert and first merge together,
-- and the primary key and the partition say more.
create table if not exists metrics${on_cluster}
(
    tenant_id LowCardinality(String),
    -- GCD removes the microseconds when a source counts milliseconds (2.4 bytes become 1.4), DoubleDelta the constant
    -- step.
    time DateTime64(6, 'UTC') codec(GCD, DoubleDelta, Default),
    metric_name LowCardinality(String),
    metric_type Enum8('counter' = 1, 'gauge' = 2, 'histogram' = 3),
    service_id LowCardinality(String),
    plugin_id LowCardinality(String),
    user_id String,
    team_id LowCardinality(String),
    environment LowCardinality(String),
    value Float64,
    unit LowCardinality(String),
    labels Map(LowCardinality(String), String),
    kafka_topic LowCardinality(String),
    kafka_partition Int32,
    -- A series advances by nearly equal steps in the offsets of its partition.
    kafka_offset Int64 codec(Delta, Default),
    -- Jitter of some hundred milliseconds is noise, which T64 packs into as few bits as it needs (1.5 bytes become
    -- 1.3).
    kafka_timestamp DateTime64(3, 'UTC') codec(Delta, T64, Default),
    log_epoch UInt32,
    inserted_at DateTime64(3, 'UTC') codec(Delta, Default),
    index offsets kafka_offset type minmax granularity 1,
    -- The writer's lease: see ARCHITECTURE.md, Delivery.
    constraint lease check inserted_at > now64(3) - interval ${lease_seconds} second and inserted_at < now64(3) + interval ${lease_seconds} second
)
engine = ${engine MergeTree}
partition by toDate(time)
order by (tenant_id, metric_name, service_id, plugin_id, environment, time)
settings ${durability}${storage_policy}, ttl_only_drop_parts = 1,
    default_compression_codec = 'ZSTD(5)', min_compress_block_size = 262144, merge_selector_base = 10,
    auto_statistics_types = ''
