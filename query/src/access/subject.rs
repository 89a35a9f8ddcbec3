//! Subjects of the identity provider, according to their last token: what an access review knows of people without a
//! key.
//!
//! Enters: a principal authenticated by a token, and when. Leaves: a record `subject/…` in the journal, one per tenant
//! and subject. Subjects that never sent a token are not known here. One that was not seen for more than a year is
//! forgotten, so that the journal stays proportional to the number of people.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::access::last_use::Use;
use crate::access::{Facts, Principal, TenantGrant};
use crate::journal::View;

const PREFIX: &str = "subject/";
/// A subject not seen for this long is forgotten. Days.
const KEPT_DAYS: i64 = 400;

/// A subject that sent a token.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Subject {
    /// Its last use.
    #[serde(flatten)]
    pub used: Use,
    /// What the token said then.
    pub facts: Facts,
}

impl Subject {
    /// A subject seen now.
    pub fn new(principal: &Principal, used: Use) -> Self {
        let facts = principal.facts().clone();
        Self { used, facts }
    }

    /// The principal that it was.
    pub fn principal(&self) -> Principal {
        Principal::new(self.facts.clone())
    }
}

/// Its name in the journal. JSON, because a tenant or a subject may be any text.
pub fn name(tenant: &TenantGrant, subject: &str) -> String {
    format!("{PREFIX}{}", serde_json::json!([tenant.as_str(), subject]))
}

/// All subjects, in the order of their names.
pub fn all(view: &View) -> Vec<Subject> {
    subjects(view).map(|(_, subject)| subject).collect()
}

/// Their names without the common prefix, each with the offset of its record.
pub fn versions(view: &View) -> Vec<(String, i64)> {
    view.versions(PREFIX)
}

/// The subject with this name, without the common prefix.
pub fn find(view: &View, name: &str) -> Option<Subject> {
    view.get(&format!("{PREFIX}{name}"))?.parsed().ok()
}

/// The names of subjects not seen for long.
pub fn forgotten(view: &View, now: DateTime<Utc>) -> Vec<String> {
    let is_over = |subject: &Subject| now - subject.used.at > TimeDelta::days(KEPT_DAYS);
    let over = subjects(view).filter(|(_, subject)| is_over(subject));
    over.map(|(name, _)| name.to_owned()).collect()
}

fn subjects(view: &View) -> impl Iterator<Item = (&str, Subject)> {
    let entries = view.beginning(PREFIX);
    entries.filter_map(|(name, entry)| Some((name, entry.parsed().ok()?)))
}
