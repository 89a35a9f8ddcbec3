//! `[exports.s3]` of the configuration: the bucket that exports are written to.
//!
//! Guarantees: what passes [`S3Config::check`] can be asked; contents do not leave in the clear unless that is said; the secret
//! comes from a file or the environment and is never shown.

use std::path::PathBuf;

use horolog_schemas::configuration;
use horolog_schemas::configuration::Secret;
use horolog_stage::config::ConfigError;
use reqwest::Url;
use serde::{Deserialize, Serialize};

use crate::loopback::is_loopback;

/// Smallest part but the last that S3 takes.
const PART_BYTES_MIN: u64 = 5 << 20;
/// Parts lie in memory.
const PART_BYTES_MAX: u64 = 256 << 20;
const PARTS_IN_FLIGHT_MAX: usize = 16;

/// `[exports.s3]`: S3-compatible storage. Without a bucket the files stay in `exports.folder`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct S3Config {
    /// Bucket that files of new exports are written to. It has to be there.
    pub bucket: Option<String>,
    /// What the names of all objects begin with, for example `audit/exports`.
    pub prefix: String,
    /// Address of the storage; none is that of AWS for the region.
    pub endpoint: Option<String>,
    /// Region; none is `AWS_REGION` of the environment, else `us-east-1`.
    pub region: Option<String>,
    /// Key id; without one the credentials are those that AWS' own programs would find: `AWS_…` of the environment, a web
    /// identity, the container's or the machine's role.
    pub access_key_id: Option<String>,
    /// Its secret; better given as `secret_access_key_file` or in the environment.
    pub secret_access_key: Secret,
    /// File that holds the secret; read at start, wins over `secret_access_key`.
    pub secret_access_key_file: Option<PathBuf>,
    /// Certificates (PEM) that the endpoint's is checked against, beside those of the system.
    pub ca_file: Option<PathBuf>,
    /// The bucket is part of the host name that `endpoint` gives, not of the path.
    pub virtual_hosted: bool,
    /// Let contents travel in the clear to an `http://` endpoint beyond the loopback interface.
    pub allow_insecure_endpoint: bool,
    /// Size of the parts that a file is uploaded in; 10,000 of them are the largest file. Bytes, at least 5 MiB.
    pub part_bytes: u64,
    /// Parts on their way at the same time. With the one that is filled they lie in memory, for each export that is written.
    pub parts_in_flight_max: usize,
    /// A request that takes longer is given up, and repeated; so is a download that brings nothing for so long. Seconds.
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
    /// Refuses what no storage would take, by the name of the setting.
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
        if self.request_timeout_s == 0 {
            return invalid("request_timeout_s", "must be at least 1");
        }
        Ok(())
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
                "must be https://, because exports would travel in the clear; exports.s3.allow_insecure_endpoint lets them",
            );
        }
        Ok(())
    }

    /// Whether the endpoint may be asked without TLS.
    pub fn is_plain(&self) -> bool {
        self.endpoint
            .as_deref()
            .is_some_and(|endpoint| endpoint.starts_with("http://"))
    }

    /// Whether the endpoint is on this machine.
    pub fn is_of_this_machine(&self) -> bool {
        let endpoint = self.endpoint.as_deref().and_then(|endpoint| Url::parse(endpoint).ok());
        endpoint.is_some_and(|endpoint| is_loopback(&endpoint))
    }

    /// The secret, read from its file where there is one.
    pub fn secret(&self) -> Result<String, ConfigError> {
        match &self.secret_access_key_file {
            Some(path) => Ok(configuration::read_secret("exports.s3.secret_access_key_file", path)?),
            None => Ok(self.secret_access_key.expose().to_owned()),
        }
    }

    /// What `ca_file` holds.
    pub fn ca(&self) -> Result<Option<String>, ConfigError> {
        let read = |path: &PathBuf| configuration::read("exports.s3.ca_file", path);
        Ok(self.ca_file.as_ref().map(read).transpose()?)
    }
}

/// A setting of this section that makes no sense.
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
