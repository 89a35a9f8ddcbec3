//! Who sent a request, and whether they may: the middleware in front of everything under `/v1/`.
//!
//! Enters: a request with `authorization: Bearer …`. Leaves: the same request with its [`Principal`], or 401, 403, 429.
//! Guarantees: no path under `/v1/` is reachable without it; a token that is missing, malformed, unknown, expired,
//! revoked or sent from a network that is not allowed gets the same answer; an answer with audit data leaves only after
//! its trail is written.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

use axum::extract::{ConnectInfo, FromRequestParts, MatchedPath, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use futures_util::future::join_all;
use horolog_schemas::AuditStatus;

use crate::access::failures::LOOK_INTERVAL;
use crate::access::gate::Gate;
use crate::access::last_use::Use;
use crate::access::limit::Left;
use crate::access::token::Token;
use crate::access::trail::{Act, Actor, Recorded};
use crate::access::{Caller, Permission, Principal, TenantId, rules};
use crate::api::observe::RowsReturned;
use crate::api::{Problem, RequestId};

/// The `WWW-Authenticate` challenge of a 401.
pub const CHALLENGE: &str = "Bearer realm=\"horolog\"";
/// A longer user agent is truncated in the trail.
const USER_AGENT_CHARS_MAX: usize = 256;

/// The middleware.
pub async fn authenticate(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    if rules::is_open(request.uri().path()) {
        return next.run(request).await;
    }
    let mut actor = actor(&gate, &request);
    let principal = match identify(&gate, request.headers(), actor.from).await {
        Ok(Some(principal)) => principal,
        Ok(None) => {
            refused(&gate, &actor);
            return Problem::Unauthorized.into_response();
        }
        Err(problem) => return problem.into_response(),
    };
    actor.principal = Some(principal.clone());
    let left = match gate.limits.take(&principal) {
        Ok(left) => left,
        Err(problem) => {
            let mut response = problem.into_response();
            Left::none(principal.facts().requests_per_hour).write(response.headers_mut());
            return response;
        }
    };
    request.extensions_mut().insert(principal.clone());
    request.extensions_mut().insert(gate.mask_key.clone());
    request.extensions_mut().insert(actor.clone());
    let mut response = match needed(&request) {
        Ok(None) => next.run(request).await,
        Ok(Some(permission)) => answer(&gate, &actor, &principal, permission, request, next).await,
        Err(problem) => problem.into_response(),
    };
    left.write(response.headers_mut());
    response
}

/// The permission that the route needs. None if no route matched, which is answered with 404, or if the route is only
/// about the caller.
fn needed(request: &Request) -> Result<Option<Permission>, Problem> {
    let Some(route) = route(request) else {
        return Ok(None);
    };
    match rules::needed(route) {
        None if rules::is_of_oneself(route) => Ok(None),
        Some(permission) => Ok(Some(permission)),
        None => {
            tracing::error!(route, "this route has no rule, so nobody may use it");
            Err(Problem::forbidden("nobody may use this"))
        }
    }
}

/// The template of the matched route.
fn route(request: &Request) -> Option<&str> {
    request.extensions().get::<MatchedPath>().map(MatchedPath::as_str)
}

/// Runs the handler if the caller is permitted, and records access to audit data before the answer leaves.
async fn answer(
    gate: &Gate,
    actor: &Actor,
    principal: &Principal,
    permission: Permission,
    request: Request,
    next: Next,
) -> Response {
    let trailed = route(&request)
        .and_then(|route| rules::action(request.method(), route))
        .map(|action| (action, about(&request)));
    let (mut parts, body) = request.into_parts();
    let caller = Caller::from_request_parts(&mut parts, &()).await;
    let request = Request::from_parts(parts, body);
    let response = match principal.require(permission) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    let Some((action, mut facts)) = trailed else {
        return response;
    };
    if response.extensions().get::<Recorded>().is_some() {
        return response;
    }
    // A refused request that names none of the caller's tenants is recorded for the caller's own.
    let tenant = caller.map_or_else(
        |_| gate.tenant_of(&principal.facts().tenant),
        |caller| caller.tenant().clone(),
    );
    if let Some(RowsReturned(rows)) = response.extensions().get() {
        facts.insert("rows".to_owned(), rows.to_string());
    }
    let status = response.status();
    let act = act_of(tenant, action, status, facts);
    match gate.trail.record(actor, act).await {
        Err(problem) if status.as_u16() < 400 => problem.into_response(),
        _ => response,
    }
}

/// An access to a tenant's audit data, as recorded in the trail.
fn act_of(tenant: TenantId, action: &'static str, status: StatusCode, facts: BTreeMap<String, String>) -> Act {
    let error = status.canonical_reason().filter(|_| status.as_u16() >= 400);
    Act {
        tenant,
        action,
        resource_type: "audit_events",
        resource_id: String::new(),
        status: match status.as_u16() {
            ..400 => AuditStatus::Success,
            400..500 => AuditStatus::Failure,
            _ => AuditStatus::Error,
        },
        error: error.unwrap_or_default().to_owned(),
        facts,
    }
}

/// The request, as recorded in the trail.
fn about(request: &Request) -> BTreeMap<String, String> {
    // Not truncated: otherwise a filter behind the cut would leave no trace. A request target has at most 64 KiB.
    let query = request.uri().query().unwrap_or_default().to_owned();
    BTreeMap::from([
        ("method".to_owned(), request.method().to_string()),
        ("route".to_owned(), route(request).unwrap_or_default().to_owned()),
        ("path".to_owned(), request.uri().path().to_owned()),
        ("filter".to_owned(), query),
    ])
}

/// Who sent the request; an error if that cannot be determined now.
async fn identify(gate: &Gate, headers: &HeaderMap, from: Option<IpAddr>) -> Result<Option<Principal>, Problem> {
    let (Some(bearer), Some(from)) = (bearer(headers), from) else {
        return Ok(None);
    };
    let now = Utc::now();
    let principal = match (Token::parse(bearer), &gate.oidc) {
        (Some(token), _) => gate.keys.admit(&token, from, now),
        (None, Some(oidc)) => oidc.admit(bearer).await?,
        (None, None) => None,
    };
    if let Some(principal) = &principal {
        gate.uses.note(principal, Use { at: now, from });
    }
    Ok(principal)
}

/// Records a refused request without making the caller wait: a different response time would reveal something.
fn refused(gate: &Gate, actor: &Actor) {
    let is_due = actor.from.is_some_and(|from| gate.failures.note(from, Instant::now()));
    if is_due {
        let (gate, actor) = (gate.clone(), actor.clone());
        tokio::spawn(async move {
            if gate.trail.record(&actor, refusals(&gate, 1)).await.is_err() {
                gate.failures.keep(actor.from, 1);
            }
        });
    }
}

/// Records counted refusals once they are due, forever.
pub async fn record_refusals(gate: Gate) {
    loop {
        tokio::time::sleep(LOOK_INTERVAL).await;
        record_all(&gate, gate.failures.due(Instant::now())).await;
    }
}

/// Records these counts by address, concurrently: while Kafka is unavailable, each takes until its timeout.
pub async fn record_all(gate: &Gate, counted: Vec<(Option<IpAddr>, u64)>) {
    let record = |(from, count)| async move {
        let actor = Actor {
            principal: None,
            from,
            user_agent: String::new(),
            request: RequestId::new(),
        };
        if gate.trail.record(&actor, refusals(gate, count)).await.is_err() {
            gate.failures.keep(from, count);
        }
    };
    join_all(counted.into_iter().map(record)).await;
}

fn refusals(gate: &Gate, count: u64) -> Act {
    Act {
        tenant: gate.platform.clone(),
        action: "access.refuse",
        resource_type: "access",
        resource_id: String::new(),
        status: AuditStatus::Failure,
        error: "no key that is in force".to_owned(),
        facts: BTreeMap::from([("requests".to_owned(), count.to_string())]),
    }
}

fn actor(gate: &Gate, request: &Request) -> Actor {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(peer)| peer.ip());
    let user_agent = request
        .headers()
        .get(header::USER_AGENT)
        .and_then(|value| value.to_str().ok());
    Actor {
        principal: None,
        from: Some(gate.proxies.client(peer, request.headers())),
        user_agent: user_agent
            .unwrap_or_default()
            .chars()
            .take(USER_AGENT_CHARS_MAX)
            .collect(),
        request: request.extensions().get::<RequestId>().cloned().unwrap_or_default(),
    }
}

/// The one bearer token. Two headers count as none, because a proxy in front of us may look at the other one.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (given.next()?.to_str().ok()?, given.next()) else {
        return None;
    };
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// For handlers that record more than the middleware does.
impl<S: Send + Sync> FromRequestParts<S> for Actor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get().cloned().ok_or(Problem::Unauthorized)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_header_holds_one_token_or_none(value in "[Bb]earer [ -~]{0,60}|[ -~\t]{0,60}") {
            let Ok(value) = HeaderValue::from_str(&value) else { return Ok(()) };
            let mut headers = HeaderMap::new();
            headers.append(header::AUTHORIZATION, value.clone());
            let alone = bearer(&headers).map(str::to_owned);
            prop_assert!(alone.is_none_or(|token| value.to_str().unwrap().to_lowercase().starts_with("bearer") && token.trim() == token));
            headers.append(header::AUTHORIZATION, value);
            prop_assert_eq!(bearer(&headers), None);
        }
    }

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
