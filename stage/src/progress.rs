//! What the owners of partitions state of their progress, in ClickHouse: written and read.

use clickhouse::Client;

use crate::clock::now_ms;
use crate::completeness::{PROGRESS_SQL, PartitionProgress};
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

/// Before which offset everything is in the hours of this life of the partition's log, as was stated; `None` where
/// nothing was.
pub(crate) async fn aggregated_end(store: &Store, id: &PartitionId, log_epoch: u32) -> Result<Option<i64>, StoreError> {
    let stated = read(&store.client, &id.topic).await?;
    let own = |row: &&PartitionProgress| (row.kafka_partition, row.log_epoch) == (id.partition, log_epoch);
    Ok(stated.iter().find(own).map(|row| row.aggregated_end))
}

/// Writes the progress of a partition, on behalf of its owner at `owned_at_ms`. Returns whether the stage has such rows.
pub(crate) async fn insert(
    stage: &dyn Stage,
    store: &Store,
    progress: &Progress,
    owned_at_ms: i64,
) -> Result<bool, StoreError> {
    let Some(block) = stage.progress(progress) else {
        return Ok(false);
    };
    for piece in &block.pieces {
        let token = format!("{}/progress/{}/{}", progress.id, progress.aggregated_end, now_ms());
        store.insert(block.table, piece, &token, owned_at_ms).await?;
    }
    Ok(true)
}
