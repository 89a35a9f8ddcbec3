//! The JSON body of a request: read within a bound, parsed strictly.
//!
//! Enters: a request. Leaves: the value, or a [`Problem`] that says which field is wrong. Types should deny unknown
//! fields.

use axum::body::{Bytes, HttpBody, to_bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use serde::de::DeserializeOwned;

use crate::api::Problem;

/// The largest accepted body.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// A JSON body.
#[derive(Debug, Clone, Copy)]
pub struct JsonBody<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::UnsupportedMediaType);
        }
        parse(&read(request).await?).map(Self)
    }
}

async fn read(request: Request) -> Result<Bytes, Problem> {
    let too_large = Problem::BodyTooLarge {
        bytes_max: BODY_BYTES_MAX,
    };
    // A body with a declared length that is too large is refused before it is read.
    if request.body().size_hint().lower() > BODY_BYTES_MAX as u64 {
        return Err(too_large);
    }
    to_bytes(request.into_body(), BODY_BYTES_MAX)
        .await
        .map_err(|_| too_large)
}

fn is_json(headers: &HeaderMap) -> bool {
    let essence = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let reason = error.into_inner();
        match reason.classify() {
            serde_json::error::Category::Data => match path.trim_start_matches('.') {
                "" => of_the_whole(&reason.to_string()),
                member => Problem::parameter(member, reason),
            },
            _ => Problem::MalformedBody(reason.to_string()),
        }
    })?;
    json.end()
        .map_err(|reason| Problem::MalformedBody(reason.to_string()))?;
    Ok(value)
}

/// Serde reports a missing field on the object as a whole, with the name only in the message.
fn of_the_whole(reason: &str) -> Problem {
    let missing = reason
        .strip_prefix("missing field `")
        .and_then(|rest| rest.split_once('`'));
    match missing {
        Some((member, _)) => Problem::parameter(member, "is required"),
        None => Problem::MalformedBody(reason.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Ask {
        rows: u8,
        #[serde(default)]
        names: Vec<String>,
    }

    #[test]
    fn a_member_that_does_not_fit_is_named() {
        for (text, member) in [
            (r#"{"rows": 300}"#, "rows"),
            (r#"{"rows": 3, "names": ["a", 7]}"#, "names[1]"),
            (r#"{"rows": 3, "more": 1}"#, "more"),
            ("{}", "rows"),
        ] {
            assert_eq!(
                parse::<Ask>(text.as_bytes()).unwrap_err().named_parameter(),
                Some(member)
            );
        }
        assert!(matches!(parse::<Ask>(b"{").unwrap_err(), Problem::MalformedBody(_)));
        assert!(matches!(
            parse::<Ask>(b"{\"rows\":1}x").unwrap_err(),
            Problem::MalformedBody(_)
        ));
    }
}
