//! Subjects of the identity provider, as their last token said: what an access review knows of people without a key.
//!
//! Enters: a principal that was let in by a token, and when. Leaves: a record `subject/…` in the journal, one a tenant and subject.
//! What the provider would say of somebody who never came is not known here. Who did not come for more than a year is forgotten, so
//! that the journal stays as large as the number of people.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::access::last_use::Use;
use crate::access::{Facts, Principal, TenantGrant};
use crate::journal::{Entry, View};

const PREFIX: &str = "subject/";
/// Who did not come for so long is forgotten. Days.
const KEPT_DAYS: i64 = 400;

/// Somebody who came with a token.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Subject {
    /// The last time.
    #[serde(flatten)]
    pub used: Use,
    /// What the token said then.
    pub facts: Facts,
}

impl Subject {
    /// Who comes now.
    pub fn new(principal: &Principal, used: Use) -> Self {
        let facts = principal.facts().clone();
        Self { used, facts }
    }

    /// What it may do.
    pub fn principal(&self) -> Principal {
        Principal::new(self.facts.clone())
    }
}

/// What it is called in the journal. As JSON, because any text may be a tenant or a subject.
pub fn name(tenant: &TenantGrant, subject: &str) -> String {
    format!("{PREFIX}{}", serde_json::json!([tenant.as_str(), subject]))
}

/// All of them, in the order of their names.
pub fn all(view: &View) -> Vec<Subject> {
    subjects(view).map(|(_, subject)| subject).collect()
}

/// Their names, each with the offset of the record that says so.
pub fn versions(view: &View) -> Vec<(String, i64)> {
    let entries = view.beginning(PREFIX);
    entries.map(|(name, entry)| (name.to_owned(), entry.offset)).collect()
}

/// One of them, by its name.
pub fn find(view: &View, name: &str) -> Option<Subject> {
    read(view.get(name)?)
}

/// The names of those who did not come for long.
pub fn forgotten(view: &View, now: DateTime<Utc>) -> Vec<String> {
    let is_over = |subject: &Subject| now - subject.used.at > TimeDelta::days(KEPT_DAYS);
    let over = subjects(view).filter(|(_, subject)| is_over(subject));
    over.map(|(name, _)| name.to_owned()).collect()
}

fn subjects(view: &View) -> impl Iterator<Item = (&str, Subject)> {
    let entries = view.beginning(PREFIX);
    entries.filter_map(|(name, entry)| Some((name, read(entry)?)))
}

fn read(entry: &Entry) -> Option<Subject> {
    serde_json::from_value(entry.value.as_ref().clone()).ok()
}
