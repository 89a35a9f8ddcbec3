//! All that is shared by the requests of a process to decide who may do what.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use chrono::Utc;

use crate::access::client_address::TrustedProxies;
use crate::access::failures::Failures;
use crate::access::keys::Keys;
use crate::access::last_use::LastUses;
use crate::access::limit::Limits;
use crate::access::mask::MaskKey;
use crate::access::oidc::Oidc;
use crate::access::trail::Trail;
use crate::access::{TenantGrant, TenantId};
use crate::api::Problem;
use crate::api::places::Places;
use crate::config::QueryConfig;
use crate::journal::Journal;

/// A shorter secret could be found by trying.
const SECRET_BYTES_MIN: usize = 32;

/// Keys, limits, trail.
#[derive(Clone)]
pub struct Gate {
    /// All API keys.
    pub keys: Keys,
    /// Keys that a tenant may have in force.
    pub keys_per_tenant_max: usize,
    /// Whose administrator makes or rotates a key, by tenant: one at a time.
    pub turns: Places<String>,
    /// Whose administrator ends one, likewise.
    pub ends: Places<String>,
    /// Whose administrator looks at all of them, likewise.
    looks: Places<String>,
    /// Bearer tokens of an identity provider.
    pub oidc: Option<Arc<Oidc>>,
    /// Requests an hour.
    pub limits: Limits,
    /// When keys were used.
    pub uses: LastUses,
    /// Who was not let in.
    pub failures: Failures,
    /// What is written of each access.
    pub trail: Trail,
    /// What pseudonyms are made with.
    pub mask_key: MaskKey,
    /// Who may say where a request came from.
    pub proxies: Arc<TrustedProxies>,
    /// The tenant of those who run the platform: what concerns no tenant is recorded there.
    pub platform: TenantId,
}

impl Gate {
    /// Reads the journal to its end.
    pub async fn open(config: &QueryConfig) -> anyhow::Result<Self> {
        let journal = Journal::open(&config.kafka, &config.access.journal_topic).await;
        let journal = journal.with_context(|| format!("kafka.bootstrap = {}", config.kafka.bootstrap))?;
        let platform = TenantId::new(&config.access.platform_tenant).context("access.platform_tenant: is empty")?;
        let trail = Trail::new(&config.kafka, &config.access.audit_topic).context("kafka")?;
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
            mask_key: mask_key(config)?,
            proxies: Arc::new(TrustedProxies::new(config.access.trusted_proxies.clone())),
            platform,
        })
    }

    /// Writes uses down now and then, for ever.
    pub async fn keep(self, interval: Duration) {
        self.uses.clone().keep(self.keys.clone(), interval).await;
    }

    /// Does what goes through all keys, off the threads that answer others, and for each tenant one at a time: a tenant may have thousands.
    pub async fn look<T>(&self, seen_by: &TenantGrant, look: impl FnOnce() -> T) -> Result<T, Problem> {
        let place = self.looks.take(seen_by.as_str().to_owned()).await;
        let _place = place.map_err(|_| Problem::Internal)?;
        Ok(tokio::task::block_in_place(look))
    }

    /// Where what concerns this grant is recorded.
    pub fn tenant_of(&self, grant: &TenantGrant) -> TenantId {
        match grant {
            TenantGrant::One(tenant) => tenant.clone(),
            TenantGrant::Any => self.platform.clone(),
        }
    }

    /// Says what somebody meets who has just started the service.
    pub fn introduce(&self) {
        let now = Utc::now();
        let keys: Vec<_> = self.keys.all().collect();
        let in_force = keys.iter().filter(|key| key.is_in_force(now)).count();
        match in_force {
            0 if self.oidc.is_none() => {
                tracing::warn!("there are no keys: nobody is let in until `horolog-query keys` makes one")
            }
            _ => tracing::info!(keys = keys.len(), in_force, "keys are known"),
        }
    }
}

fn mask_key(config: &QueryConfig) -> anyhow::Result<MaskKey> {
    let Some(path) = &config.access.pseudonym_key_file else {
        return Ok(MaskKey::derive(config.clickhouse.read_password()?.as_bytes()));
    };
    let named = || format!("access.pseudonym_key_file = {}", path.display());
    let secret = std::fs::read(path).with_context(named)?;
    if secret.len() < SECRET_BYTES_MIN {
        bail!("{}: is shorter than {SECRET_BYTES_MIN} bytes", named());
    }
    Ok(MaskKey::derive(&secret))
}
