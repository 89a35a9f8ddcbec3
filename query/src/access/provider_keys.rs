//! The keys of the identity provider (JWKS, RFC 7517), as far as they were fetched.
//!
//! Enters: the name of a key. Leaves: the key, nothing, or that the provider was never reached. They are fetched when they are first
//! needed, when they are old, and when a key is asked for that is not known, which a caller cannot make happen often. A fetch is a
//! task of its own, one at a time, for which whoever needs it waits: a caller who leaves ends nobody's fetch. What was known is taken
//! on while the provider is away, which is asked again after a moment.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::bail;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use tokio::sync::watch;

use crate::api::Problem;
use crate::loopback;

const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// A provider that did not answer is left alone for so long.
const FETCH_AGAIN_AFTER: Duration = Duration::from_secs(2);
/// What the provider answers may be so large.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// The keys, shared by all requests.
#[derive(Clone)]
pub struct ProviderKeys(Arc<Shared>);

struct Shared {
    url: String,
    age_max: Duration,
    age_min: Duration,
    http: reqwest::Client,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Those of the last answer, and when it came.
    fetched: Option<(Instant, HashMap<String, Jwk>)>,
    /// When the provider last failed to answer, where it has not answered since.
    failed_at: Option<Instant>,
    /// The newest fetch; its sender is dropped when it ends, which wakes whoever waits for it.
    under_way: Option<watch::Receiver<()>>,
}

impl ProviderKeys {
    /// Of this address. Does not connect.
    pub fn new(url: &str, age_max_s: u64, age_min_s: u64) -> reqwest::Result<Self> {
        Ok(Self(Arc::new(Shared {
            url: url.to_owned(),
            age_max: Duration::from_secs(age_max_s),
            age_min: Duration::from_secs(age_min_s),
            http: loopback::client(url).timeout(FETCH_TIMEOUT).build()?,
            state: Mutex::default(),
        })))
    }

    /// The key of this name; `None` where the provider has none.
    pub async fn get(&self, id: &str) -> Result<Option<Jwk>, Problem> {
        if let Some(mut fetched) = self.to_wait_for(id) {
            let _ = fetched.changed().await;
        }
        let state = self.0.state();
        let (_, keys) = state.fetched.as_ref().ok_or(Problem::ProviderUnavailable)?;
        Ok(keys.get(id).cloned())
    }

    /// The fetch that may tell of this key, begun where none is under way.
    fn to_wait_for(&self, id: &str) -> Option<watch::Receiver<()>> {
        let mut state = self.0.state();
        let is_known = state.knows(id);
        let age = state.fetched.as_ref().map(|(at, _)| at.elapsed());
        let age_allowed = if is_known { self.0.age_max } else { self.0.age_min };
        if age.is_some_and(|age| age < age_allowed) {
            return None;
        }
        let has_failed = state.failed_at.is_some();
        let is_under_way = state
            .under_way
            .as_ref()
            .is_some_and(|fetch| fetch.has_changed().is_ok());
        if !is_under_way && state.failed_at.is_none_or(|at| at.elapsed() >= FETCH_AGAIN_AFTER) {
            state.under_way = Some(self.0.clone().fetch_in_background());
        }
        // Who has a key of a provider that is away does not wait for it each time.
        state.under_way.clone().filter(|_| !(is_known && has_failed))
    }
}

impl State {
    fn knows(&self, id: &str) -> bool {
        self.fetched.as_ref().is_some_and(|(_, keys)| keys.contains_key(id))
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fetch_in_background(self: Arc<Self>) -> watch::Receiver<()> {
        let (ended, waiting) = watch::channel(());
        tokio::spawn(async move {
            let answer = self.fetch().await;
            let mut state = self.state();
            match answer {
                Ok(keys) => {
                    state.fetched = Some((Instant::now(), keys));
                    state.failed_at = None;
                }
                Err(error) => {
                    tracing::warn!(%error, url = self.url, "cannot fetch the provider's keys");
                    state.failed_at = Some(Instant::now());
                }
            }
            drop(ended);
        });
        waiting
    }

    async fn fetch(&self) -> anyhow::Result<HashMap<String, Jwk>> {
        let mut answer = self.http.get(&self.url).send().await?.error_for_status()?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            body.extend_from_slice(&chunk);
            if body.len() > ANSWER_BYTES_MAX {
                bail!("the answer is larger than {ANSWER_BYTES_MAX} bytes");
            }
        }
        let set: JwkSet = serde_json::from_slice(&body)?;
        let named = set
            .keys
            .into_iter()
            .filter_map(|key| Some((key.common.key_id.clone()?, key)));
        let keys: HashMap<_, _> = named.collect();
        if keys.is_empty() {
            bail!("there is no key with a kid");
        }
        Ok(keys)
    }
}
