//! When a key was used last, and from where.
//!
//! Enters: every request. Leaves: at most one change of the journal per interval, for all keys that were used in it. What was
//! noted and not written when a process is killed is forgotten: this is for people who look for keys that nobody needs.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::keys::{Keys, problem};
use crate::access::token::KeyId;
use crate::api::Problem;
use crate::journal::{Change, View};

/// Before the id, in the journal.
pub const PREFIX: &str = "used/";

/// A use of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Use {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: DateTime<Utc>,
    /// From where.
    #[schema(value_type = String)]
    pub from: IpAddr,
}

impl Use {
    /// The last one that was written down.
    pub fn of(view: &View, id: &KeyId) -> Option<Self> {
        let entry = view.get(&format!("{PREFIX}{id}"))?;
        serde_json::from_value(entry.value.as_ref().clone()).ok()
    }
}

/// Uses that were not written down yet.
#[derive(Debug, Clone, Default)]
pub struct LastUses(Arc<Mutex<HashMap<KeyId, Use>>>);

impl LastUses {
    /// Notes one.
    pub fn note(&self, id: &KeyId, one: Use) {
        let mut uses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match uses.get_mut(id) {
            Some(known) => *known = one,
            None => {
                uses.insert(id.clone(), one);
            }
        }
    }

    /// Writes them down, now and then, for ever.
    pub async fn keep(self, keys: Keys, interval: Duration) {
        loop {
            tokio::time::sleep(interval).await;
            self.write(&keys).await;
        }
    }

    /// Writes them down. What cannot be written is kept for the next time.
    pub async fn write(&self, keys: &Keys) {
        let uses = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        if uses.is_empty() {
            return;
        }
        let noted = uses.clone();
        let written = keys
            .journal()
            .update(move |view| Ok::<_, Problem>((newer(view, &noted), ())));
        if written.await.map_err(problem).is_err() {
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            for (id, one) in uses {
                kept.entry(id).or_insert(one);
            }
        }
    }
}

/// Those that are later than what another process wrote.
fn newer(view: &View, uses: &HashMap<KeyId, Use>) -> Vec<Change> {
    uses.iter()
        .filter(|(id, one)| Use::of(view, id).is_none_or(|known| known.at < one.at))
        .filter_map(|(id, one)| Some((format!("{PREFIX}{id}"), Some(serde_json::to_value(one).ok()?))))
        .collect()
}
