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
    -- When an event of this id happened, by any of its copies, wherever in time they claim to be: one event is found by reading
    -- 128 rows of it in each part instead of the column of every event, and its row by the primary key. A search looks all events
    -- of a page up: with granules of 512 rows that takes 66 ms for 101 events in 31 parts, with 128 it takes 49. 22 bytes an
    -- event, 16 of them the id. A projection of _part_offset would take 18, but is read only by statements that name it.
    projection events (select tenant_id, event_id, occurred_at order by tenant_id, event_id)
        with settings (index_granularity = 128),
    constraint lease check inserted_at > now64(3) - interval ${lease_seconds} second and inserted_at < now64(3) + interval ${lease_seconds} second
)
engine = ${engine MergeTree}
partition by toYYYYMM(occurred_at)
order by (tenant_id, occurred_at, event_id)
-- A repair deletes doubled rows; without `rebuild` that is refused on a table with a projection. Small granules and blocks: a page
-- of a search is a hundred events anywhere in a month, and of each a granule of every column is unpacked. Among 5,000,000 events, on
-- a busy machine, the events of a user's page take 45 ms instead of 80, and finding them half as long; it costs 4 % more bytes.
settings ${durability}${storage_policy}, ttl_only_drop_parts = 1, default_compression_codec = 'ZSTD(3)',
    lightweight_mutation_projection_mode = 'rebuild', index_granularity = 1024, min_compress_block_size = 8192
