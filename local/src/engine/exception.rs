//! ClickHouse's errors: a code, a message, and the HTTP status that ClickHouse's own server would send.
//!
//! Enters: the engine's text, or a refusal of the front. Leaves: [`Exception`], which clients parse by its
//! `Code: N. DB::Exception: … (NAME) (version …)` form.

use axum::http::StatusCode;
use horolog_schemas::clickhouse_code;

/// A number and name of ClickHouse's `ErrorCodes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code(pub u32, pub &'static str);

impl Code {
    pub const BAD_ARGUMENTS: Self = Self(36, "BAD_ARGUMENTS");
    pub const TOO_LARGE_SIZE_COMPRESSED: Self = Self(39, "TOO_LARGE_SIZE_COMPRESSED");
    pub const CHECKSUM_DOESNT_MATCH: Self = Self(40, "CHECKSUM_DOESNT_MATCH");
    pub const NOT_IMPLEMENTED: Self = Self(48, "NOT_IMPLEMENTED");
    pub const SYNTAX_ERROR: Self = Self(62, "SYNTAX_ERROR");
    pub const UNKNOWN_COMPRESSION_METHOD: Self = Self(89, "UNKNOWN_COMPRESSION_METHOD");
    pub const UNKNOWN_SETTING: Self = Self(115, "UNKNOWN_SETTING");
    pub const TOO_MANY_SIMULTANEOUS_QUERIES: Self = Self(202, "TOO_MANY_SIMULTANEOUS_QUERIES");
    pub const SOCKET_TIMEOUT: Self = Self(209, "SOCKET_TIMEOUT");
    pub const NETWORK_ERROR: Self = Self(210, "NETWORK_ERROR");
    pub const QUERY_IS_TOO_LARGE: Self = Self(229, "QUERY_IS_TOO_LARGE");
    pub const ABORTED: Self = Self(236, "ABORTED");
    pub const CANNOT_DECOMPRESS: Self = Self(271, "CANNOT_DECOMPRESS");
    pub const INTO_OUTFILE_NOT_ALLOWED: Self = Self(358, "INTO_OUTFILE_NOT_ALLOWED");
    pub const TOO_MANY_ROWS_OR_BYTES: Self = Self(396, "TOO_MANY_ROWS_OR_BYTES");
    pub const SETTING_CONSTRAINT_VIOLATION: Self = Self(452, "SETTING_CONSTRAINT_VIOLATION");
    pub const ACCESS_DENIED: Self = Self(497, "ACCESS_DENIED");
    pub const AUTHENTICATION_FAILED: Self = Self(516, "AUTHENTICATION_FAILED");
    pub const UNKNOWN_EXCEPTION: Self = Self(1002, "UNKNOWN_EXCEPTION");
}

/// An error as ClickHouse reports it over HTTP.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Exception {
    code: u32,
    text: String,
}

impl Exception {
    /// A refusal of the front.
    pub fn new(code: Code, message: impl std::fmt::Display) -> Self {
        Self {
            code: code.0,
            text: format!("Code: {}. DB::Exception: {message}. ({})", code.0, code.1),
        }
    }

    /// An error of the engine; text without a code is an unknown exception.
    pub fn from_engine(text: &str) -> Self {
        let text = text.trim();
        match clickhouse_code(text) {
            Some(code) => Self {
                code,
                text: text.to_owned(),
            },
            None => Self::new(Code::UNKNOWN_EXCEPTION, text.trim_end_matches('.')),
        }
    }

    /// The number clients match on.
    pub fn code(&self) -> u32 {
        self.code
    }

    /// The body of an error response. Clients look for the version to see that the text is an exception of ClickHouse.
    pub fn body(&self, version: &str) -> String {
        if self.text.contains("(version ") {
            format!("{}\n", self.text)
        } else {
            format!("{} (version {version} (embedded))\n", self.text)
        }
    }

    /// As in ClickHouse's `exceptionCodeToHTTPStatus`.
    pub fn status(&self) -> StatusCode {
        match self.code {
            194 => StatusCode::UNAUTHORIZED,
            192 | 193 | 497 | 512 | 516 => StatusCode::FORBIDDEN,
            6 | 8 | 15 | 25 | 26 | 27 | 36 | 37 | 38 | 41 | 44 | 53 | 62 | 72 | 117 | 123 | 167 | 168 | 223 | 321
            | 376 | 427 | 441 | 675 | 676 => StatusCode::BAD_REQUEST,
            46 | 47 | 50 | 56 | 60 | 63 | 73 | 78 | 81 | 115 | 152 | 336 | 511 => StatusCode::NOT_FOUND,
            159 => StatusCode::REQUEST_TIMEOUT,
            381 => StatusCode::LENGTH_REQUIRED,
            229 => StatusCode::PAYLOAD_TOO_LARGE,
            779 => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            48 => StatusCode::NOT_IMPLEMENTED,
            76 | 209 | 439 => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_taken_from_the_engines_text() {
        let exception =
            Exception::from_engine("Code: 60. DB::Exception: Table default.t does not exist. (UNKNOWN_TABLE)\n");
        assert_eq!((exception.code(), exception.status()), (60, StatusCode::NOT_FOUND));
        assert!(
            exception
                .body("26.7.2.1")
                .ends_with("(UNKNOWN_TABLE) (version 26.7.2.1 (embedded))\n")
        );
    }

    #[test]
    fn text_without_a_code_is_an_unknown_exception() {
        let exception = Exception::from_engine("no active streaming query");
        assert_eq!(
            (exception.code(), exception.status()),
            (1002, StatusCode::INTERNAL_SERVER_ERROR)
        );
    }

    #[test]
    fn a_version_is_not_added_twice() {
        let exception = Exception::from_engine("Code: 62. DB::Exception: x (SYNTAX_ERROR) (version 26.7.2.1)");
        assert_eq!(exception.body("26.7.2.1").matches("version").count(), 1);
    }
}
