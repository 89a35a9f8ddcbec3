//! Cursors: where a page ended, as opaque text for the caller to hand back.
//!
//! A cursor is `base64url(version, fingerprint of the filters, last key as JSON)`. Keyset, not offset: rows that arrive
//! between two pages neither repeat nor hide others. The fingerprint binds it to its filters: with others it would silently
//! skip rows. It is no secret and grants nothing: the tenant comes from the request, never from the cursor. Pure.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

const VERSION: u8 = 1;
const FINGERPRINT_BYTES: usize = 16;

/// What a cursor is bound to: a resource and the values of its filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; FINGERPRINT_BYTES]);

impl Fingerprint {
    /// Of a resource and its filters, in the resource's fixed order; `None` is a filter that is not given.
    pub fn of(resource: &str, filters: &[Option<&str>]) -> Self {
        let mut hash = Sha256::new();
        // Lengths keep ("ab", "c") apart from ("a", "bc"), the marker keeps an empty filter apart from one not given.
        for part in std::iter::once(&Some(resource)).chain(filters) {
            hash.update(part.map_or(u64::MAX, |text| text.len() as u64).to_le_bytes());
            hash.update(part.unwrap_or_default());
        }
        let digest = hash.finalize();
        Self(std::array::from_fn(|index| digest[index]))
    }
}

/// Why a text is not a cursor for this question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// Not one of ours, or cut short.
    #[error("is not a cursor of this resource; pass next_cursor on as it is")]
    Malformed,
    /// From another version of this service.
    #[error("is from another version; start from the first page")]
    Version,
    /// Of another question.
    #[error("belongs to other filters; start from the first page")]
    OtherFilters,
}

/// The cursor after `key`.
pub fn encode(fingerprint: Fingerprint, key: &impl Serialize) -> Result<String, serde_json::Error> {
    let mut bytes = vec![VERSION];
    bytes.extend_from_slice(&fingerprint.0);
    serde_json::to_writer(&mut bytes, key)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// The key that a cursor continues after.
pub fn decode<K: DeserializeOwned>(fingerprint: Fingerprint, text: &str) -> Result<K, CursorError> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError::Malformed)?;
    let (&version, rest) = bytes.split_first().ok_or(CursorError::Malformed)?;
    if version != VERSION {
        return Err(CursorError::Version);
    }
    let (bound_to, key) = rest.split_at_checked(FINGERPRINT_BYTES).ok_or(CursorError::Malformed)?;
    if bound_to != fingerprint.0 {
        return Err(CursorError::OtherFilters);
    }
    serde_json::from_slice(key).map_err(|_| CursorError::Malformed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Key = (String, i64);

    proptest! {
        #[test]
        fn round_trips(name in any::<String>(), number in any::<i64>(), filter in any::<Option<String>>()) {
            let fingerprint = Fingerprint::of("metrics", &[filter.as_deref()]);
            let cursor = encode(fingerprint, &(&name, number)).unwrap();
            prop_assert!(cursor.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
            prop_assert_eq!(decode::<Key>(fingerprint, &cursor), Ok((name, number)));
        }

        #[test]
        fn other_filters_are_refused(one in prop::collection::vec(any::<Option<String>>(), 3), other in prop::collection::vec(any::<Option<String>>(), 3)) {
            prop_assume!(one != other);
            let print = |filters: &[Option<String>]| {
                Fingerprint::of("metrics", &filters.iter().map(Option::as_deref).collect::<Vec<_>>())
            };
            let cursor = encode(print(&one), &("name", 7)).unwrap();
            prop_assert_eq!(decode::<Key>(print(&other), &cursor), Err(CursorError::OtherFilters));
        }

        #[test]
        fn any_text_is_a_key_or_an_error(text in "\\PC{0,80}|[A-Za-z0-9_-]{0,80}") {
            let _ = decode::<Key>(Fingerprint::of("metrics", &[]), &text);
        }
    }

    #[test]
    fn every_cut_of_a_cursor_is_refused() {
        let fingerprint = Fingerprint::of("metrics", &[Some("a")]);
        let cursor = encode(fingerprint, &("name", 7)).unwrap();
        for length in 0..cursor.len() {
            assert!(decode::<Key>(fingerprint, &cursor[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn a_cursor_of_another_version_says_so() {
        let cursor = URL_SAFE_NO_PAD.encode([VERSION + 1; 40]);
        assert_eq!(
            decode::<Key>(Fingerprint::of("metrics", &[]), &cursor),
            Err(CursorError::Version)
        );
    }
}
