-- The availability that a service promises; 0.999 where there is no row. An empty environment means all of them; a row
-- for the environment itself takes precedence. The newest row of a service counts.
create table if not exists service_objectives${on_cluster}
(
    tenant_id LowCardinality(String),
    service_id LowCardinality(String),
    environment LowCardinality(String),
    availability Float64 comment 'share of requests without an error, for example 0.995',
    updated_at DateTime64(3, 'UTC') default now64(3),
    constraint availability_is_a_share check availability > 0 and availability < 1
)
engine = ${engine ReplacingMergeTree(updated_at)}
order by (tenant_id, service_id, environment)
settings ${durability}${storage_policy}
