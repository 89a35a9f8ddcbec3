//! The keys of the identity provider (JWKS, RFC 7517), cached.
//!
//! Enters: a key id. Leaves: the key, nothing, or an error if the provider was never reached. Keys are fetched when
//! first needed, when they are old, and when an unknown key is asked for, which a caller cannot trigger often. A fetch
//! is its own task, one at a time, that all who need it wait for: a caller who disconnects cancels nobody's fetch.
//! While the provider is unavailable, cached keys stay in use, and it is asked again after a short delay.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::api::Problem;
use horolog_stage::loopback;

const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait before asking again a provider that did not answer.
const FETCH_AGAIN_AFTER: Duration = Duration::from_secs(2);
/// The largest accepted response of the provider.
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
    /// The keys of the last response, and when it arrived.
    fetched: Option<(Instant, HashMap<String, Jwk>)>,
    /// When the provider last failed to answer, if it has not answered since.
    failed_at: Option<Instant>,
    /// The newest fetch; its sender is dropped when it ends, which wakes all who wait for it.
    under_way: Option<watch::Receiver<()>>,
}

impl ProviderKeys {
    /// For this URL. Does not connect.
    pub fn new(url: &str, age_max_s: u64, age_min_s: u64) -> reqwest::Result<Self> {
        Ok(Self(Arc::new(Shared {
            url: url.to_owned(),
            age_max: Duration::from_secs(age_max_s),
            age_min: Duration::from_secs(age_min_s),
            http: loopback::client(url).timeout(FETCH_TIMEOUT).build()?,
            state: Mutex::default(),
        })))
    }

    /// The key with this id; `None` if the provider has none.
    pub async fn get(&self, id: &str) -> Result<Option<Jwk>, Problem> {
        if let Some(mut fetched) = self.to_wait_for(id) {
            let _ = fetched.changed().await;
        }
        let state = self.0.state.lock();
        let (_, keys) = state.fetched.as_ref().ok_or(Problem::ProviderUnavailable)?;
        Ok(keys.get(id).cloned())
    }

    /// The fetch that may bring this key, started if none is in progress.
    fn to_wait_for(&self, id: &str) -> Option<watch::Receiver<()>> {
        let mut state = self.0.state.lock();
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
        // If the key is known and the provider is unavailable, do not wait for it on each request.
        state.under_way.clone().filter(|_| !(is_known && has_failed))
    }
}

impl State {
    fn knows(&self, id: &str) -> bool {
        self.fetched.as_ref().is_some_and(|(_, keys)| keys.contains_key(id))
    }
}

impl Shared {
    fn fetch_in_background(self: Arc<Self>) -> watch::Receiver<()> {
        let (ended, waiting) = watch::channel(());
        tokio::spawn(async move {
            let answer = self.fetch().await;
            let mut state = self.state.lock();
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
            // It may have withdrawn them all: those before must not stay in use.
            tracing::error!(
                url = self.url,
                "the provider has no key with a kid: all of its tokens are refused"
            );
        }
        Ok(keys)
    }
}
