//! What the handlers of all resources share.

use std::sync::Arc;

use horolog_stage::config::ConfigError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::access::ring::KeyRing;
use crate::api::Problem;
use crate::api::cursor::CursorKey;
use crate::config::QueryConfig;
use crate::store::Store;

/// The service as a handler sees it.
#[derive(Clone)]
pub struct Api {
    /// ClickHouse.
    pub store: Store,
    /// What seals cursors.
    pub cursor_key: CursorKey,
    /// Who may ask.
    pub keys: KeyRing,
    /// As configured.
    pub config: Arc<QueryConfig>,
    permits: Arc<Semaphore>,
}

impl Api {
    /// As configured.
    pub fn new(config: &QueryConfig, store: Store) -> Result<Self, ConfigError> {
        let keys = KeyRing::default();
        config.access.keys()?.into_iter().for_each(|key| keys.put(key));
        Ok(Self {
            store,
            keys,
            cursor_key: CursorKey::derive(&config.clickhouse.read_password()?),
            permits: Arc::new(Semaphore::new(config.limits.concurrent_requests_max)),
            config: Arc::new(config.clone()),
        })
    }

    /// A place among the requests that are answered at the same time, held until it is dropped.
    pub fn admit(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let busy = |_| Problem::Busy("too many requests at once");
        Arc::clone(&self.permits).try_acquire_owned().map_err(busy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_too_many_is_told_to_come_back_until_another_is_done() {
        let mut config = QueryConfig::default();
        config.limits.concurrent_requests_max = 1;
        let store = Store::new(&config.clickhouse, &config.limits).unwrap();
        let api = Api::new(&config, store).unwrap();
        let admitted = api.admit().unwrap();
        assert!(matches!(api.clone().admit().unwrap_err(), Problem::Busy(_)));
        drop(admitted);
        assert!(api.admit().is_ok());
    }
}
