//! The lives of logs, as the other stages number them.
//!
//! Each stage notices by itself that a log was recreated or lost its end, unless it had not yet read what was lost.
//! Such a stage takes over the number of the others once it has reached the start of their life, so that offsets mean
//! the same in all stages. Read from the ledger periodically and at each assignment; while ClickHouse is away, the last
//! answer stays.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::plan::Life;
use crate::range::PartitionId;
use crate::store::{Store, StoreError, answered};

/// Time between two reads.
const INTERVAL: Duration = Duration::from_secs(15);

/// The newest lives, after the first, that other stages have entered in the ledger; shared.
#[derive(Debug, Clone, Default)]
pub struct Lives(Arc<Mutex<HashMap<PartitionId, Life>>>);

impl Lives {
    /// The newest one known for a partition.
    pub fn of(&self, id: &PartitionId) -> Option<Life> {
        let lives = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lives.get(id).copied()
    }

    /// Reads the lives that stages other than `stage` have entered.
    async fn refresh(&self, store: &Store, stage: &str) -> Result<(), StoreError> {
        let query = "select toString(kafka_topic) as topic, kafka_partition, log_epoch, min(start_offset) from batch_ledger \
             where stage != ? and log_epoch > 1 group by topic, kafka_partition, log_epoch \
             order by topic, kafka_partition, log_epoch desc limit 1 by topic, kafka_partition";
        let rows = store.client.query(query).bind(stage);
        let rows = rows.fetch_all::<(String, i32, u32, i64)>().await?;
        let life =
            |(topic, partition, log_epoch, start)| (PartitionId::new(topic, partition), Life { log_epoch, start });
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = rows.into_iter().map(life).collect();
        Ok(())
    }

    /// Reads them periodically, for as long as it is polled.
    pub async fn follow(self, store: Store, stage: &'static str) {
        loop {
            if let Err(error) = answered(self.refresh(&store, stage)).await {
                tracing::debug!(%error, "cannot read the lives of logs");
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }
}

/// The newest life of a partition's log that stages other than `stage` have entered; `None` if none of them has read
/// it.
pub async fn of_others(store: &Store, stage: &str, id: &PartitionId) -> Result<Option<Life>, StoreError> {
    let query = "select log_epoch, min(start_offset) from batch_ledger \
         where stage != ? and kafka_topic = ? and kafka_partition = ? group by log_epoch order by log_epoch desc limit 1";
    let life = store
        .client
        .query(query)
        .bind(stage)
        .bind(&*id.topic)
        .bind(id.partition);
    let life = life.fetch_optional::<(u32, i64)>().await?;
    Ok(life.map(|(log_epoch, start)| Life { log_epoch, start }))
}
