//! What the handlers of all resources share.

use std::sync::Arc;

use horolog_stage::config::ConfigError;

use crate::access::Principal;
use crate::access::gate::Gate;
use crate::api::Problem;
use crate::api::admission::{Admission, Admitted};
use crate::api::cursor::CursorKey;
use crate::audit::exports::queue::Exports;
use crate::config::QueryConfig;
use crate::metrics::memory::Memory;
use crate::store::Store;

/// The service as a handler sees it.
#[derive(Clone)]
pub struct Api {
    /// ClickHouse.
    pub store: Store,
    /// What seals cursors.
    pub cursor_key: CursorKey,
    /// Rows of metrics that were merged before.
    pub memory: Memory,
    /// Who may ask.
    pub gate: Gate,
    /// As configured.
    pub config: Arc<QueryConfig>,
    exports: Option<Arc<Exports>>,
    admission: Admission,
}

impl Api {
    /// As configured.
    pub fn new(config: &QueryConfig, store: Store, gate: Gate) -> Result<Self, ConfigError> {
        Ok(Self {
            store,
            gate,
            memory: Memory::new(config.limits.remembered_bytes_max),
            cursor_key: CursorKey::derive(&config.clickhouse.read_password()?),
            admission: Admission::new(
                config.limits.concurrent_requests_max,
                config.limits.concurrent_requests_per_caller_max,
            ),
            exports: None,
            config: Arc::new(config.clone()),
        })
    }

    /// With exports, where they are configured.
    pub fn with_exports(mut self, exports: Option<Arc<Exports>>) -> Self {
        self.exports = exports;
        self
    }

    /// Audit exports.
    pub fn exports(&self) -> Result<&Arc<Exports>, Problem> {
        let none = || Problem::forbidden("there are no exports here: set exports.folder");
        self.exports.as_ref().ok_or_else(none)
    }

    /// A place among the requests that are answered at the same time, held until it is dropped.
    pub fn admit(&self, principal: &Principal) -> Result<Admitted, Problem> {
        self.admission.admit(&principal.facts().identity.to_string())
    }
}
