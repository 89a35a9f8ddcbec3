//! The turns of batches: a limited number per topic is prepared and inserted at a time.
//!
//! A batch that waits, because its attempt failed or its lease is stale, yields its turn meanwhile: batches that are
//! refused for hours must not hold up those of healthy partitions.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The turn of one batch: waited for when it is taken, and held until it is left or dropped.
pub struct Turn {
    turns: Arc<Semaphore>,
    held: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Turn {
    /// Not taken yet.
    pub fn new(turns: Arc<Semaphore>) -> Self {
        Self {
            turns,
            held: Mutex::default(),
        }
    }

    /// Waits for it.
    pub async fn take(&self) {
        // The semaphore is never closed.
        drop(self.put(Arc::clone(&self.turns).acquire_owned().await.ok()));
    }

    /// Leaves it to others.
    pub fn leave(&self) {
        drop(self.put(None));
    }

    /// Lets others go first for so long.
    pub async fn rest(&self, time: Duration) {
        self.leave();
        tokio::time::sleep(time).await;
        self.take().await;
    }

    fn put(&self, permit: Option<OwnedSemaphorePermit>) -> Option<OwnedSemaphorePermit> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut held, permit)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn whoever_waits_leaves_the_turn_to_others() {
        let turns = Arc::new(Semaphore::new(1));
        let stuck = Turn::new(turns.clone());
        stuck.take().await;
        let done = AtomicU32::new(0);
        let others = async {
            for _ in 0..100 {
                let turn = Turn::new(turns.clone());
                turn.take().await;
                done.fetch_add(1, Ordering::Relaxed);
            }
        };
        let rests = async {
            while done.load(Ordering::Relaxed) < 100 {
                stuck.rest(Duration::from_millis(1)).await;
                assert_eq!(turns.available_permits(), 0, "its turn again");
            }
        };
        tokio::join!(others, rests);
        drop(stuck);
        assert_eq!(turns.available_permits(), 1);
    }
}
