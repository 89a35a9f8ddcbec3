//! `[exports]` of the configuration.

use std::path::PathBuf;

use horolog_stage::config::ConfigError;
use serde::{Deserialize, Serialize};

use super::bucket::config::S3Config;
use crate::config::at_least_one;

/// `[exports]`: audit exports, written in the background.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExportsConfig {
    /// Folder for the files of exports and their state; with a bucket, for their state only. Without it there are no
    /// exports. It belongs to one process.
    pub folder: Option<PathBuf>,
    /// File with the Ed25519 private key (PEM) that signs manifests; without it they are not signed.
    pub signing_key_file: Option<PathBuf>,
    /// Maximum rows per file, which is also what a crash may have to write again.
    pub rows_per_file: u64,
    /// Exports that run at the same time; the others wait.
    pub concurrent_max: usize,
    /// Maximum number of running and waiting exports; further requests are told to try again.
    pub waiting_max: usize,
    /// Maximum of these for one tenant.
    pub tenant_waiting_max: usize,
    /// Timeout of one statement of an export (a month's rows). Seconds.
    pub statement_timeout_s: u64,
    /// Memory of such a statement in the engine; from half of it on, it spills to the engine's disk. Bytes.
    pub statement_memory_bytes_max: u64,
    /// How long an export waits for an unavailable store or bucket before it fails, after at least four attempts.
    /// Seconds.
    pub store_patience_s: u64,
    /// S3-compatible storage that the files are written to.
    pub s3: S3Config,
}

impl Default for ExportsConfig {
    fn default() -> Self {
        Self {
            folder: None,
            signing_key_file: None,
            rows_per_file: 5_000_000,
            concurrent_max: 1,
            waiting_max: 100,
            tenant_waiting_max: 25,
            statement_timeout_s: 4 * 3_600,
            statement_memory_bytes_max: 1 << 30,
            store_patience_s: 3_600,
            s3: S3Config::default(),
        }
    }
}

impl ExportsConfig {
    /// Refuses limits that would let nothing through.
    pub fn check(&self) -> Result<(), ConfigError> {
        at_least_one([
            ("exports.rows_per_file", self.rows_per_file),
            ("exports.concurrent_max", self.concurrent_max as u64),
            ("exports.waiting_max", self.waiting_max as u64),
            ("exports.tenant_waiting_max", self.tenant_waiting_max as u64),
            ("exports.statement_timeout_s", self.statement_timeout_s),
            ("exports.statement_memory_bytes_max", self.statement_memory_bytes_max),
        ])?;
        self.s3.check()
    }
}
