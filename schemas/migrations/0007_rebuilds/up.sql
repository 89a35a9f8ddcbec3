-- Rebuilds of hours and whether they are visible: one row per state, of which the newest replaces the others (read it
-- with FINAL).
--
-- Epochs. Rebuild number k writes its hours with epoch 2k - 1, beside the existing ones. Once it is registered, the
-- stage freezes the even write epoch 2k into the intents of its batches. So each partition has a switch offset:
-- partials before it have epochs below 2k (the rebuild recomputes those records), partials from it on have 2k or later.
-- For hour h and metric m, let k be the newest visible rebuild that covers both (0: none). A reader takes the odd epoch
-- 2k - 1 and every even epoch from 2k on. So a single row makes a rebuild visible, while records keep arriving.
create table if not exists rebuilds${on_cluster}
(
    number UInt32 comment 'k: 1, 2, …',
    hour_from DateTime('UTC'),
    hour_to DateTime('UTC') comment 'exclusive',
    tenant_id String comment 'empty: all tenants',
    metric_name String comment 'empty: all metrics',
    source Enum8('raw' = 1, 'kafka' = 2),
    state Enum8('registered' = 1, 'visible' = 2, 'abandoned' = 3),
    registered_at DateTime64(3, 'UTC'),
    visible_at DateTime64(3, 'UTC') comment '1970 until it is visible',
    requested_by String,
    inserted_at DateTime64(3, 'UTC'),
    constraint lease check inserted_at > now64(3) - interval ${lease_seconds} second and inserted_at < now64(3) + interval ${lease_seconds} second
)
engine = ${engine ReplacingMergeTree(inserted_at)}
order by number
settings ${durability}${storage_policy}, default_compression_codec = 'ZSTD(3)'
