//! Why a bucket operation failed, classified by what helps: change a setting, wait, or nothing (it does not exist).

use std::error::Error as _;
use std::io;

use object_store::Error as StoreError;
use object_store::client::HttpError;

/// Why a bucket operation failed.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// The storage refused it: waiting does not help.
    #[error("{setting}: {reason}")]
    Refused {
        /// The setting to check.
        setting: &'static str,
        /// What the storage answered.
        reason: String,
    },
    /// The storage does not answer, or not now.
    #[error("the bucket is not available: {0}")]
    Unavailable(String),
    /// There is no such object, upload or bucket.
    #[error("not found: {0}")]
    NotFound(String),
    /// A file needs more parts than allowed.
    #[error("a file is larger than 10,000 parts; raise exports.s3.part_bytes or lower exports.rows_per_file")]
    TooLarge,
    /// The export was written to a bucket that is no longer configured.
    #[error("the export is in {0}, which exports.s3 no longer names")]
    Elsewhere(String),
}

impl From<StoreError> for BucketError {
    fn from(error: StoreError) -> Self {
        let reason = error.to_string();
        match error {
            StoreError::NotFound { .. } if reason.contains("NoSuchBucket") => refused("exports.s3.bucket", reason),
            StoreError::NotFound { .. } => Self::NotFound(reason),
            StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. } => {
                refused("exports.s3.access_key_id", reason)
            }
            // Throttling or timeouts, which the library has already retried as long as it does: waiting longer helps,
            // so this is not a refusal.
            _ if ["status code: 429", "status code: 408", "RequestTimeout"]
                .iter()
                .any(|later| reason.contains(later)) =>
            {
                Self::Unavailable(reason)
            }
            // A redirect or a client error: the wrong region, or an endpoint that is not S3. The library has no type
            // for statuses that it does not know, so the message is searched.
            error if !is_network(&error) && (reason.contains("status code: 4") || reason.contains("redirect")) => {
                refused("exports.s3.endpoint or exports.s3.region", reason)
            }
            _ => Self::Unavailable(reason),
        }
    }
}

impl From<BucketError> for io::Error {
    fn from(error: BucketError) -> Self {
        Self::other(error)
    }
}

fn refused(setting: &'static str, reason: String) -> BucketError {
    BucketError::Refused { setting, reason }
}

/// Whether there was no response at all.
fn is_network(error: &StoreError) -> bool {
    let mut source = error.source();
    while let Some(error) = source {
        if error.is::<HttpError>() {
            return true;
        }
        source = error.source();
    }
    false
}
