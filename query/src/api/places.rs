//! A number of places for each key.
//!
//! Enters: a key. Leaves: a place, held until it is dropped. Guarantees: when all places of a key are taken, they are
//! handed out first come, first served; dropping the future leaves the queue; nothing is kept for keys that nobody
//! uses.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use crate::api::Problem;

/// A place, held until it is dropped.
pub type Place = OwnedSemaphorePermit;

/// The places of all keys.
#[derive(Debug, Clone)]
pub struct Places<K> {
    each_max: usize,
    keys: Arc<Mutex<HashMap<K, Weak<Semaphore>>>>,
}

impl<K: Eq + Hash> Places<K> {
    /// This many for each key.
    pub fn new(each_max: usize) -> Self {
        Self {
            each_max,
            keys: Arc::default(),
        }
    }

    /// How many each key has.
    pub fn each_max(&self) -> usize {
        self.each_max
    }

    /// Waits for a place. Never fails, since the semaphores are never closed.
    pub async fn take(&self, key: K) -> Result<Place, AcquireError> {
        self.take_of(key, self.each_max).await
    }

    /// [`Self::take`] for those who wait as long as it takes.
    pub async fn turn(&self, key: K) -> Result<Place, Problem> {
        self.take(key).await.map_err(|_| Problem::Internal)
    }

    /// [`Self::take`] for a key that has fewer of them.
    pub async fn take_of(&self, key: K, places: usize) -> Result<Place, AcquireError> {
        self.of(key, places).acquire_owned().await
    }

    /// Waits for several places at once, at most as many as a key has.
    pub async fn take_many(&self, key: K, places: u32) -> Result<Place, AcquireError> {
        self.of(key, self.each_max).acquire_many_owned(places).await
    }

    /// A place, if one is free now.
    pub fn try_take(&self, key: K) -> Option<Place> {
        self.of(key, self.each_max).try_acquire_owned().ok()
    }

    /// Several places at once, if as many are free now.
    pub fn try_take_many(&self, key: K, places: u32) -> Option<Place> {
        self.of(key, self.each_max).try_acquire_many_owned(places).ok()
    }

    fn of(&self, key: K, places: usize) -> Arc<Semaphore> {
        let mut keys = self.keys.lock();
        keys.retain(|_, places| places.strong_count() > 0);
        let known = keys.get(&key).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let places = Arc::new(Semaphore::new(places));
            keys.insert(key, Arc::downgrade(&places));
            places
        })
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn places_are_given_in_the_order_of_asking_and_to_nobody_who_left() {
        let places = Places::new(1);
        let held = places.try_take("a");
        assert!(held.is_some() && places.try_take("a").is_none() && places.try_take("b").is_some());
        let mut second = pin!(places.take("a"));
        let mut third = pin!(places.take("a"));
        {
            let mut left = pin!(places.take("a"));
            for waiting in [second.as_mut(), left.as_mut(), third.as_mut()] {
                assert!(waiting.now_or_never().is_none());
            }
        }
        drop(held);
        assert!(third.as_mut().now_or_never().is_none(), "the second comes first");
        let second = second.now_or_never();
        assert!(matches!(second, Some(Ok(_))));
        assert!(third.as_mut().now_or_never().is_none());
        drop(second);
        assert!(matches!(third.now_or_never(), Some(Ok(_))));
        assert!(places.try_take("c").is_some());
        assert_eq!(places.keys.lock().len(), 1, "nothing is kept of the others");
    }
}
