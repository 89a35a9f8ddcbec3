//! The state that all requests of a process share to decide who may do what.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use chrono::Utc;

use crate::access::client_address::TrustedProxies;
use crate::access::failures::Failures;
use crate::access::keys::Keys;
use crate::access::last_use::LastUses;
use crate::access::limit::Limits;
use crate::access::mask::MaskKey;
use crate::access::oidc::Oidc;
use crate::access::shared_secret::SharedSecret;
use crate::access::trail::Trail;
use crate::access::{TenantGrant, TenantId};
use crate::api::Problem;
use crate::api::cursor::CursorKey;
use crate::api::places::Places;
use crate::config::QueryConfig;
use crate::journal::Journal;

/// Keys, limits, trail.
#[derive(Clone)]
pub struct Gate {
    /// All API keys.
    pub keys: Keys,
    /// Valid keys that a tenant may have.
    pub keys_per_tenant_max: usize,
    /// Creates and rotations by a tenant's administrators: one at a time per tenant.
    pub turns: Places<String>,
    /// Revocations by a tenant's administrators, likewise.
    pub ends: Places<String>,
    /// Listings of a tenant's keys, likewise.
    looks: Places<String>,
    /// Bearer tokens of an identity provider.
    pub oidc: Option<Arc<Oidc>>,
    /// Requests per hour.
    pub limits: Limits,
    /// When keys were used.
    pub uses: LastUses,
    /// Refused requests.
    pub failures: Failures,
    /// The audit trail of accesses.
    pub trail: Trail,
    /// The key from which pseudonyms are made.
    pub mask_key: MaskKey,
    /// The key that seals cursors.
    pub cursor_key: CursorKey,
    /// The proxies whose `x-forwarded-for` counts.
    pub proxies: Arc<TrustedProxies>,
    /// The operator's tenant: events that concern no tenant are recorded there.
    pub platform: TenantId,
}

impl Gate {
    /// Reads the journal to its end.
    pub async fn open(config: &QueryConfig) -> anyhow::Result<Self> {
        let journal = Journal::open(&config.kafka, &config.access.journal_topic).await;
        let journal = journal.with_context(|| format!("kafka.bootstrap = {}", config.kafka.bootstrap))?;
        let platform = TenantId::new(&config.access.platform_tenant).context("access.platform_tenant: is empty")?;
        let trail = Trail::new(&config.kafka, &config.access.audit_topic).context("kafka")?;
        let secret = SharedSecret::read(config)?;
        Ok(Self {
            keys: Keys::new(journal),
            keys_per_tenant_max: config.access.keys_per_tenant_max,
            turns: Places::new(1),
            ends: Places::new(1),
            looks: Places::new(1),
            oidc: Oidc::new(&config.access.oidc)?.map(Arc::new),
            limits: Limits::default(),
            uses: LastUses::default(),
            failures: Failures::default(),
            trail,
            mask_key: MaskKey::of(&secret),
            cursor_key: CursorKey::of(&secret),
            proxies: Arc::new(TrustedProxies::new(config.access.trusted_proxies.clone())),
            platform,
        })
    }

    /// Writes last uses to the journal periodically, forever.
    pub async fn keep(self, interval: Duration) {
        self.uses.clone().keep(self.keys.clone(), interval).await;
    }

    /// Goes through all keys without holding up other tasks, and one at a time per tenant: a tenant may have thousands.
    pub async fn look<T>(&self, seen_by: &TenantGrant, look: impl FnOnce() -> T) -> Result<T, Problem> {
        let _turn = self.looks.turn(seen_by.as_str().to_owned()).await?;
        Ok(tokio::task::block_in_place(look))
    }

    /// The tenant in which events about this grant are recorded.
    pub fn tenant_of(&self, grant: &TenantGrant) -> TenantId {
        match grant {
            TenantGrant::One(tenant) => tenant.clone(),
            TenantGrant::Any => self.platform.clone(),
        }
    }

    /// Logs what somebody who has just started the service needs to know.
    pub fn introduce(&self) {
        let now = Utc::now();
        let keys: Vec<_> = self.keys.all().collect();
        let in_force = keys.iter().filter(|key| key.is_in_force(now)).count();
        match in_force {
            0 if self.oidc.is_none() => {
                tracing::warn!(
                    "there are no keys in force: every request is refused until `horolog-query keys` creates one"
                )
            }
            _ => tracing::info!(keys = keys.len(), in_force, "keys are known"),
        }
    }
}
