-- Which metrics show the health of a service, for tenants that use names of their own: the names in
-- service_signals_view are recognised without this. Of the metrics that have samples, the one of the lowest rank is
-- used.
create table if not exists service_signals${on_cluster}
(
    tenant_id LowCardinality(String) comment 'empty: all tenants',
    signal Enum8('latency' = 1, 'requests' = 2, 'errors' = 3) comment 'latency: a histogram; requests and errors: counters',
    metric_name LowCardinality(String),
    label_name String comment 'errors among requests: only series whose label of this name …',
    label_pattern String comment '… is like this pattern; empty: all series',
    rank UInt8 comment 'under 100: before the names that are understood anyhow',
    updated_at DateTime64(3, 'UTC') default now64(3)
)
engine = ${engine ReplacingMergeTree(updated_at)}
order by (tenant_id, signal, metric_name, label_name, label_pattern)
settings ${durability}${storage_policy}
