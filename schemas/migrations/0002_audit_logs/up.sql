-- Audit events. Partition by month: exports and retention are by month, and years of history stay under a hundred parts.
-- Order: compliance asks for a tenant and a span; event_id last makes a repeated event an immediate neighbour.
--
-- Of 69 bytes a generated event (334 uncompressed) 32 are the event and request ids; ZSTD(5) would save 3 for a third more
-- time. `Default` and an absent codec follow default_compression_codec until the TTL recompresses.
create table if not exists audit_logs${on_cluster}
(
    event_id UUID,
    tenant_id LowCardinality(String),
    -- Events come at random: there is no step for DoubleDelta, but a common unit for GCD (CloudTrail counts seconds: 1.5
    -- bytes become 0.6) and few bits for T64 (4.3 bytes become 3.2 at full resolution).
    occurred_at DateTime64(6, 'UTC') codec(GCD, Delta, T64, Default),
    user_id String,
    team_id LowCardinality(String),
    service_id LowCardinality(String),
    plugin_id LowCardinality(String),
    source Enum8('ui' = 1, 'api' = 2, 'system' = 3, 'webhook' = 4),
    action LowCardinality(String),
    resource_type LowCardinality(String),
    resource_id String,
    resource_name String,
    old_value String,
    new_value String,
    ip_address String,
    user_agent String,
    session_id String,
    request_id String,
    status Enum8('success' = 1, 'failure' = 2, 'error' = 3),
    error_message String,
    metadata Map(LowCardinality(String), String),
    kafka_topic LowCardinality(String),
    kafka_partition Int32,
    kafka_offset Int64 codec(Delta, Default),
    kafka_timestamp DateTime64(3, 'UTC') codec(Delta, T64, Default),
    log_epoch UInt32,
    inserted_at DateTime64(3, 'UTC') codec(Delta, Default),
    index offsets kafka_offset type minmax granularity 1,
    -- A filter for each granule: 1.2 bytes an event and column, as much as one for four, because most values of a granule are
    -- different; among 5,000,000 events of 10,000 users the first hundred of one are found in 69 ms instead of 142.
    index users user_id type bloom_filter(0.01) granularity 1,
    index resources resource_id type bloom_filter(0.01) granularity 1,
    index requests request_id type bloom_filter(0.01) granularity 1,
    -- Words of names and messages, which are looked for together. Two words that no event has both of, among 10,000,000
    -- generated events: 80 ms, where reading the two columns takes 8 to 18 s on the same busy machine; about 4 bytes an event.
    index words lower(concat(resource_name, ' ', error_message)) type text(tokenizer = splitByNonAlpha),
    constraint lease check inserted_at > now64(3) - interval ${lease_seconds} second and inserted_at < now64(3) + interval ${lease_seconds} second
)
engine = ${engine MergeTree}
partition by toYYYYMM(occurred_at)
order by (tenant_id, occurred_at, event_id)
-- Small granules and blocks: a page of a search is a hundred events anywhere in a month, and of each a granule of every column is
-- unpacked. Among 4,000,000 events a user's page takes 75 ms, with twice the granule and block 92, with half of them 67; it costs 3 % more
-- bytes and a third more time to merge, half of them 9 % and twice the time.
settings ${durability}${storage_policy}, ttl_only_drop_parts = 1, default_compression_codec = 'ZSTD(3)',
    index_granularity = 512, min_compress_block_size = 4096
