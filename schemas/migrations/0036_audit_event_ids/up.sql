-- When the events of an id happened, for every copy: used to check whether an event was sent again, and to find an
-- event by its id alone. A row is written before its row of audit_logs, so none is missing; a surplus row, of an event
-- that was stored twice or refused, costs one needless lookup in audit_logs. Its rows therefore need no lease, and the
-- table remembers no tokens: an engine that dies between remembering a token and committing the part would take the
-- next attempt for a duplicate, and the rows would be missing.
--
-- A copy may claim any time, so an id has to be looked up in all of history: now in the few parts of each year,
-- formerly (as a projection of audit_logs) in each part of each month. For a hundred ids among 100,000,000 events that
-- took 580 ms; it takes 15 ms here, 33 with blocks of the default size. 23 bytes an event, 16 of them the id, which no
-- codec makes smaller.
create table if not exists audit_event_ids${on_cluster}
(
    tenant_id LowCardinality(String),
    event_id UUID codec(NONE),
    occurred_at DateTime64(6, 'UTC'),
    -- Sent with every delivered row; not needed here.
    inserted_at DateTime64(3, 'UTC') ephemeral
)
engine = ${engine MergeTree}
partition by toYear(occurred_at)
order by (tenant_id, event_id)
settings ${durability_without_tokens}${storage_policy}, ttl_only_drop_parts = 1, default_compression_codec = 'ZSTD(3)',
    index_granularity = 128, min_compress_block_size = 2048
