//! Who may see what, as tables in ClickHouse: keys in table `access_keys` and view `access_review`, subjects of the
//! identity provider in table `access_subjects`.

use chrono::{DateTime, Utc};
use clickhouse::Row;
use serde::Serialize;

use crate::access::key::Key;
use crate::access::keys::Keys;
use crate::access::last_use::Use;
use crate::access::review::masked_for;
use crate::access::subject::{self, Subject};
use crate::access::token::KeyId;
use crate::journal::Journal;
use crate::journal::projection::Projected;

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
            masked: masked_for(&principal)
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

impl Projected for Keys {
    type Row = AccessKey;
    const TABLE: &'static str = "access_keys";

    fn versions(&self) -> Vec<(String, i64)> {
        let ids = self.ids().into_iter();
        ids.map(|id| (id.to_string(), self.version(&id))).collect()
    }

    fn row(&self, id: &str, version: i64) -> Option<AccessKey> {
        let id = KeyId::parse(id)?;
        Some(AccessKey::new(self.get(&id)?.as_ref(), self.last_use(&id), version))
    }
}

/// A row of `access_subjects`. Times are milliseconds since 1970.
#[derive(Debug, Row, Serialize)]
pub struct AccessSubject {
    tenant: String,
    subject: String,
    role: &'static str,
    teams: Vec<String>,
    permissions: Vec<&'static str>,
    masked: Vec<(&'static str, &'static str)>,
    last_used_at: i64,
    last_used_from: String,
    version: u64,
}

impl AccessSubject {
    fn new(subject: Subject, version: i64) -> Self {
        let masked = masked_for(&subject.principal()).into_iter();
        let facts = subject.facts;
        Self {
            tenant: facts.tenant.as_str().to_owned(),
            subject: facts.name,
            role: facts.role.as_str(),
            teams: facts.teams,
            permissions: facts.permissions.into_iter().map(|one| one.as_str()).collect(),
            masked: masked.map(|(column, mask)| (column, mask.as_str())).collect(),
            last_used_at: subject.used.at.timestamp_millis(),
            last_used_from: subject.used.from.to_string(),
            version: u64::try_from(version).unwrap_or_default(),
        }
    }
}

/// The subjects recorded in a journal.
pub struct Subjects(pub Journal);

impl Projected for Subjects {
    type Row = AccessSubject;
    const TABLE: &'static str = "access_subjects";

    fn versions(&self) -> Vec<(String, i64)> {
        self.0.view(subject::versions)
    }

    fn row(&self, name: &str, version: i64) -> Option<AccessSubject> {
        let subject = self.0.view(|view| subject::find(view, name))?;
        Some(AccessSubject::new(subject, version))
    }
}
