//! Why the store returns no rows: unavailable, a limit, or a defect of ours.
//!
//! Enters: an error of the ClickHouse client, and the bounds of the statement. Leaves: a [`StoreError`], or the problem
//! that a caller gets, which reveals nothing of statements.

use clickhouse::error::Error as ClientError;
use horolog_schemas::clickhouse_code;

use super::bounds::Bounds;
use crate::api::Problem;

const MEMORY_LIMIT_EXCEEDED: u32 = 241;
/// How that error names the server's limit, where otherwise it names a query or a user.
const OF_SERVER: &str = "(total)";
/// The limit of everything that a server does at once.
const SERVER_MEMORY: &str = "max_server_memory_usage of ClickHouse";

/// Why there are no rows.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Unavailable, restarting, overloaded or not migrated.
    #[error("{0}")]
    Unavailable(String),
    /// A limit of the engine was reached.
    #[error("more {what} than is allowed: {reason}")]
    Limit {
        /// What was exceeded.
        what: &'static str,
        /// The setting of the service, of exports, of the caller's key or of the server that sets the limit.
        setting: &'static str,
        /// The engine's message.
        reason: String,
    },
    /// A defect of ours: a statement or a row type that does not fit the schema.
    #[error("{0}")]
    Defect(String),
}

impl StoreError {
    /// Whether the memory of the whole server was exhausted: by this statement, or temporarily by others.
    pub fn is_of_server_memory(&self) -> bool {
        matches!(self, Self::Limit { setting, .. } if *setting == SERVER_MEMORY)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(reason) => {
                tracing::warn!(reason, "the store is not available");
                Self::StoreUnavailable
            }
            StoreError::Limit { what, setting, reason } => {
                tracing::info!(setting, reason, "a statement reached a limit");
                Self::TooExpensive { what, setting }
            }
            StoreError::Defect(reason) => {
                tracing::error!(reason, "a statement does not fit the store");
                Self::Internal
            }
        }
    }
}

/// Classifies a client error of a statement with these bounds.
pub(super) fn classify(error: ClientError, bounds: &Bounds) -> StoreError {
    match &error {
        ClientError::BadResponse(message) => by_code(clickhouse_code(message), message.trim().to_owned(), bounds),
        ClientError::Network(_) | ClientError::TimedOut | ClientError::Decompression(_) | ClientError::Other(_) => {
            StoreError::Unavailable(error.to_string())
        }
        _ => StoreError::Defect(error.to_string()),
    }
}

/// ClickHouse's error codes, <https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp>.
fn by_code(code: Option<u32>, reason: String, bounds: &Bounds) -> StoreError {
    let reached = match code {
        Some(MEMORY_LIMIT_EXCEEDED) if reason.contains(OF_SERVER) => Some(("memory", SERVER_MEMORY)),
        code => code.and_then(|code| bounds.reached(code)),
    };
    if let Some((what, setting)) = reached {
        return StoreError::Limit { what, setting, reason };
    }
    match code {
        // Syntax, types, arguments: the statement is ours, and so is the defect.
        Some(
            6
            | 26
            | 27
            | 36
            | 38
            | 41..=47
            | 53
            | 62
            | 69
            | 70
            | 72
            | 115
            | 130
            | 164
            | 184
            | 215
            | 386
            | 452
            | 456
            | 457,
        ) => StoreError::Defect(reason),
        // Missing tables (a restored or an older database), missing grants, overload, replicas, shutdown, unknown.
        _ => StoreError::Unavailable(reason),
    }
}

/// For tests: the class of an engine's error message.
#[cfg(test)]
pub(crate) fn classified(message: &str) -> StoreError {
    let bounds = Bounds::of_service(&crate::config::LimitsConfig::default());
    classify(ClientError::BadResponse(message.to_owned()), &bounds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(message: &str) -> Problem {
        classified(message).into()
    }

    #[test]
    fn the_memory_of_the_server_is_told_from_that_of_a_statement() {
        for (message, is_of_server) in [
            (
                "Code: 241. DB::Exception: (total) memory limit exceeded: would use 1.00 GiB",
                true,
            ),
            (
                "Code: 241. DB::Exception: Memory limit (total) exceeded: would use 1.00 GiB",
                true,
            ),
            (
                "Code: 241. DB::Exception: Query memory limit exceeded: would use 1.00 GiB",
                false,
            ),
            (
                "Code: 241. DB::Exception: Memory limit (for query) exceeded: would use 1.00 GiB",
                false,
            ),
            ("Code: 159. DB::Exception: Timeout exceeded (total)", false),
        ] {
            let error = classified(message);
            assert_eq!(error.is_of_server_memory(), is_of_server, "{error}");
            assert!(matches!(error, StoreError::Limit { .. }), "{error}");
        }
    }

    #[test]
    fn classes_follow_the_code_and_say_nothing_of_the_message() {
        for (message, said) in [
            ("Code: 159. DB::Exception: Timeout exceeded (TIMEOUT_EXCEEDED)", "time"),
            ("Code: 241. DB::Exception: Memory limit exceeded", "memory"),
            ("Code: 307. DB::Exception: Limit for bytes to read exceeded", "reading"),
            ("Code: 396. DB::Exception: Limit for result exceeded", "rows"),
        ] {
            assert!(
                matches!(problem(message), Problem::TooExpensive { what, .. } if what == said),
                "{message}"
            );
        }
        assert_eq!(
            problem("Code: 60. DB::Exception: Table horolog.audit_logs does not exist"),
            Problem::StoreUnavailable
        );
        assert_eq!(
            problem("Code: 62. DB::Exception: Syntax error: select secret"),
            Problem::Internal
        );
        assert_eq!(problem("502 Bad Gateway"), Problem::StoreUnavailable);
        for message in [
            "Code: 62. DB::Exception: secret",
            "Code: 60. secret",
            "Code: 241. secret",
            "secret",
        ] {
            assert!(!problem(message).to_string().contains("secret"));
        }
    }
}
