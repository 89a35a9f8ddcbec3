//! `[exports.s3]` of the configuration: the bucket that exports are written to.
//!
//! Guarantees: a configuration that passes [`S3Config::check`] can be used to connect; contents are not sent
//! unencrypted unless explicitly allowed; the secret comes from a file or the environment and is never shown.

use std::path::PathBuf;

use horolog_schemas::configuration;
use horolog_schemas::configuration::Secret;
use horolog_stage::config::ConfigError;
use reqwest::Url;
use serde::{Deserialize, Serialize};

use crate::config::at_least_one;
use horolog_stage::loopback::is_loopback;

/// The smallest part that S3 accepts, except for the last.
const PART_BYTES_MIN: u64 = 5 << 20;
/// Parts are held in memory.
const PART_BYTES_MAX: u64 = 256 << 20;
const PARTS_IN_FLIGHT_MAX: usize = 16;

/// `[exports.s3]`: S3-compatible storage. Without a bucket the files stay in `exports.folder`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct S3Config {
    /// Existing bucket that files of new exports are written to.
    pub bucket: Option<String>,
    /// Prefix of all object names, for example `audit/exports`.
    pub prefix: String,
    /// URL of the storage. Default: AWS for the region.
    pub endpoint: Option<String>,
    /// Region. Default: `AWS_REGION` of the environment, else `us-east-1`.
    pub region: Option<String>,
    /// Access key id. Without one, credentials are found as by the AWS tools: `AWS_…` of the environment, a web
    /// identity, the role of the container or the machine.
    pub access_key_id: Option<String>,
    /// The secret access key; prefer `secret_access_key_file` or the environment.
    pub secret_access_key: Secret,
    /// File that contains the secret access key; read at startup, takes precedence over `secret_access_key`.
    pub secret_access_key_file: Option<PathBuf>,
    /// CA certificates (PEM) to verify the endpoint with, in addition to the system's.
    pub ca_file: Option<PathBuf>,
    /// The bucket is part of the host name in `endpoint`, not of the path.
    pub virtual_hosted: bool,
    /// Allow unencrypted contents to an `http://` endpoint beyond the loopback interface.
    pub allow_insecure_endpoint: bool,
    /// Size of upload parts. A file has at most 10,000 parts. Bytes, at least 5 MiB.
    pub part_bytes: u64,
    /// Parts in flight at the same time. These and the one being filled are held in memory, for each running export.
    pub parts_in_flight_max: usize,
    /// A request that takes longer is aborted and retried; so is a download that receives nothing for this long.
    /// Seconds.
    pub request_timeout_s: u64,
}

impl Default for S3Config {
    fn default() -> Self {
        Self {
            bucket: None,
            prefix: String::new(),
            endpoint: None,
            region: None,
            access_key_id: None,
            secret_access_key: Secret::default(),
            secret_access_key_file: None,
            ca_file: None,
            virtual_hosted: false,
            allow_insecure_endpoint: false,
            part_bytes: 8 << 20,
            parts_in_flight_max: 2,
            request_timeout_s: 60,
        }
    }
}

impl S3Config {
    /// Refuses invalid settings, by name.
    pub fn check(&self) -> Result<(), ConfigError> {
        let plain = |text: &str| {
            text.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        };
        if let Some(bucket) = &self.bucket
            && (!(3..=255).contains(&bucket.len()) || !plain(bucket) || bucket.starts_with('.'))
        {
            return invalid(
                "bucket",
                "must be the name of a bucket: letters, digits, dots and hyphens",
            );
        }
        let segments = self.prefix.split('/');
        let mut odd = segments.filter(|segment| segment.is_empty() || segment.starts_with('.') || !plain(segment));
        if !self.prefix.is_empty() && odd.next().is_some() {
            return invalid(
                "prefix",
                "must be names of letters, digits, dots, hyphens and underscores, with / between them only",
            );
        }
        self.check_endpoint()?;
        if self.access_key_id.is_some() && self.secret()?.is_empty() {
            return invalid(
                "secret_access_key_file",
                "must be set, because exports.s3.access_key_id is",
            );
        }
        if !(PART_BYTES_MIN..=PART_BYTES_MAX).contains(&self.part_bytes) {
            return invalid("part_bytes", "must be between 5 MiB (5242880) and 256 MiB (268435456)");
        }
        if !(1..=PARTS_IN_FLIGHT_MAX).contains(&self.parts_in_flight_max) {
            return invalid("parts_in_flight_max", "must be between 1 and 16");
        }
        at_least_one([("exports.s3.request_timeout_s", self.request_timeout_s)])
    }

