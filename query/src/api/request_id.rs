//! The id of a request in logs, in the engine and in the response.
//!
//! Enters: the caller's `x-request-id`, or nothing. Leaves: the same if it is safe in a log line, else a new one.

use std::convert::Infallible;
use std::fmt;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use uuid::Uuid;

/// The header of request and response.
pub static REQUEST_ID_HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// Longest accepted id of a caller.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// The id of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    /// The caller's id if it is safe in a log line, else a new one.
    pub fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(&REQUEST_ID_HEADER).and_then(|value| value.to_str().ok());
        given
            .filter(|text| is_plain(text))
            .map_or_else(Self::new, |text| Self(text.to_owned()))
    }

    /// A new id, for work that no request asked for.
    pub fn new() -> Self {
        Self(Uuid::new_v4().to_string())
    }

    /// For background work: `export/ID`.
    pub fn internal(text: String) -> Self {
        Self(text)
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for RequestId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// [`crate::api::observe`] has put it into the extensions.
impl<S: Send + Sync> FromRequestParts<S> for RequestId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().cloned().unwrap_or_default())
    }
}

fn is_plain(text: &str) -> bool {
    (1..=REQUEST_ID_BYTES_MAX).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_request_id_is_kept_and_any_other_replaced() {
        let id_for = |given: &str| {
            let value = given.parse().unwrap();
            RequestId::of(&HeaderMap::from_iter([(REQUEST_ID_HEADER.clone(), value)])).0
        };
        assert_eq!(
            id_for("0af7651916cd43dd-8448eb211c80319c"),
            "0af7651916cd43dd-8448eb211c80319c"
        );
        for given in ["", "a b", "a\"b", "{}", &"a".repeat(REQUEST_ID_BYTES_MAX + 1)] {
            assert!(Uuid::parse_str(&id_for(given)).is_ok(), "{given}");
        }
    }
}
