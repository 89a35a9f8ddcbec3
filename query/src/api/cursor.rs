//! Cursors: where a page ended, as opaque text for the caller to send back.
//!
//! A cursor is `base64url(version, seal, last key as JSON)`. Keyset, not offset: rows that arrive between two pages
//! neither repeat nor hide others. The seal is a keyed hash (HMAC-SHA-256) over the question and the key: a cursor that
//! was changed, or is used with other filters or by another tenant, would silently skip rows, so it is refused. It
//! grants nothing: the tenant comes from the caller, never from the cursor. Pure.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::access::Caller;
use crate::access::shared_secret::SharedSecret;
use crate::api::Problem;

const VERSION: u8 = 2;
const SEAL_BYTES: usize = 16;
/// Parameters that do not affect which rows match.
const NO_FILTERS: [&str; 2] = ["limit", "cursor"];

/// The key that seals cursors. All processes that serve the same store have the same one, so the next page can come
/// from another process.
#[derive(Clone)]
pub struct CursorKey([u8; 32]);

impl CursorKey {
    /// The same for all processes.
    pub fn of(secret: &SharedSecret) -> Self {
        Self(secret.key_for("cursor"))
    }

    /// The cursors of one question: a resource, a caller, and all parameters except those of paging.
    pub fn bind(&self, resource: &str, caller: &Caller, parameters: &impl Serialize) -> Result<Cursors, Problem> {
        let mut filters = serde_json::to_value(parameters).map_err(|_| Problem::Internal)?;
        if let Value::Object(members) = &mut filters {
            members.retain(|name, value| !NO_FILTERS.contains(&name.as_str()) && !value.is_null());
        }
        let question = serde_json::to_vec(&(resource, caller.tenant().as_str(), caller.teams(), filters))
            .map_err(|_| Problem::Internal)?;
        Ok(Cursors {
            key: self.clone(),
            question: Sha256::digest(question).into(),
        })
    }
}

impl fmt::Debug for CursorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The cursors of one question.
#[derive(Debug, Clone)]
pub struct Cursors {
    key: CursorKey,
    question: [u8; 32],
}

/// Why a text is not a cursor of this question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// Not a cursor of this resource, or truncated.
    #[error("is not a cursor of this resource; pass next_cursor on unchanged")]
    Malformed,
    /// From another version of this service.
    #[error("is from another version; start from the first page")]
    Version,
    /// Of another question, or altered.
    #[error("belongs to other filters or was changed; start from the first page")]
    Seal,
}

impl Cursors {
    /// The cursor that continues after `key`.
    pub fn after(&self, key: &impl Serialize) -> Result<String, Problem> {
        let key = serde_json::to_vec(key).map_err(|_| Problem::Internal)?;
        let seal = self.seal(&key).ok_or(Problem::Internal)?.finalize().into_bytes();
        Ok(URL_SAFE_NO_PAD.encode([&[VERSION], &seal[..SEAL_BYTES], &key].concat()))
    }

    /// The key after which the parameter `cursor` continues.
    pub fn key<K: DeserializeOwned>(&self, cursor: Option<&str>) -> Result<Option<K>, Problem> {
        let open = |text| self.open(text).map_err(|error| Problem::parameter("cursor", error));
        cursor.map(open).transpose()
    }

    fn open<K: DeserializeOwned>(&self, text: &str) -> Result<K, CursorError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError::Malformed)?;
        let (&version, rest) = bytes.split_first().ok_or(CursorError::Malformed)?;
        if version != VERSION {
            return Err(CursorError::Version);
        }
        let (seal, key) = rest.split_at_checked(SEAL_BYTES).ok_or(CursorError::Malformed)?;
        let expected = self.seal(key).ok_or(CursorError::Malformed)?;
        expected.verify_truncated_left(seal).map_err(|_| CursorError::Seal)?;
        serde_json::from_slice(key).map_err(|_| CursorError::Malformed)
    }

    fn seal(&self, key: &[u8]) -> Option<Hmac<Sha256>> {
        let mac = Hmac::<Sha256>::new_from_slice(&self.key.0).ok()?;
        Some(mac.chain_update(self.question).chain_update(key))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::access::TenantId;

    type Key = (String, i64);

    fn cursors(secret: &str, tenant: &str, filters: &[Option<String>]) -> Cursors {
        let caller = Caller::of(TenantId::new(tenant).unwrap());
        CursorKey::of(&SharedSecret::named(secret))
            .bind("metrics", &caller, &filters)
            .unwrap()
    }

    proptest! {
        #[test]
        fn round_trips(name in any::<String>(), number in any::<i64>(), filter in any::<Option<String>>()) {
            let cursors = cursors("s", "a", &[filter]);
            let cursor = cursors.after(&(&name, number)).unwrap();
            prop_assert!(cursor.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
            prop_assert_eq!(cursors.open::<Key>(&cursor), Ok((name, number)));
        }

        #[test]
        fn other_filters_are_refused(one in prop::collection::vec(any::<Option<String>>(), 3), other in prop::collection::vec(any::<Option<String>>(), 3)) {
            prop_assume!(one != other);
            let cursor = cursors("s", "a", &one).after(&("name", 7)).unwrap();
            prop_assert_eq!(cursors("s", "a", &other).open::<Key>(&cursor), Err(CursorError::Seal));
        }

        #[test]
        fn any_text_is_a_key_or_an_error(text in "\\PC{0,80}|[A-Za-z0-9_-]{0,80}") {
            let _ = cursors("s", "a", &[]).open::<Key>(&text);
        }

        #[test]
        fn a_changed_cursor_is_refused(at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let cursors = cursors("s", "a", &[]);
            let mut bytes = URL_SAFE_NO_PAD.decode(cursors.after(&("name", 7)).unwrap()).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(cursors.open::<Key>(&URL_SAFE_NO_PAD.encode(bytes)).is_err());
        }
    }

    #[test]
    fn every_cut_of_a_cursor_is_refused() {
        let cursors = cursors("s", "a", &[]);
        let cursor = cursors.after(&("name", 7)).unwrap();
        for length in 0..cursor.len() {
            assert!(cursors.open::<Key>(&cursor[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn a_cursor_of_another_tenant_store_or_version_is_refused() {
        let cursor = cursors("s", "a", &[]).after(&("name", 7)).unwrap();
        assert_eq!(cursors("s", "b", &[]).open::<Key>(&cursor), Err(CursorError::Seal));
        assert_eq!(cursors("t", "a", &[]).open::<Key>(&cursor), Err(CursorError::Seal));
        let other = URL_SAFE_NO_PAD.encode([VERSION + 1; 40]);
        assert_eq!(cursors("s", "a", &[]).open::<Key>(&other), Err(CursorError::Version));
    }
}
