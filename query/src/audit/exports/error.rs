//! Why an export failed, and what its requester is told.
//!
//! Enters: errors of store, disk, bucket and encoder. Leaves: one of a few classes, some of them transient, and a
//! message. Guarantees: the message reveals nothing of statements, paths or other tenants. Pure.

use std::io;

use arrow::error::ArrowError;

use super::bucket::BucketError;
use super::encode::EncodeError;
use crate::api::Problem;
use crate::store::StoreError;

/// Why an export is not complete.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The store failed; a retry may succeed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The disk failed.
    #[error(transparent)]
    Disk(io::Error),
    /// The bucket failed; a retry may succeed if it was unavailable.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// Rows that are not as expected.
    #[error("{0}")]
    Rows(String),
    /// Its requester cancelled it, or the service is stopping.
    #[error("stopped")]
    Stopped,
}

impl ExportError {
    /// What is unavailable now and may return soon; `None` if a retry does not help. Includes the server's memory,
    /// which others use, too.
    pub fn passing(&self) -> Option<&str> {
        match self {
            Self::Store(StoreError::Unavailable(reason)) | Self::Bucket(BucketError::Unavailable(reason)) => {
                Some(reason)
            }
            Self::Store(StoreError::Limit { reason, .. }) if self.is_of_server_memory() => Some(reason),
            _ => None,
        }
    }

    /// Whether the server as a whole ran out of memory.
    pub fn is_of_server_memory(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_of_server_memory())
    }

    /// The message for its requester, which reveals nothing of statements, paths or other tenants.
    pub fn told(&self) -> String {
        match self {
            Self::Disk(error) if error.kind() == io::ErrorKind::StorageFull => {
                "no space is left in exports.folder; make room and ask for the export again".to_owned()
            }
            Self::Disk(error) => format!("exports.folder cannot be read or written: {}", error.kind()),
            Self::Bucket(BucketError::Refused { setting, .. }) => {
                format!("the bucket refused the export; the operator of this service should check {setting}")
            }
            Self::Bucket(BucketError::Unavailable(_)) => {
                "the bucket was not available for too long; ask for the export again".to_owned()
            }
            Self::Bucket(BucketError::NotFound(_)) => {
                "what was written to the bucket is no longer there; ask for the export again".to_owned()
            }
            Self::Bucket(error @ (BucketError::TooLarge | BucketError::Elsewhere(_))) => error.to_string(),
            Self::Store(error) if error.is_of_server_memory() => {
                "the store had too little memory for too long; raise max_server_memory_usage of ClickHouse, or ask for the export again when it is less busy".to_owned()
            }
            Self::Store(StoreError::Limit { .. }) => {
                "the export takes more memory or time than is allowed; raise exports.statement_memory_bytes_max or narrow it".to_owned()
            }
            Self::Store(_) => "the store was not available for too long; ask for the export again".to_owned(),
            Self::Rows(reason) => reason.clone(),
            Self::Stopped => "stopped".to_owned(),
        }
    }
}

impl From<io::Error> for ExportError {
    fn from(error: io::Error) -> Self {
        error.downcast().map_or_else(Self::Disk, Self::Bucket)
    }
}

impl From<EncodeError> for ExportError {
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::Io(error) => error.into(),
            error => Self::Rows(error.to_string()),
        }
    }
}

impl From<ArrowError> for ExportError {
    fn from(error: ArrowError) -> Self {
        Self::Rows(error.to_string())
    }
}

impl From<Problem> for ExportError {
    fn from(problem: Problem) -> Self {
        Self::Rows(problem.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::classified;

    #[test]
    fn what_may_pass_is_waited_for_and_memory_of_the_server_is_among_it() {
        for (message, passes, told) in [
            (
                "Code: 241. DB::Exception: (total) memory limit exceeded",
                true,
                "max_server_memory_usage",
            ),
            (
                "Code: 241. DB::Exception: Query memory limit exceeded",
                false,
                "exports.statement_memory_bytes_max",
            ),
            (
                "Code: 60. DB::Exception: Table horolog.audit_logs does not exist",
                true,
                "not available",
            ),
            ("Code: 62. DB::Exception: Syntax error", false, "not available"),
        ] {
            let error = ExportError::from(classified(message));
            assert_eq!(error.passing().is_some(), passes, "{error}");
            assert!(error.told().contains(told), "{}", error.told());
        }
        assert_eq!(ExportError::Stopped.passing(), None);
    }
}
