-- Progress of the aggregate stage by partition. A topic is complete through the smallest watermark over all its
-- partitions. A stated watermark is never withdrawn, hence max. Read it with `group by`, newest log_epoch only.
create table if not exists partition_progress${on_cluster}
(
    kafka_topic LowCardinality(String),
    kafka_partition Int32,
    log_epoch UInt32,
    partitions SimpleAggregateFunction(max, Int32) comment 'partitions of the topic as the writer saw them',
    aggregated_end SimpleAggregateFunction(max, Int64) comment 'offset up to which metrics_hourly holds the records, exclusive',
    watermark SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
    write_epoch SimpleAggregateFunction(max, UInt32) comment 'the batches from aggregated_end on carry this epoch or a later one',
    inserted_at SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
    constraint lease check inserted_at > now64(3) - interval ${lease_seconds} second and inserted_at < now64(3) + interval ${lease_seconds} second
)
engine = ${engine AggregatingMergeTree}
order by (kafka_topic, kafka_partition, log_epoch)
settings ${durability}${storage_policy}, default_compression_codec = 'ZSTD(3)'