    fn check_endpoint(&self) -> Result<(), ConfigError> {
        let Some(endpoint) = &self.endpoint else { return Ok(()) };
        let Ok(url) = Url::parse(endpoint) else {
            return invalid("endpoint", "must be an address such as https://minio.example:9000");
        };
        if !["http", "https"].contains(&url.scheme()) || url.host_str().is_none() {
            return invalid("endpoint", "must begin with https:// or http:// and name a host");
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return invalid("endpoint", "must not hold credentials, a query or a fragment");
        }
        if url.scheme() == "http" && !self.allow_insecure_endpoint && !is_loopback(&url) {
            return invalid(
                "endpoint",
                "must be https://, because exports would travel in the clear; set exports.s3.allow_insecure_endpoint to allow that",
            );
        }
        Ok(())
    }

    /// Whether the endpoint is used without TLS.
    pub fn is_plain(&self) -> bool {
        self.endpoint
            .as_deref()
            .is_some_and(|endpoint| endpoint.starts_with("http://"))
    }

    /// Whether the endpoint is on this host.
    pub fn is_of_this_machine(&self) -> bool {
        let endpoint = self.endpoint.as_deref().and_then(|endpoint| Url::parse(endpoint).ok());
        endpoint.is_some_and(|endpoint| is_loopback(&endpoint))
    }

    /// The secret, read from its file if there is one.
    pub fn secret(&self) -> Result<String, ConfigError> {
        match &self.secret_access_key_file {
            Some(path) => Ok(configuration::read_secret("exports.s3.secret_access_key_file", path)?),
            None => Ok(self.secret_access_key.expose().to_owned()),
        }
    }

    /// The contents of `ca_file`.
    pub fn ca(&self) -> Result<Option<String>, ConfigError> {
        let read = |path: &PathBuf| configuration::read("exports.s3.ca_file", path);
        Ok(self.ca_file.as_ref().map(read).transpose()?)
    }
}

/// An invalid setting of this section.
pub(super) fn invalid<T>(setting: &str, reason: &str) -> Result<T, ConfigError> {
    Err(ConfigError::invalid(format!("exports.s3.{setting}"), reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut S3Config)) -> Option<String> {
        let mut config = S3Config {
            bucket: Some("horolog-exports".to_owned()),
            ..S3Config::default()
        };
        change(&mut config);
        config.check().err().map(|error| error.to_string())
    }

    #[test]
    fn what_no_storage_takes_is_refused_by_the_name_of_the_setting() {
        let text = |text: &str| Some(text.to_owned());
        for (setting, said) in [
            ("bucket", refused(|config| config.bucket = text("a/b"))),
            ("bucket", refused(|config| config.bucket = text(""))),
            ("prefix", refused(|config| config.prefix = "/audit".to_owned())),
            ("prefix", refused(|config| config.prefix = "a/../b".to_owned())),
            ("endpoint", refused(|config| config.endpoint = text("minio:9000"))),
            (
                "endpoint",
                refused(|config| config.endpoint = text("http://minio.example")),
            ),
            (
                "endpoint",
                refused(|config| config.endpoint = text("https://u:p@minio.example")),
            ),
            (
                "secret_access_key_file",
                refused(|config| config.access_key_id = text("me")),
            ),
            ("part_bytes", refused(|config| config.part_bytes = 1)),
            ("parts_in_flight_max", refused(|config| config.parts_in_flight_max = 0)),
            ("request_timeout_s", refused(|config| config.request_timeout_s = 0)),
        ] {
            let said = said.unwrap_or_else(|| panic!("{setting} was let through"));
            assert!(said.starts_with(&format!("exports.s3.{setting}: ")), "{said}");
        }
    }

    #[test]
    fn plain_http_is_let_through_where_nobody_listens_or_where_it_is_said() {
        for endpoint in [
            "http://127.0.0.1:9000",
            "http://[::1]:9000",
            "http://localhost:9000",
            "https://s3.example",
        ] {
            assert_eq!(
                refused(|config| config.endpoint = Some(endpoint.to_owned())),
                None,
                "{endpoint}"
            );
        }
        let said = refused(|config| {
            config.endpoint = Some("http://minio.internal:9000".to_owned());
            config.allow_insecure_endpoint = true;
        });
        assert_eq!(said, None);
    }

    #[test]
    fn a_secret_is_not_shown() {
        let config = S3Config {
            secret_access_key: Secret::from("hunter2".to_owned()),
            ..S3Config::default()
        };
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
