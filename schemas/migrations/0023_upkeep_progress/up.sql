-- How far the upkeep of derived tables has got. The newest row counts: read it with argMax(…, inserted_at).
create table if not exists upkeep_progress${on_cluster}
(
    task LowCardinality(String) comment 'counters',
    kafka_topic LowCardinality(String),
    through DateTime('UTC') comment 'hours before this are done',
    revisions_seen DateTime64(3, 'UTC') comment 'hour_revisions up to here have been looked at',
    inserted_at DateTime64(3, 'UTC'),
    constraint lease check inserted_at > now64(3) - interval ${lease_seconds} second and inserted_at < now64(3) + interval ${lease_seconds} second
)
engine = ${engine ReplacingMergeTree(inserted_at)}
order by (task, kafka_topic)
settings ${durability}${storage_policy}, default_compression_codec = 'ZSTD(3)'
