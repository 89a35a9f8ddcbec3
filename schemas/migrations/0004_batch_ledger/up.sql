-- One row per batch and stage: what became of every offset. A row rewritten for the same range replaces the first, so
-- read it with FINAL. A stage whose rows do not carry offsets first writes `begun`, with everything needed to build the
-- same batch again; to count batches, filter on `entry in ('batch', 'recovered')`.
create table if not exists batch_ledger${on_cluster}
(
    stage LowCardinality(String),
    kafka_topic LowCardinality(String),
    kafka_partition Int32,
    log_epoch UInt32,
    start_offset Int64,
    end_offset Int64 comment 'exclusive',
    entry Enum8('batch' = 1, 'recovered' = 2, 'gap' = 3, 'epoch' = 4, 'begun' = 5) comment 'gap: offsets the broker no longer had; epoch: the topic was made again; begun: replaced when the batch is stored',
    records UInt64 comment 'records the log had in the range; offsets without a record are not counted',
    rows UInt64,
    rejected UInt64,
    expired UInt64 comment 'rows that were older than their retention when they arrived',
    late UInt64,
    ahead UInt64 comment 'records whose clock was ahead: they do not move the watermark',
    pieces UInt32,
    hours Map(DateTime('UTC'), UInt64) comment 'rows by hour of their time',
    rules_version UInt32,
    watermark DateTime64(3, 'UTC') comment 'frozen before the batch; 1970 where the stage has none',
    closed_at DateTime64(3, 'UTC') comment 'clock of the writer when the batch was closed; late records are revised in its minute',
    write_epoch UInt32 comment 'epoch of the partial aggregates: even, raised by each rebuild; 0 for a stage that has none',
    first_timestamp DateTime64(3, 'UTC') comment 'smallest Kafka timestamp',
    last_timestamp DateTime64(3, 'UTC') comment 'largest Kafka timestamp',
    tail_timestamp DateTime64(3, 'UTC') comment 'Kafka timestamp of the last record',
    tail_hash UInt64 comment 'hash of the key and payload of the last record: is it still the same log?',
    inserted_at DateTime64(3, 'UTC'),
    version UInt64 materialized if(entry = 'begun', 0, toUInt64(1e15)) + toUnixTimestamp64Milli(inserted_at) comment 'a batch that is stored replaces the one that was begun, whatever the clocks of their writers',
    constraint lease check inserted_at > now64(3) - interval ${lease_seconds} second and inserted_at < now64(3) + interval ${lease_seconds} second
)
engine = ${engine ReplacingMergeTree(version)}
partition by toYYYYMM(inserted_at)
order by (stage, kafka_topic, kafka_partition, log_epoch, start_offset, end_offset)
settings ${durability}${storage_policy}, ttl_only_drop_parts = 1, default_compression_codec = 'ZSTD(3)'
