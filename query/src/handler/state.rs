//! What the handlers of all resources share.

use std::sync::Arc;

use horolog_stage::config::ConfigError;

use crate::access::Principal;
use crate::access::gate::Gate;
use crate::api::admission::{Admission, Admitted};
use crate::api::cursor::CursorKey;
use crate::api::places::Place;
use crate::api::{Problem, RequestId};
use crate::audit::exports::queue::Exports;
use crate::audit::months::Months;
use crate::config::QueryConfig;
use crate::metrics::look::{Look, Looks};
use crate::metrics::memory::Memory;
use crate::store::Store;

/// The service as a handler sees it.
#[derive(Clone)]
pub struct Api {
    /// ClickHouse.
    pub store: Store,
    /// The key that seals cursors.
    pub cursor_key: CursorKey,
    /// Cache of merged metrics rows.
    pub memory: Memory,
    /// How many audit events each month has.
    pub audit_months: Months,
    /// Access control.
    pub gate: Gate,
    /// The configuration.
    pub config: Arc<QueryConfig>,
    exports: Option<Arc<Exports>>,
    admission: Admission,
    looks: Looks,
}

impl Api {
    /// According to the configuration.
    pub fn new(config: &QueryConfig, store: Store, gate: Gate) -> Result<Self, ConfigError> {
        Ok(Self {
            store,
            gate,
            memory: Memory::new(config.limits.remembered_bytes_max),
            cursor_key: CursorKey::derive(&config.clickhouse.read_password()?),
            audit_months: Months::default(),
            looks: Looks::default(),
            admission: Admission::new(&config.limits),
            exports: None,
            config: Arc::new(config.clone()),
        })
    }

    /// With exports, if they are configured.
    pub fn with_exports(mut self, exports: Option<Arc<Exports>>) -> Self {
        self.exports = exports;
        self
    }

    /// Audit exports.
    pub fn exports(&self) -> Result<&Arc<Exports>, Problem> {
        let none = || Problem::forbidden("exports are not enabled: set exports.folder");
        self.exports.as_ref().ok_or_else(none)
    }

    /// A look at the metrics in the store that starts no earlier than now.
    pub async fn look(&self, request: &RequestId) -> Result<Arc<Look>, Problem> {
        self.looks
            .now(&self.store, request, &self.config.source.metrics_topic)
            .await
    }

    /// A place among the requests that are answered at the same time, held until it is dropped.
    pub async fn admit(&self, principal: &Principal) -> Result<Admitted, Problem> {
        let facts = principal.facts();
        let own_max = facts.limits.concurrent_requests_max;
        let caller = facts.identity.to_string();
        self.admission.admit(facts.tenant.as_str(), &caller, own_max).await
    }

    /// A place among the downloads of a caller and one among those of the tenant, held until they are dropped.
    pub async fn admit_download(&self, principal: &Principal) -> Result<[Place; 2], Problem> {
        let facts = principal.facts();
        let own_max = facts.limits.concurrent_requests_max;
        let caller = facts.identity.to_string();
        self.admission
            .admit_download(facts.tenant.as_str(), &caller, own_max)
            .await
    }
}
