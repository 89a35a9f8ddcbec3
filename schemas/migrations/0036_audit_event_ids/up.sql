-- When the events of an id happened, by any of their copies: whether an event was sent again is asked here, and where to look for one of
-- which nothing but the id is known. A row is written before its row of audit_logs is, so none is missing; a row too many, of an event that was
-- stored twice or refused, costs a look at audit_logs and no more. So its rows have no lease, and it remembers no tokens: an engine that
-- dies between remembering one and naming the part would take the next attempt for a repetition, and the rows would be missing.
--
-- A copy may claim any time, so an id has to be looked for in all of history: in the few parts of each year, where it was a lookup in each part
-- of each month while this was a projection of audit_logs. For a hundred of 100,000,000 events that took 580 ms, and takes 15 here, 33 of
-- them with blocks of the usual size. 23 bytes an event, 16 of them the id, which no codec makes smaller.
create table if not exists audit_event_ids${on_cluster}
(
    tenant_id LowCardinality(String),
    event_id UUID codec(NONE),
    occurred_at DateTime64(6, 'UTC'),
    -- Sent with every row that is delivered, and of no use here.
    inserted_at DateTime64(3, 'UTC') ephemeral
)
engine = ${engine MergeTree}
partition by toYear(occurred_at)
order by (tenant_id, event_id)
settings ${durability_without_tokens}${storage_policy}, ttl_only_drop_parts = 1, default_compression_codec = 'ZSTD(3)',
    index_granularity = 128, min_compress_block_size = 2048
