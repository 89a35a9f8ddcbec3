-- Increase of counters: one row per series, hour and revision. A series belongs to one topic. Computed from the raw
-- rows of complete hours, and computed again as a new revision when late samples change an hour. counter_revisions says
-- which revision is current: read counter_hourly_view.
create table if not exists counter_hourly${on_cluster}
(
    tenant_id LowCardinality(String),
    metric_name LowCardinality(String),
    hour DateTime('UTC') codec(DoubleDelta, Default),
    service_id LowCardinality(String),
    plugin_id LowCardinality(String),
    environment LowCardinality(String),
    team_id LowCardinality(String),
    unit LowCardinality(String),
    series_id UInt64 comment 'hash of service, plugin, environment, team, user, unit and labels; 0: series beyond the limit, added up',
    kafka_topic LowCardinality(String),
    revision UInt64 comment 'rises with time',
    user_id String,
    labels Map(LowCardinality(String), String),
    series UInt64 comment 'label sets in this row: 1 but for overflow',
    samples UInt64,
    increase Float64 comment 'sum of the rises from sample to sample, from the last one before the hour on; after a reset the value itself',
    resets UInt64,
    before_time DateTime64(6, 'UTC') comment 'of the sample before the hour, 1970 where none is known',
    before_value Float64,
    first_time DateTime64(6, 'UTC'),
    last_time DateTime64(6, 'UTC'),
    last_value Float64,
    inserted_at DateTime64(3, 'UTC'),
    constraint lease check inserted_at > now64(3) - interval ${lease_seconds} second and inserted_at < now64(3) + interval ${lease_seconds} second
)
engine = ${engine MergeTree}
partition by toYYYYMM(hour)
order by (tenant_id, metric_name, hour, service_id, plugin_id, environment, team_id, unit, series_id, kafka_topic, revision)
settings ${durability}${storage_policy}, ttl_only_drop_parts = 1, default_compression_codec = 'ZSTD(3)'
