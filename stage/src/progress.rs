//! What the owners of partitions state of their progress, in ClickHouse: written and read.

use clickhouse::{Client, Row};
use serde::{Deserialize, Serialize};

use crate::clock::now_ms;
use crate::completeness::{PROGRESS_SQL, PartitionProgress};
use crate::ledger;
use crate::range::PartitionId;
use crate::stage::{Progress, Stage};
use crate::store::{Store, StoreError, answered};

/// Name of the table.
pub const TABLE: &str = "partition_progress";

/// Reads the newest progress of each partition of a topic.
pub async fn read(client: &Client, topic: &str) -> Result<Vec<PartitionProgress>, StoreError> {
    let query = client.query(PROGRESS_SQL).param("topic", topic);
    answered(async { query.fetch_all().await.map_err(StoreError::from) }).await
}

/// Likewise, with all that was acknowledged.
pub(crate) async fn read_all(store: &Store, topic: &str) -> Result<Vec<PartitionProgress>, StoreError> {
    store.catch_up(&[TABLE]).await?;
    read(&store.client, topic).await
}

/// What was stated about a partition's progress, by this owner or an earlier one.
#[derive(Debug, Clone, Copy, Default, Row, Deserialize)]
pub(crate) struct Stated {
    /// Largest watermark of this life of the log, ms since 1970; 0 where there is none.
    pub watermark_ms: i64,
    /// The largest watermark of all its lives.
    pub watermark_ever_ms: i64,
    /// Epoch of the partial aggregates.
    pub write_epoch: u32,
}

/// Reads what was stated. A life that was taken over may not have stated anything itself yet: what it began with counts.
pub(crate) async fn stated(store: &Store, stage: &str, id: &PartitionId, log_epoch: u32) -> Result<Stated, StoreError> {
    let stated: Stated = store
        .client
        .query(
            "select maxIf(toUnixTimestamp64Milli(watermark), kafka_partition = ? and log_epoch = ?) as watermark_ms, \
             maxIf(toUnixTimestamp64Milli(watermark), kafka_partition = ?) as watermark_ever_ms, \
             maxIf(p.write_epoch, kafka_partition = ?) as write_epoch \
             from partition_progress as p where kafka_topic = ?",
        )
        .bind(id.partition)
        .bind(log_epoch)
        .bind(id.partition)
        .bind(id.partition)
        .bind(&*id.topic)
        .fetch_one()
        .await?;
    let begun_with_ms = ledger::read_beginning(store, stage, id, log_epoch).await?;
    Ok(Stated {
        watermark_ms: stated.watermark_ms.max(begun_with_ms),
        ..stated
    })
}

/// Before which offset everything is in the hours of this life of the partition's log, as was stated; `None` where
/// nothing was.
pub(crate) async fn aggregated_end(store: &Store, id: &PartitionId, log_epoch: u32) -> Result<Option<i64>, StoreError> {
    let stated = read(&store.client, &id.topic).await?;
    let own = |row: &&PartitionProgress| (row.kafka_partition, row.log_epoch) == (id.partition, log_epoch);
    Ok(stated.iter().find(own).map(|row| row.aggregated_end))
}

/// A row, as the table has it; times are ms since 1970.
#[derive(Debug, Row, Serialize)]
struct ProgressRow {
    kafka_topic: String,
    kafka_partition: i32,
    log_epoch: u32,
    partitions: i32,
    aggregated_end: i64,
    watermark: i64,
    write_epoch: u32,
    inserted_at: i64,
}

/// Writes the progress of a partition, on behalf of its owner at `owned_at_ms`, for a stage that states it.
pub(crate) async fn insert(
    stage: &dyn Stage,
    store: &Store,
    progress: &Progress,
    owned_at_ms: i64,
) -> Result<(), StoreError> {
    let Progress { id, aggregated_end, .. } = progress;
    stage.holds(id);
    let row = ProgressRow {
        kafka_topic: id.topic.to_string(),
        kafka_partition: id.partition,
        log_epoch: progress.log_epoch,
        partitions: progress.partitions,
        aggregated_end: *aggregated_end,
        watermark: progress.watermark_ms,
        write_epoch: progress.write_epoch,
        inserted_at: owned_at_ms,
    };
    let token = format!("{id}/progress/{aggregated_end}/{}", now_ms());
    store.insert_row(TABLE, &row, &token).await
}
