//! Why an export does not come to its end, and what its requester is told of it.
//!
//! Enters: errors of store, disk, bucket and encoder. Leaves: one of a few classes, of which some may pass, and words. Guarantees: the
//! words say nothing of statements, paths or other tenants. Pure.

use std::io;

use arrow::error::ArrowError;

use super::bucket::BucketError;
use super::encode::EncodeError;
use crate::api::Problem;
use crate::store::StoreError;

/// Why an export is not complete.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The store; a repetition may go well.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The disk.
    #[error(transparent)]
    Disk(io::Error),
    /// The bucket; a repetition may go well where it was not available.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// Rows that are not what they should be.
    #[error("{0}")]
    Rows(String),
    /// The requester ended it, or the service stops.
    #[error("stopped")]
    Stopped,
}

impl ExportError {
    /// What its requester is told: nothing of statements, paths or other tenants.
    pub fn told(&self) -> String {
        match self {
            Self::Disk(error) if error.kind() == io::ErrorKind::StorageFull => {
                "no space is left in exports.folder; make room and ask for the export again".to_owned()
            }
            Self::Disk(error) => format!("exports.folder cannot be read or written: {}", error.kind()),
            Self::Bucket(BucketError::Refused { setting, .. }) => {
                format!("the bucket refuses it; whoever runs this service looks at {setting}")
            }
            Self::Bucket(BucketError::Unavailable(_)) => {
                "the bucket was not available for too long; ask for the export again".to_owned()
            }
            Self::Bucket(BucketError::NotFound(_)) => {
                "what was written to the bucket is not there any more; ask for the export again".to_owned()
            }
            Self::Bucket(error @ (BucketError::TooLarge | BucketError::Elsewhere(_))) => error.to_string(),
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
