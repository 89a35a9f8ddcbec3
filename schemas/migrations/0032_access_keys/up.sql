-- Who may see what, for queries in SQL: a projection of the keys in the query service's journal, written by each of its
-- processes. No service reads it, and it holds neither tokens nor their hashes. A row is the complete state of a key as
-- of its version.
create table if not exists access_keys${on_cluster}
(
    key_id String,
    name String,
    role LowCardinality(String),
    tenant LowCardinality(String) comment '* for any',
    teams Array(String) comment 'whose rows it shows; all where empty',
    permissions Array(LowCardinality(String)),
    addresses Array(String) comment 'networks it is taken from; any where empty',
    masked Map(LowCardinality(String), LowCardinality(String)) comment 'columns of audit events it does not show as they are, and what is done to them',
    requests_per_hour UInt32,
    created_at DateTime64(3, 'UTC'),
    created_by String,
    expires_at Nullable(DateTime64(3, 'UTC')),
    revoked_at Nullable(DateTime64(3, 'UTC')),
    secrets_end_at Nullable(DateTime64(3, 'UTC')) comment 'when its last secret ends; null while one has no end',
    last_used_at Nullable(DateTime64(3, 'UTC')) comment 'as far as it was written down, which is done now and then',
    last_used_from String,
    version UInt64 comment 'offset in the journal of the last record that it is made of'
)
engine = ${engine ReplacingMergeTree(version)}
order by key_id
settings ${durability}${storage_policy}
