//! All keys, as recorded in the journal.
//!
//! Enters: tokens to check, and changes. Leaves: principals, and keys without their secrets. Guarantees: a change is
//! decided on the newest state of its key and is known to this process when it returns; a token of an unknown key takes
//! as long to check as one of a known key.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use parking_lot::RwLock;

use crate::access::Principal;
use crate::access::key::Key;
use crate::access::last_use::{self, Use};
use crate::access::token::{KeyId, Token, TokenHash};
use crate::api::Problem;
use crate::journal::{Journal, View};

/// Prefix of a key's record in the journal, before its id.
pub const PREFIX: &str = "key/";

/// Keys by id, each with the offset of its record.
type Parsed = HashMap<KeyId, (i64, Arc<Key>)>;

/// All keys.
#[derive(Clone)]
pub struct Keys {
    journal: Journal,
    /// Cache of parsed keys.
    parsed: Arc<RwLock<Parsed>>,
}

impl Keys {
    /// The keys in this journal.
    pub fn new(journal: Journal) -> Self {
        Self {
            journal,
            parsed: Arc::default(),
        }
    }

    /// The journal that they are kept in.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// The holder of a token.
    pub fn admit(&self, token: &Token, from: IpAddr, now: DateTime<Utc>) -> Option<Principal> {
        let hash = token.hash();
        match self.get(token.id()) {
            Some(key) => key.admit(&hash, from, now),
            None => {
                let _ = TokenHash::NONE.matches(&hash);
                None
            }
        }
    }

    /// One key.
    pub fn get(&self, id: &KeyId) -> Option<Arc<Key>> {
        let entry = self.journal.view(|view| view.get(&name(id)).cloned())?;
        if let Some((offset, key)) = self.parsed.read().get(id)
            && *offset == entry.offset
        {
            return Some(key.clone());
        }
        let key: Arc<Key> = match entry.parsed() {
            Ok(key) => Arc::new(key),
            Err(error) => {
                tracing::error!(key = %id, %error, "the journal has a key that this release cannot read");
                return None;
            }
        };
        let mut parsed = self.parsed.write();
        parsed.insert(id.clone(), (entry.offset, key.clone()));
        Some(key)
    }

    /// The ids of all of them, in order.
    pub fn ids(&self) -> Vec<KeyId> {
        self.journal.view(|view| {
            let names = view.beginning(PREFIX);
            names
                .filter_map(|(name, _)| KeyId::parse(&name[PREFIX.len()..]))
                .collect()
        })
    }

    /// All of them, in the order of their ids.
    pub fn all(&self) -> impl Iterator<Item = Arc<Key>> {
        self.ids().into_iter().filter_map(move |id| self.get(&id))
    }

    /// The offset of the last record about a key; increases with every change.
    pub fn version(&self, id: &KeyId) -> i64 {
        let offset = |name: &str| self.journal.view(|view| view.get(name).map_or(0, |entry| entry.offset));
        offset(&name(id)).max(offset(&format!("{}{id}", last_use::PREFIX)))
    }

    /// The last recorded use of a key.
    pub fn last_use(&self, id: &KeyId) -> Option<Use> {
        self.journal.view(|view| Use::of(view, id))
    }

    /// Adds keys, all or none.
    pub async fn add(&self, keys: &[Key]) -> Result<(), Problem> {
        let change = |key: &Key| serde_json::to_value(key).map(|value| (name(&key.id), Some(value)));
        let changes = keys.iter().map(change).collect::<Result<Vec<_>, _>>();
        let changes = changes.map_err(|_| Problem::Internal)?;
        let added = self.journal.update(move |_| Ok::<_, Problem>((changes.clone(), ())));
        Ok(added.await?)
    }

    /// Changes a key; `change` gets its newest state, and may refuse.
    pub async fn change(
        &self,
        id: &KeyId,
        change: impl Fn(&mut Key) -> Result<(), Problem> + Send + 'static,
    ) -> Result<Key, Problem> {
        let name = name(id);
        let decide = move |view: &View| {
            let entry = view.get(&name).ok_or(Problem::NotFound)?;
            let mut key: Key = entry.parsed().map_err(|_| Problem::Internal)?;
            change(&mut key)?;
            let value = serde_json::to_value(&key).map_err(|_| Problem::Internal)?;
            Ok::<_, Problem>((vec![(name.clone(), Some(value))], key))
        };
        Ok(self.journal.update(decide).await?)
    }
}

fn name(id: &KeyId) -> String {
    format!("{PREFIX}{id}")
}
