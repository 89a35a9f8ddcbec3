//! Configuration of `horolog-query`.
//!
//! Guarantees: what is loaded can be served. The address must be a loopback one, because keys travel in the clear.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use horolog_schemas::Kind;
use horolog_stage::config::{self, ClickHouseConfig, ConfigArgs, ConfigError, TelemetryConfig};
use serde::{Deserialize, Serialize};

use crate::access::key::Key;
use crate::audit::exports::config::ExportsConfig;

/// Everything that can be set.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueryConfig {
    /// Where it answers.
    pub http: HttpConfig,
    /// The store. Only what concerns reading is used.
    pub clickhouse: ClickHouseConfig,
    /// Logs.
    pub telemetry: TelemetryConfig,
    /// What one request may take.
    pub limits: LimitsConfig,
    /// What the rows were made of.
    pub source: SourceConfig,
    /// Who may ask.
    pub access: AccessConfig,
    /// Audit exports.
    pub exports: ExportsConfig,
}

/// `[http]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// Address and port to listen on; loopback, see [`Self::allow_insecure_listen`].
    pub listen: SocketAddr,
    /// Listen on another address than loopback although keys and answers travel in the clear. Only behind a proxy that
    /// speaks TLS, or in a container whose port is published on the host's loopback.
    pub allow_insecure_listen: bool,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            allow_insecure_listen: false,
        }
    }
}

/// `[limits]`: enforced in the engine where it can be.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// A statement that runs longer is cancelled. Seconds.
    pub statement_timeout_s: u64,
    /// Memory of one statement in the engine. Bytes.
    pub statement_memory_bytes_max: u64,
    /// What one statement may read from tables. Bytes, uncompressed.
    pub statement_read_bytes_max: u64,
    /// Rows that one statement may give.
    pub statement_result_rows_max: u64,
    /// A request that takes longer is given up, and its statements with it. Seconds.
    pub request_timeout_s: u64,
    /// Requests for data that are answered at the same time; more are told to come back.
    pub concurrent_requests_max: usize,
    /// Those among them with the same key.
    pub concurrent_requests_per_caller_max: usize,
    /// A page ends early when its rows are larger than this together. Bytes.
    pub page_bytes_max: usize,
    /// Merged rows of metrics that are kept for the next time they are asked for; 0 keeps none. Bytes.
    pub remembered_bytes_max: usize,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            statement_timeout_s: 30,
            statement_memory_bytes_max: 1 << 30,
            statement_read_bytes_max: 256 << 30,
            statement_result_rows_max: 1_000_000,
            request_timeout_s: 60,
            concurrent_requests_max: 32,
            concurrent_requests_per_caller_max: 8,
            page_bytes_max: 16 << 20,
            remembered_bytes_max: 128 << 20,
        }
    }
}

/// `[source]`: as `horolog-aggregate` has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SourceConfig {
    /// Topic of metric samples, whose completeness is told.
    pub metrics_topic: String,
    /// Topic of audit events, whose ledger an export is made by.
    pub audit_topic: String,
}

impl Default for SourceConfig {
    fn default() -> Self {
        Self {
            metrics_topic: Kind::MetricSample.default_topic().to_owned(),
            audit_topic: Kind::AuditEvent.default_topic().to_owned(),
        }
    }
}

/// `[access]`: who may ask.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccessConfig {
    /// File with the keys, as `horolog-query keys` writes it. Without it nobody is let in.
    pub keys_file: Option<PathBuf>,
}

impl AccessConfig {
    /// The keys of the file; none where it does not exist yet.
    pub fn keys(&self) -> Result<Vec<Key>, ConfigError> {
        let Some(path) = self.keys_file.as_deref().filter(|path| path.exists()) else {
            return Ok(Vec::new());
        };
        let text = std::fs::read(path).map_err(|source| ConfigError::Secret {
            setting: "access.keys_file",
            path: path.to_owned(),
            source,
        })?;
        serde_json::from_slice(&text).map_err(|error| ConfigError::Invalid {
            setting: "access.keys_file".to_owned(),
            reason: error.to_string(),
        })
    }
}

impl QueryConfig {
    /// Loads and checks it.
    pub fn load(args: &ConfigArgs) -> Result<Self, ConfigError> {
        let config: Self = config::load("query", args)?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let invalid = |setting: &str, reason: &str| {
            Err(ConfigError::Invalid {
                setting: setting.to_owned(),
                reason: reason.to_owned(),
            })
        };
        if !self.http.listen.ip().to_canonical().is_loopback() && !self.http.allow_insecure_listen {
            return invalid(
                "http.listen",
                "must be a loopback address, because keys and answers would travel in the clear",
            );
        }
        let limits = &self.limits;
        for (setting, value) in [
            ("limits.statement_timeout_s", limits.statement_timeout_s),
            ("limits.statement_memory_bytes_max", limits.statement_memory_bytes_max),
            ("limits.statement_read_bytes_max", limits.statement_read_bytes_max),
            ("limits.statement_result_rows_max", limits.statement_result_rows_max),
            ("limits.request_timeout_s", limits.request_timeout_s),
            ("limits.concurrent_requests_max", limits.concurrent_requests_max as u64),
            (
                "limits.concurrent_requests_per_caller_max",
                limits.concurrent_requests_per_caller_max as u64,
            ),
        ] {
            if value == 0 {
                return invalid(setting, "must be at least 1");
            }
        }
        self.exports.check()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(set: &[&str]) -> Result<QueryConfig, String> {
        let set = set.iter().map(|&setting| setting.to_owned()).collect();
        QueryConfig::load(&ConfigArgs { config: None, set }).map_err(|error| error.to_string())
    }

    #[test]
    fn an_address_that_others_reach_is_refused_and_says_why() {
        for listen in ["0.0.0.0:8080", "192.168.1.7:80", "[::]:8080", "[::ffff:10.0.0.1]:80"] {
            let error = load(&[&format!("http.listen={listen}")]).unwrap_err();
            assert!(
                error.starts_with("http.listen: must be a loopback address, because"),
                "{error}"
            );
            assert!(load(&[&format!("http.listen={listen}"), "http.allow_insecure_listen=true"]).is_ok());
        }
        for listen in ["127.0.0.1:0", "127.9.9.9:8080", "[::1]:8080", "[::ffff:127.0.0.1]:80"] {
            assert!(load(&[&format!("http.listen={listen}")]).is_ok(), "{listen}");
        }
    }

    #[test]
    fn a_limit_that_lets_nothing_through_is_refused() {
        assert!(
            load(&["limits.concurrent_requests_max=0"])
                .unwrap_err()
                .contains("limits.concurrent_requests_max")
        );
        assert!(
            load(&["limits.statement_timeout_s=0"])
                .unwrap_err()
                .contains("limits.statement_timeout_s")
        );
    }
}
