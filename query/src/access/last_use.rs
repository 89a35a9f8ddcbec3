//! When the holder of a key, or a subject of the identity provider, last sent a request, and from where.
//!
//! Enters: every request. Leaves: at most one change of the journal per interval, for everybody seen in it. Uses that
//! are not yet written when a process is killed are lost: this only serves to find access that nobody needs.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::access::keys::Keys;
use crate::access::subject::{self, Subject};
use crate::access::token::KeyId;
use crate::access::{Identity, Principal};
use crate::api::Problem;
use crate::journal::{Change, View};

/// Prefix of a last use in the journal, before the id of the key.
pub const PREFIX: &str = "used/";

/// A use of a key or of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Use {
    /// Time of the request.
    #[schema(value_type = String, format = DateTime)]
    pub at: DateTime<Utc>,
    /// Address of the client.
    #[schema(value_type = String)]
    pub from: IpAddr,
}

impl Use {
    /// The last recorded use of a key.
    pub fn of(view: &View, id: &KeyId) -> Option<Self> {
        Self::under(view, &name(id))
    }

    fn under(view: &View, name: &str) -> Option<Self> {
        view.get(name)?.parsed().ok()
    }
}

fn name(id: &KeyId) -> String {
    format!("{PREFIX}{id}")
}

/// A use, and who it was.
#[derive(Debug, Clone)]
struct Noted {
    by: Principal,
    used: Use,
}

impl Noted {
    fn value(&self) -> Option<Value> {
        match &self.by.facts().identity {
            Identity::Key(_) => serde_json::to_value(self.used),
            Identity::Subject(_) => serde_json::to_value(Subject::new(&self.by, self.used)),
        }
        .ok()
    }
}

/// Uses that are not written yet, by their names in the journal.
#[derive(Debug, Clone, Default)]
pub struct LastUses(Arc<Mutex<HashMap<String, Noted>>>);

impl LastUses {
    /// Notes one.
    pub fn note(&self, by: &Principal, used: Use) {
        let name = match &by.facts().identity {
            Identity::Key(id) => name(id),
            Identity::Subject(id) => subject::name(&by.facts().tenant, id),
        };
        let noted = Noted { by: by.clone(), used };
        let mut uses = self.0.lock();
        uses.insert(name, noted);
    }

    /// Writes them periodically, forever.
    pub async fn keep(self, keys: Keys, interval: Duration) {
        loop {
            tokio::time::sleep(interval).await;
            self.write(&keys).await;
        }
    }

    /// Writes them. What cannot be written is kept for the next attempt.
    pub async fn write(&self, keys: &Keys) {
        let uses = std::mem::take(&mut *self.0.lock());
        if uses.is_empty() {
            return;
        }
        let noted = uses.clone();
        let written = keys
            .journal()
            .update(move |view| Ok::<_, Problem>((newer(view, &noted), ())));
        if written.await.map_err(Problem::from).is_err() {
            let mut kept = self.0.lock();
            for (name, one) in uses {
                kept.entry(name).or_insert(one);
            }
        }
    }
}

/// Changes for uses that are later than what other processes wrote, and for removing subjects not seen for long.
fn newer(view: &View, uses: &HashMap<String, Noted>) -> Vec<Change> {
    let is_newer = |name: &str, noted: &Noted| Use::under(view, name).is_none_or(|known| known.at < noted.used.at);
    let newer = uses
        .iter()
        .filter(|(name, noted)| is_newer(name, noted))
        .filter_map(|(name, noted)| Some((name.clone(), Some(noted.value()?))));
    let gone = subject::forgotten(view, Utc::now()).into_iter();
    let gone = gone.filter(|name| !uses.contains_key(name)).map(|name| (name, None));
    newer.chain(gone).collect()
}
