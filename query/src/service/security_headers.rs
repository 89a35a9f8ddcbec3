//! What a browser may do with an answer: nothing, unless the page itself says otherwise.
//!
//! Enters: any response. Leaves: the same with headers that keep it from being framed, sniffed, or read by other
//! origins. A policy that a page set itself is kept. Over TLS, browsers are told to stay on TLS (HSTS).

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::api::openapi::PAGE_PATH;

/// An answer of the API is data: it loads nothing and must not be framed.
const OF_DATA: &str = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
/// The documentation page has inline styles, which its scripts set; scripts are its own files.
const OF_DESCRIPTION: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
    connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
/// A year.
const STAY_ON_TLS: &str = "max-age=31536000";

const ALWAYS: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Whether the listener speaks TLS.
#[derive(Debug, Clone, Copy)]
pub struct OverTls(pub bool);

/// The middleware around all routes.
pub async fn protect(State(OverTls(over_tls)): State<OverTls>, request: Request, next: Next) -> Response {
    let is_description = request.uri().path().starts_with(PAGE_PATH);
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let policy = if is_description { OF_DESCRIPTION } else { OF_DATA };
    let mut add = |name: HeaderName, value| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    for (name, value) in ALWAYS {
        add(name, value);
    }
    add(header::CONTENT_SECURITY_POLICY, policy);
    if over_tls {
        add(header::STRICT_TRANSPORT_SECURITY, STAY_ON_TLS);
    }
    response
}
