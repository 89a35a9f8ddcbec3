-- Which migrations were applied and when: an append-only log, of which the newest row of a version is its state. On a
-- cluster every server of every shard holds all of it, through one replication path.
create table if not exists schema_migrations${on_cluster}
(
    sequence UInt64 comment 'order of the rows, whatever the clocks say',
    version UInt32,
    name String,
    action Enum8('up' = 1, 'down' = 2),
    checksum String comment 'SHA-256 of the statements of up.sql, without comments and parameters',
    recorded_at DateTime64(3, 'UTC'),
    recorded_by String
)
engine = ${engine_everywhere MergeTree}
order by sequence
