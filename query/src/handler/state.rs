//! What the handlers of all resources share.

use std::sync::Arc;

use clickhouse::{RowOwned, RowRead};

use crate::access::Principal;
use crate::access::gate::Gate;
use crate::api::admission::{Admission, Admitted};
use crate::api::page::Page;
use crate::api::places::Place;
use crate::api::{Problem, RequestId};
use crate::audit::exports::queue::Exports;
use crate::audit::months::Months;
use crate::config::QueryConfig;
use crate::metrics::look::{Look, Looks};
use crate::metrics::memory::Memory;
use crate::store::{Store, StoreError, TenantSelect};

/// The service as a handler sees it.
#[derive(Clone)]
pub struct Api {
    /// ClickHouse.
    pub store: Store,
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
    pub fn new(config: &QueryConfig, store: Store, gate: Gate) -> Self {
        Self {
            store,
            gate,
            memory: Memory::new(config.limits.remembered_bytes_max),
            audit_months: Months::default(),
            looks: Looks::default(),
            admission: Admission::new(&config.limits),
            exports: None,
            config: Arc::new(config.clone()),
        }
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

    /// The first `limit` rows of a statement, or fewer if they are large: `bytes` is the size of one in memory. The store
    /// returns them as `S`.
    pub async fn page<S: RowOwned + RowRead + Into<T> + Send, T: Send>(
        &self,
        request: &RequestId,
        select: TenantSelect,
        limit: u32,
        bytes: impl Fn(&T) -> usize + Send + Sync,
    ) -> Result<Page<T>, StoreError> {
        let mut page = Page::new(limit, self.config.limits.page_bytes_max);
        let take = |row: S| {
            let row = row.into();
            let bytes = bytes(&row);
            page.push(row, bytes)
        };
        self.store.rows(request, &select.limit(limit + 1), take).await?;
        Ok(page)
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
