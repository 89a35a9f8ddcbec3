//! Why a bucket does not do what it is told, in the classes that matter: change a setting, wait, or nothing there.

use std::error::Error as _;
use std::io;

use object_store::Error as StoreError;
use object_store::client::HttpError;

/// Why a bucket does not do what it is told.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// It answers, and refuses: waiting does not help.
    #[error("{setting}: {reason}")]
    Refused {
        /// The setting to look at.
        setting: &'static str,
        /// What the storage said.
        reason: String,
    },
    /// It does not answer, or not now.
    #[error("the bucket is not available: {0}")]
    Unavailable(String),
    /// There is no such object, upload or bucket.
    #[error("not found: {0}")]
    NotFound(String),
    /// More parts than a file can have.
    #[error("a file is larger than 10,000 parts; raise exports.s3.part_bytes or lower exports.rows_per_file")]
    TooLarge,
    /// The export was written to a bucket that is no longer the configured one.
    #[error("the export lies in {0}, which exports.s3 does not name any more")]
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
            // Told to come again, which the library did for as long as it does: whoever waits longer is not refused.
            _ if ["status code: 429", "status code: 408", "RequestTimeout"]
                .iter()
                .any(|later| reason.contains(later)) =>
            {
                Self::Unavailable(reason)
            }
            // A redirect or a complaint about the request: the wrong region, an endpoint that is no S3. The library has no
            // type for a status that it does not know, so that its words have to do.
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

/// Whether there was no answer at all.
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
