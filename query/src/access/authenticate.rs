//! Who sends a request: the middleware in front of everything under `/v1/`.
//!
//! Enters: a request with `authorization: Bearer …`. Leaves: the same request with its [`Principal`], 401, or
//! 403. Guarantees: there is no path under `/v1/` that is reached without; a token that is missing, malformed, unknown, expired or revoked gets the
//! same answer.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use chrono::Utc;

use crate::access::ring::KeyRing;
use crate::access::token::Token;
use crate::access::{Principal, rules};
use crate::api::Problem;

/// What is asked of a caller.
pub const CHALLENGE: &str = "Bearer realm=\"horolog\"";

/// The middleware.
pub async fn authenticate(State(keys): State<KeyRing>, mut request: Request, next: Next) -> Result<Response, Problem> {
    if rules::is_open(request.uri().path()) {
        return Ok(next.run(request).await);
    }
    let from = peer(&request);
    let principal = identify(&keys, request.headers(), from).ok_or(Problem::Unauthorized)?;
    // Where nothing matched there is nothing to protect, and the answer is that there is nothing.
    if let Some(route) = request.extensions().get::<MatchedPath>() {
        let Some(permission) = rules::needed(route.as_str()) else {
            tracing::error!(route = route.as_str(), "this route has no rule, so nobody may use it");
            return Err(Problem::forbidden("nobody may use this"));
        };
        principal.require(permission)?;
    }
    request.extensions_mut().insert(principal);
    Ok(next.run(request).await)
}

fn identify(keys: &KeyRing, headers: &HeaderMap, from: IpAddr) -> Option<Principal> {
    let token = Token::parse(bearer(headers)?)?;
    keys.admit(&token, from, Utc::now())
}

/// The one bearer token; two headers are as good as none, because others in front of us may look at the other one.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (given.next()?.to_str().ok()?, given.next()) else {
        return None;
    };
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn peer(request: &Request) -> IpAddr {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(peer)| peer.ip())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn one_bearer_token_is_taken_and_nothing_else() {
        assert_eq!(bearer(&headers(&["Bearer abc"])), Some("abc"));
        assert_eq!(bearer(&headers(&["bearer  abc "])), Some("abc"));
        for none in [
            &[][..],
            &["Basic abc"],
            &["abc"],
            &["Bearer"],
            &["Bearer a", "Bearer b"],
        ] {
            assert_eq!(bearer(&headers(none)), None, "{none:?}");
        }
    }
}
