//! What a caller is told when a request cannot be answered: RFC 9457 problem details, the one error format of the API.
//!
//! Enters: what went wrong, as data. Leaves: status, headers and an `application/problem+json` body that names the
//! parameter to change. Never carries SQL, a message of the engine, or whether another tenant exists: those go to the log
//! under the request id.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// Why a request is not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A parameter with a value that does not fit, or a required one that is not there.
    #[error("{reason}")]
    InvalidParameter {
        /// The parameter, as the caller wrote it.
        parameter: String,
        /// What it should be.
        reason: String,
    },
    /// A parameter that this resource does not have.
    #[error("there is no such parameter; known are {known}")]
    UnknownParameter {
        /// The parameter, as the caller wrote it.
        parameter: String,
        /// Those the resource has.
        known: String,
    },
    /// The whole query string is longer than it may be.
    #[error("the query string is longer than {bytes_max} bytes")]
    QueryTooLong {
        /// How long it may be.
        bytes_max: usize,
    },
    /// No such resource.
    #[error("there is nothing at this path")]
    NotFound,
    /// A resource that is only read.
    #[error("only GET is answered here")]
    MethodNotAllowed,
    /// More requests at once than this service takes.
    #[error("too many requests at once; try again")]
    Busy,
    /// ClickHouse is away, restarting or not migrated.
    #[error("the store is not available; try again")]
    StoreUnavailable,
    /// The engine's limit on time, memory or rows was reached.
    #[error("the question takes more time or memory than is allowed; narrow it with from, to or another filter")]
    TooExpensive,
    /// Ours to fix.
    #[error("the request failed; the log has the reason under the request id")]
    Internal,
}

/// The body, as RFC 9457 wants it; `parameter` and `request_id` are ours.
#[derive(Serialize)]
struct Body<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<&'a str>,
    request_id: &'a str,
}

impl Problem {
    /// A parameter whose value does not fit.
    pub fn parameter(parameter: &str, reason: impl ToString) -> Self {
        Self::InvalidParameter {
            parameter: parameter.to_owned(),
            reason: reason.to_string(),
        }
    }

    /// The parameter to change, where there is one.
    pub fn named_parameter(&self) -> Option<&str> {
        match self {
            Self::InvalidParameter { parameter, .. } | Self::UnknownParameter { parameter, .. } => Some(parameter),
            _ => None,
        }
    }

    /// Status, stable name and title.
    fn kind(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::InvalidParameter { .. } => (StatusCode::BAD_REQUEST, "invalid-parameter", "invalid parameter"),
            Self::UnknownParameter { .. } => (StatusCode::BAD_REQUEST, "unknown-parameter", "unknown parameter"),
            Self::QueryTooLong { .. } => (StatusCode::URI_TOO_LONG, "query-too-long", "query string too long"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found", "not found"),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "method not allowed",
            ),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy", "too many requests at once"),
            Self::StoreUnavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "store-unavailable",
                "store not available",
            ),
            Self::TooExpensive => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "too-expensive",
                "question too expensive",
            ),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "internal error"),
        }
    }

    /// When a repetition is worth a try.
    fn retry_after_s(&self) -> Option<&'static str> {
        match self {
            Self::Busy => Some("1"),
            Self::StoreUnavailable => Some("5"),
            _ => None,
        }
    }

    /// The whole response.
    pub fn render(&self, request_id: &str) -> Response {
        let (status, name, title) = self.kind();
        let body = Body {
            r#type: format!("urn:horolog:problem:{name}"),
            title,
            status: status.as_u16(),
            detail: self.to_string(),
            parameter: self.named_parameter(),
            request_id,
        };
        let mut response = (status, axum::Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(seconds) = self.retry_after_s() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(seconds));
        }
        if *self == Self::MethodNotAllowed {
            headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        response
    }
}

/// Only marks the response: [`crate::observe`] knows the request id and renders the problem, in one place for all routes.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.kind().0.into_response();
        response.extensions_mut().insert(self);
        response
    }
}
