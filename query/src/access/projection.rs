//! The keys in ClickHouse, for those who ask in SQL: table `access_keys`, view `access_review`.
//!
//! Enters: the keys as the journal has them, at the start and whenever it changes. Leaves: a row for each version of a key that
//! this process has not written yet. Each process writes all of them, and the newest version counts: so the table is whole again
//! after a restore, and nothing has to be agreed on. No service reads it; while the store is away it waits.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clickhouse::Row;
use horolog_schemas::Kind;
use serde::Serialize;

use crate::access::key::Key;
use crate::access::keys::Keys;
use crate::access::last_use::Use;
use crate::access::mask::masked;
use crate::access::token::KeyId;
use crate::store::Store;

/// Between two tries while the store is away.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// A row of `access_keys`. Times are milliseconds since 1970.
#[derive(Debug, Row, Serialize)]
pub struct AccessKey {
    key_id: String,
    name: String,
    role: &'static str,
    tenant: String,
    teams: Vec<String>,
    permissions: Vec<&'static str>,
    addresses: Vec<String>,
    masked: Vec<(&'static str, &'static str)>,
    requests_per_hour: u32,
    created_at: i64,
    created_by: String,
    expires_at: Option<i64>,
    revoked_at: Option<i64>,
    secrets_end_at: Option<i64>,
    last_used_at: Option<i64>,
    last_used_from: String,
    version: u64,
}

impl AccessKey {
    fn new(key: &Key, used: Option<Use>, version: i64) -> Self {
        let principal = key.principal();
        let millis = |time: DateTime<Utc>| time.timestamp_millis();
        Self {
            key_id: key.id.to_string(),
            name: key.name.clone(),
            role: key.role.as_str(),
            tenant: key.tenant.as_str().to_owned(),
            teams: key.teams.clone(),
            permissions: key.permissions().into_iter().map(|one| one.as_str()).collect(),
            addresses: key.addresses.iter().map(ToString::to_string).collect(),
            masked: masked(&principal, Kind::AuditEvent)
                .into_iter()
                .map(|(column, mask)| (column, mask.as_str()))
                .collect(),
            requests_per_hour: key.requests_per_hour,
            created_at: millis(key.created_at),
            created_by: key.created_by.clone(),
            expires_at: key.expires_at.map(millis),
            revoked_at: key.revoked_at.map(millis),
            secrets_end_at: key.secrets_end_at().map(millis),
            last_used_at: used.map(|used| millis(used.at)),
            last_used_from: used.map(|used| used.from.to_string()).unwrap_or_default(),
            version: u64::try_from(version).unwrap_or_default(),
        }
    }
}

/// Keeps the table true to the journal, for ever.
pub async fn project(keys: Keys, store: Store) {
    let mut changes = keys.journal().changes();
    let mut written = HashMap::new();
    loop {
        changes.mark_unchanged();
        let due = due(&keys, &written);
        let rows: Vec<AccessKey> = due
            .iter()
            .map(|(key, used, version)| AccessKey::new(key, *used, *version))
            .collect();
        match store.write("access_keys", &rows).await {
            Ok(()) => written.extend(due.iter().map(|(key, _, version)| (key.id.clone(), *version))),
            Err(error) => {
                tracing::warn!(%error, "keys are not in access_keys yet");
                tokio::time::sleep(RETRY_AFTER).await;
                continue;
            }
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// The keys that have changed since they were written.
fn due(keys: &Keys, written: &HashMap<KeyId, i64>) -> Vec<(Arc<Key>, Option<Use>, i64)> {
    // The version is looked up first: what comes meanwhile is written again, never missed.
    let versioned = keys.ids().into_iter().map(|id| (keys.version(&id), id));
    versioned
        .filter(|(version, id)| written.get(id) != Some(version))
        .filter_map(|(version, id)| Some((keys.get(&id)?, keys.last_use(&id), version)))
        .collect()
}
