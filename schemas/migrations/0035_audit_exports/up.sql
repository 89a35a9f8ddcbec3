-- Audit exports, to see in SQL who exported what: a projection of the query service's journal, written by each of its
-- processes. No service reads it. A row is the complete state of an export as of its version; it stays when the
-- export's files are removed. Read it with FINAL.
create table if not exists audit_exports${on_cluster}
(
    export_id UUID,
    tenant LowCardinality(String),
    filter Map(LowCardinality(String), String) comment 'parameters of the search and their values; all events of the tenant where empty',
    format LowCardinality(String),
    compression LowCardinality(String),
    masked Map(LowCardinality(String), LowCardinality(String)) comment 'columns that are not shown as they were recorded, and what is done to them',
    location String comment 's3://BUCKET/PREFIX/ID, or empty for the folder of the process that wrote it',
    requested_by String,
    requested_at DateTime64(3, 'UTC'),
    request_id String comment 'that of the log and of the audit event about it',
    state LowCardinality(String) comment 'complete, failed or cancelled; empty while it is under way',
    error String comment 'why it failed',
    files UInt64,
    rows UInt64,
    bytes UInt64,
    digest String comment 'SHA-256 of the manifest, which names each file by its own: verify-export --digest',
    completed_at Nullable(DateTime64(3, 'UTC')),
    removed_at Nullable(DateTime64(3, 'UTC')) comment 'when its files were removed',
    version UInt64 comment 'offset in the journal of the record that it is made of'
)
engine = ${engine ReplacingMergeTree(version)}
order by export_id
settings ${durability}${storage_policy}
