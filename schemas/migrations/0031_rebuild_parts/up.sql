-- What a rebuild has done: one row per part of its work, written once the rows of the part are stored. An interrupted
-- rebuild does not repeat these parts; a finished one has all of its records here.
create table if not exists rebuild_parts${on_cluster}
(
    number UInt32 comment 'of the rebuild, as in rebuilds',
    part String comment 'hours by their start, or a range of offsets of a partition',
    records UInt64,
    partials UInt64 comment 'rows of metrics_hourly',
    hours Map(DateTime('UTC'), UInt64) comment 'records by hour of their time',
    inserted_at DateTime64(3, 'UTC'),
    constraint lease check inserted_at > now64(3) - interval ${lease_seconds} second and inserted_at < now64(3) + interval ${lease_seconds} second
)
engine = ${engine ReplacingMergeTree(inserted_at)}
order by (number, part)
settings ${durability}${storage_policy}, default_compression_codec = 'ZSTD(3)'
