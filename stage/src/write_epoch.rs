//! The epoch that new batches carry: `2k` once rebuild number `k` is registered (ARCHITECTURE.md, "Epochs").
//!
//! Read from the table of rebuilds periodically and at each assignment, so that a partition never returns to an epoch
//! that an earlier owner had left. Only ever rises. While ClickHouse is away, the last one stays.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::store::{Store, StoreError, answered};

/// Table of the rebuilds.
pub const TABLE: &str = "rebuilds";
/// Time between two reads.
const INTERVAL: Duration = Duration::from_secs(1);

/// The newest epoch that is known, shared.
#[derive(Debug, Clone, Default)]
pub struct WriteEpoch(Arc<AtomicU32>);

impl WriteEpoch {
    /// The newest known.
    pub fn get(&self) -> u32 {
        self.0.load(Ordering::Acquire)
    }

    /// Reads it with all that was acknowledged, also where this replica lags behind.
    pub async fn require(&self, store: &Store) -> Result<u32, StoreError> {
        store.catch_up(&[TABLE]).await?;
        self.refresh(store).await
    }

    /// Reads it.
    async fn refresh(&self, store: &Store) -> Result<u32, StoreError> {
        let query = store
            .client
            .query(&format!("select toUInt32(2 * max(number)) from {TABLE}"));
        let read = query.fetch_one::<u32>().await?;
        Ok(self.0.fetch_max(read, Ordering::AcqRel).max(read))
    }

    /// Reads it periodically, for as long as it is polled.
    pub async fn follow(self, store: Store) {
        loop {
            if let Err(error) = answered(self.refresh(&store)).await {
                tracing::debug!(%error, "cannot read the rebuilds");
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }
}
