-- Who came with a token of the identity provider, as their last token said: with access_keys, who may see what. A projection of the query
-- service's journal, by each of its processes, which no service reads. The journal forgets who did not come for 400 days, the table
-- does not. Read it with FINAL.
create table if not exists access_subjects${on_cluster}
(
    tenant LowCardinality(String),
    subject String,
    role LowCardinality(String),
    teams Array(String) comment 'whose rows it shows; all where empty',
    permissions Array(LowCardinality(String)),
    masked Map(LowCardinality(String), LowCardinality(String)) comment 'columns of audit events it does not show as they are, and what is done to them',
    last_used_at DateTime64(3, 'UTC') comment 'as far as it was written down, which is done now and then',
    last_used_from String,
    version UInt64 comment 'offset in the journal of the record that it is made of'
)
engine = ${engine ReplacingMergeTree(version)}
order by (tenant, subject)
settings ${durability}${storage_policy}
