//! The keys that are known, by their ids.
//!
//! Enters: a token, an address and the time. Leaves: a principal or nothing, after about the same time whether there is such a key
//! or not. Shared by all requests; replaced as a whole or key by key.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use chrono::{DateTime, Utc};

use crate::access::Principal;
use crate::access::key::Key;
use crate::access::token::{KeyId, Token, TokenHash};

/// All keys.
#[derive(Debug, Clone, Default)]
pub struct KeyRing(Arc<RwLock<HashMap<KeyId, Key>>>);

impl KeyRing {
    /// Adds a key, or replaces what was known of it.
    pub fn put(&self, key: Key) {
        let mut keys = self.0.write().unwrap_or_else(PoisonError::into_inner);
        keys.insert(key.id.clone(), key);
    }

    /// The holder of a token.
    pub fn admit(&self, token: &Token, from: IpAddr, now: DateTime<Utc>) -> Option<Principal> {
        let hash = token.hash();
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        match keys.get(token.id()) {
            Some(key) => key.admit(&hash, from, now),
            None => {
                let _ = TokenHash::NONE.matches(&hash);
                None
            }
        }
    }
}
