//! The lives of logs, as the other stages count them.
//!
//! Each stage notices by itself that a log was made again or lost its end; one that had not read what was lost cannot. So whoever is behind takes
//! the count of the others over, and offsets of all stages mean the same. Read from the ledger from time to time, and at each assignment;
//! while ClickHouse is away the last count stays.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::range::PartitionId;
use crate::store::{Store, StoreError, classify};

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(15);

/// The newest lives after the first that other stages have entered in the ledger, shared.
#[derive(Debug, Clone, Default)]
pub struct Lives(Arc<Mutex<HashMap<PartitionId, u32>>>);

impl Lives {
    /// The newest that is known of a partition; 0 where there is none but the first.
    pub fn of(&self, id: &PartitionId) -> u32 {
        let lives = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lives.get(id).copied().unwrap_or(0)
    }

    /// Reads those that stages other than `stage` count.
    async fn refresh(&self, store: &Store, stage: &str) -> Result<(), StoreError> {
        let query = "select toString(kafka_topic), kafka_partition, max(log_epoch) from batch_ledger \
             where stage != ? and log_epoch > 1 group by kafka_topic, kafka_partition";
        let rows = store.client.query(query).bind(stage).fetch_all::<(String, i32, u32)>();
        let lives = rows.await.map_err(classify)?.into_iter();
        let lives = lives.map(|(topic, partition, life)| (PartitionId::new(topic, partition), life));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = lives.collect();
        Ok(())
    }

    /// Reads them from time to time, for as long as it is polled.
    pub async fn follow(self, store: Store, stage: &'static str) {
        loop {
            if let Err(error) = self.refresh(&store, stage).await {
                tracing::debug!(%error, "cannot read the lives of logs");
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }
}

/// The newest life of a partition's log that stages other than `stage` count; 0 where none has read it.
pub async fn of_others(store: &Store, stage: &str, id: &PartitionId) -> Result<u32, StoreError> {
    let query = "select max(log_epoch) from batch_ledger where stage != ? and kafka_topic = ? and kafka_partition = ?";
    let life = store
        .client
        .query(query)
        .bind(stage)
        .bind(&*id.topic)
        .bind(id.partition);
    life.fetch_one().await.map_err(classify)
}
