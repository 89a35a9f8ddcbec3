//! What a caller is told when a request fails: RFC 9457 problem details, the one error format of the API.
//!
//! Enters: what went wrong, as data. Leaves: status, headers and an `application/problem+json` body that names the
//! parameter to change. Never contains SQL, messages of the engine, or whether another tenant exists: those go to the
//! log under the request id.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::access::authenticate::CHALLENGE;
use crate::api::RequestId;

/// The media type of a problem.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A parameter or body field with an invalid value, or a missing one that is required.
    #[error("{reason}")]
    InvalidParameter {
        /// The parameter, as the caller wrote it.
        parameter: String,
        /// What is expected.
        reason: String,
    },
    /// A parameter that this resource does not have.
    #[error("there is no such parameter; the known ones are {known}")]
    UnknownParameter {
        /// The parameter, as the caller wrote it.
        parameter: String,
        /// The known parameters, in words.
        known: String,
    },
    /// The query string is too long.
    #[error("the query string is longer than {bytes_max} bytes")]
    QueryTooLong {
        /// The maximum length.
        bytes_max: usize,
    },
    /// The body is too large.
    #[error("the body is larger than {bytes_max} bytes")]
    BodyTooLarge {
        /// The maximum size.
        bytes_max: usize,
    },
    /// The content type of the body is not JSON.
    #[error("the body must be application/json")]
    UnsupportedMediaType,
    /// The body is not JSON, or not what the resource accepts.
    #[error("the body cannot be read: {0}")]
    MalformedBody(String),
    /// The answer has no format that the caller accepts.
    #[error("Accept allows no format of this answer; the available ones are {available}")]
    NotAcceptable {
        /// The available media types.
        available: &'static str,
    },
    /// Authentication failed, for whatever reason.
    #[error("send a key that is in force as `authorization: Bearer …`")]
    Unauthorized,
    /// The identity provider is unavailable and was never reached.
    #[error("the identity provider does not answer, so its tokens cannot be checked; try again")]
    ProviderUnavailable,
    /// The caller lacks a permission.
    #[error("{reason}")]
    Forbidden {
        /// What is missing.
        reason: String,
    },
    /// The caller exceeded its rate limit.
    #[error("more than {limit} requests per hour; try again in {retry_after_s} s")]
    TooManyRequests {
        /// Requests per hour.
        limit: u32,
        /// When to try again. Seconds.
        retry_after_s: u64,
    },
    /// A conflict with the current state.
    #[error("{0}")]
    Conflict(&'static str),
    /// Kafka is unavailable, so what must be recorded cannot be.
    #[error("this must be recorded first, but the log is not available; try again")]
    LogUnavailable,
    /// The requested range is not in the file.
    #[error("Range asks for nothing that is in the file, which has {bytes} bytes")]
    NoSuchRange {
        /// Size of the file. Bytes.
        bytes: u64,
    },
    /// No such resource.
    #[error("there is nothing at this path")]
    NotFound,
    /// The resource does not support this method.
    #[error("this path does not support the method; Allow lists those that it does")]
    MethodNotAllowed,
    /// More concurrent requests than this service, or one caller, may have.
    #[error("{0}; try again")]
    Busy(&'static str),
    /// ClickHouse is unavailable, restarting or not migrated.
    #[error("the store is not available; try again")]
    StoreUnavailable,
    /// The request exceeded its deadline.
    #[error("the answer took longer than {seconds} s; narrow the request, or try again when the service is less busy")]
    TimedOut {
        /// The deadline. Seconds.
        seconds: u64,
    },
    /// A limit of the engine was reached.
    #[error("the request needs more {what} than {setting} allows; narrow it with from, to, limit or a filter")]
    TooExpensive {
        /// Time, memory, rows or bytes.
        what: &'static str,
        /// The setting of the service, of the caller's key or of the server that sets the limit.
        setting: &'static str,
    },
    /// An internal error.
    #[error("the request failed; the log has the reason under the request id")]
    Internal,
}

/// Problem details (RFC 9457): the format of every error.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody<'a> {
    /// Stable name of the kind of problem, as a URN.
    #[schema(example = "urn:horolog:problem:invalid-parameter")]
    r#type: String,
    /// The kind of problem in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What is wrong with this request, and what to change.
    detail: String,
    /// The parameter to change, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    parameter: Option<&'a str>,
    /// The id of this request in the log.
    request_id: &'a str,
}

impl Problem {
    /// A parameter with an invalid value.
    pub fn parameter(parameter: &str, reason: impl ToString) -> Self {
        Self::InvalidParameter {
            parameter: parameter.to_owned(),
            reason: reason.to_string(),
        }
    }

    /// Something that the caller is not permitted to do.
    pub fn forbidden(reason: impl Into<String>) -> Self {
        Self::Forbidden { reason: reason.into() }
    }

    /// The parameter to change, if there is one.
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
            Self::BodyTooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "body too large"),
            Self::UnsupportedMediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "unsupported media type",
            ),
            Self::MalformedBody(_) => (StatusCode::BAD_REQUEST, "malformed-body", "malformed body"),
            Self::NotAcceptable { .. } => (StatusCode::NOT_ACCEPTABLE, "not-acceptable", "not acceptable"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized", "not authorized"),
            Self::ProviderUnavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "provider-unavailable",
                "identity provider not available",
            ),
            Self::Forbidden { .. } => (StatusCode::FORBIDDEN, "forbidden", "not allowed"),
            Self::TooManyRequests { .. } => (StatusCode::TOO_MANY_REQUESTS, "too-many-requests", "too many requests"),
            Self::Conflict(_) => (StatusCode::CONFLICT, "conflict", "conflict"),
            Self::LogUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "log-unavailable", "log not available"),
            Self::NoSuchRange { .. } => (StatusCode::RANGE_NOT_SATISFIABLE, "no-such-range", "no such range"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found", "not found"),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "method not allowed",
            ),
            Self::Busy(_) => (StatusCode::SERVICE_UNAVAILABLE, "busy", "too many requests at once"),
            Self::StoreUnavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "store-unavailable",
                "store not available",
            ),
            Self::TimedOut { .. } => (StatusCode::GATEWAY_TIMEOUT, "timed-out", "no answer in time"),
            Self::TooExpensive { .. } => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "too-expensive",
                "request too expensive",
            ),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "internal error"),
        }
    }

    /// When to try again, if that may help.
    fn retry_after_s(&self) -> Option<u64> {
        match self {
            Self::Busy(_) => Some(1),
            Self::StoreUnavailable | Self::LogUnavailable | Self::ProviderUnavailable => Some(5),
            Self::TooManyRequests { retry_after_s, .. } => Some(*retry_after_s),
            _ => None,
        }
    }

    /// The whole response.
    pub fn render(&self, request_id: &RequestId) -> Response {
        let (status, name, title) = self.kind();
        let body = ProblemBody {
            r#type: format!("urn:horolog:problem:{name}"),
            title,
            status: status.as_u16(),
            detail: self.to_string(),
            parameter: self.named_parameter(),
            request_id: request_id.as_str(),
        };
        let mut response = (status, axum::Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(seconds) = self.retry_after_s() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if *self == Self::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE));
        }
        response
    }
}

/// Only marks the response: [`crate::api::observe`] knows the request id and renders the problem, in one place for all
/// routes.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.kind().0.into_response();
        response.extensions_mut().insert(self);
        response
    }
}
