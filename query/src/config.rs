//! Configuration of `horolog-query`.
//!
//! Guarantees: a loaded configuration can be served. Without TLS the address must be a loopback one, unless
//! `allow_insecure_listen` is set.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use horolog_schemas::Kind;
use horolog_stage::config::{self, ClickHouseConfig, ConfigArgs, ConfigError, KafkaConfig, TelemetryConfig};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::access::oidc::OidcConfig;
use crate::audit::exports::config::ExportsConfig;

/// Everything that can be set.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueryConfig {
    /// HTTP server.
    pub http: HttpConfig,
    /// The store. The timeouts of inserts are not used.
    pub clickhouse: ClickHouseConfig,
    /// The log, where keys are kept and accesses are recorded.
    pub kafka: KafkaConfig,
    /// Logging.
    pub telemetry: TelemetryConfig,
    /// Limits of requests.
    pub limits: LimitsConfig,
    /// Topics that the rows came from.
    pub source: SourceConfig,
    /// Access control.
    pub access: AccessConfig,
    /// Audit exports.
    pub exports: ExportsConfig,
}

/// `[http]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// Address and port to listen on; without TLS a loopback address, see [`Self::allow_insecure_listen`].
    pub listen: SocketAddr,
    /// Listen without TLS on an address other than loopback, which sends keys and answers unencrypted. Only behind a
    /// proxy that terminates TLS, or in a container whose port is published on the host's loopback interface.
    pub allow_insecure_listen: bool,
    /// File with the certificate followed by its intermediate certificates (PEM). Enables TLS.
    pub tls_certificate_file: Option<PathBuf>,
    /// File with the certificate's private key (PEM).
    pub tls_key_file: Option<PathBuf>,
    /// How often both files are checked for a new certificate, which is then used immediately. Seconds.
    pub tls_reload_interval_s: u64,
    /// A connection without a complete request is closed after this time: one that sends nothing, one whose headers do
    /// not end, one kept alive for the next request; so is one that does not read its answer over HTTP/1. Seconds.
    pub idle_timeout_s: u64,
    /// Maximum number of connections; further ones are closed immediately. Must be less than the open files of the
    /// process (`ulimit -n`).
    pub connections_max: usize,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            allow_insecure_listen: false,
            tls_certificate_file: None,
            tls_key_file: None,
            tls_reload_interval_s: 30,
            idle_timeout_s: 60,
            connections_max: 800,
        }
    }
}

/// `[limits]`: enforced in the engine where possible. A key may have lower limits ([`crate::access::KeyLimits`]), never
/// higher ones.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// A statement that runs longer is cancelled. Seconds.
    pub statement_timeout_s: u64,
    /// Memory that one statement may use in the engine. Bytes.
    pub statement_memory_bytes_max: u64,
    /// What one statement may read from tables. Bytes, uncompressed.
    pub statement_read_bytes_max: u64,
    /// Rows that one statement may return.
    pub statement_result_rows_max: u64,
    /// A request that takes longer is aborted, together with its statements. Seconds.
    pub request_timeout_s: u64,
    /// Requests for data that are answered at the same time, at most half of them for one tenant, which may have as
    /// many downloads of exports in addition; further ones wait.
    pub concurrent_requests_max: usize,
    /// Of these, requests with the same key; in addition to as many downloads of exports.
    pub concurrent_requests_per_caller_max: usize,
    /// How long a request waits for its place before it is told to try again. Milliseconds; 0 means immediately.
    pub admission_wait_ms_max: u64,
    /// Requests with the same key that wait at the same time; further ones are told to try again.
    pub waiting_requests_per_caller_max: usize,
    /// A page ends early when its rows exceed this size. Bytes.
    pub page_bytes_max: usize,
    /// Total size, as sent, of answers of 32 KiB or more that clients have not read yet; at most half for one tenant.
    /// As many bytes again may wait, for as long as requests wait for their place. At least twice `page_bytes_max`.
    /// Bytes.
    pub answers_bytes_max: usize,
    /// Size of the cache of merged metrics rows; 0 disables it. Bytes.
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
            admission_wait_ms_max: 2_000,
            waiting_requests_per_caller_max: 100,
            page_bytes_max: 16 << 20,
            answers_bytes_max: 1 << 30,
            remembered_bytes_max: 128 << 20,
        }
    }
}

/// `[source]`: as for `horolog-ingest`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SourceConfig {
    /// Topic of metric samples, whose completeness is reported.
    pub metrics_topic: String,
    /// Topic of audit events, whose ledger exports are based on.
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

/// `[access]`: access control.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccessConfig {
    /// Topic that keys and the register of exports are kept in: one partition, compacted. Created at startup if it does
    /// not exist.
    pub journal_topic: String,
    /// Topic that accesses to audit data are recorded in, which `horolog-ingest` reads.
    pub audit_topic: String,
    /// The operator's tenant, in which events that concern no other tenant are recorded.
    pub platform_tenant: String,
    /// File with the secret for pseudonyms and cursors, at least 32 bytes, the same for all processes. Without it the
    /// secret is derived from the store's password, and pseudonyms change when that does.
    pub pseudonym_key_file: Option<PathBuf>,
    /// Networks of proxies whose `x-forwarded-for` is trusted, for allowed addresses and the audit trail. All others
    /// are ignored.
    pub trusted_proxies: Vec<IpNet>,
    /// Valid keys that a tenant may have, and that all keys for any tenant may be together; more cannot be created.
    pub keys_per_tenant_max: usize,
    /// How often last uses of keys are written. Seconds.
    pub last_use_interval_s: u64,
    /// Tokens of an identity provider.
    pub oidc: OidcConfig,
}

impl Default for AccessConfig {
    fn default() -> Self {
        Self {
            journal_topic: "horolog-journal".to_owned(),
            audit_topic: Kind::AuditEvent.default_topic().to_owned(),
            platform_tenant: "horolog".to_owned(),
            pseudonym_key_file: None,
            trusted_proxies: Vec::new(),
            keys_per_tenant_max: 10_000,
            last_use_interval_s: 300,
            oidc: OidcConfig::default(),
        }
    }
}

impl QueryConfig {
    /// Loads and validates it.
    pub fn load(args: &ConfigArgs) -> Result<Self, ConfigError> {
        let config: Self = config::load("query", args)?;
        config.http.check()?;
        config.access.check()?;
        config.limits.check()?;
        config.exports.check()?;
        Ok(config)
    }
}

impl HttpConfig {
    fn check(&self) -> Result<(), ConfigError> {
        let over_tls = self.tls_certificate_file.is_some();
        if over_tls != self.tls_key_file.is_some() {
            let missing = if over_tls {
                "http.tls_key_file"
            } else {
                "http.tls_certificate_file"
            };
            let reason = "must be set as well: a certificate and its key go together";
            return Err(ConfigError::invalid(missing, reason));
        }
        if !self.listen.ip().to_canonical().is_loopback() && !over_tls && !self.allow_insecure_listen {
            return Err(ConfigError::invalid(
                "http.listen",
                "must be a loopback address, because keys and answers would travel in the clear: set http.tls_certificate_file, \
                 or http.allow_insecure_listen behind a proxy that terminates TLS",
            ));
        }
        at_least_one([
            ("http.tls_reload_interval_s", self.tls_reload_interval_s),
            ("http.idle_timeout_s", self.idle_timeout_s),
            ("http.connections_max", self.connections_max as u64),
        ])
    }
}

impl AccessConfig {
    fn check(&self) -> Result<(), ConfigError> {
        self.oidc.check()?;
        if self.platform_tenant.is_empty() {
            return Err(ConfigError::invalid("access.platform_tenant", "must be a name"));
        }
        at_least_one([
            ("access.last_use_interval_s", self.last_use_interval_s),
            ("access.keys_per_tenant_max", self.keys_per_tenant_max as u64),
        ])
    }
}

impl LimitsConfig {
    fn check(&self) -> Result<(), ConfigError> {
        at_least_one([
            ("limits.statement_timeout_s", self.statement_timeout_s),
            ("limits.statement_memory_bytes_max", self.statement_memory_bytes_max),
            ("limits.statement_read_bytes_max", self.statement_read_bytes_max),
            ("limits.statement_result_rows_max", self.statement_result_rows_max),
            ("limits.request_timeout_s", self.request_timeout_s),
            ("limits.concurrent_requests_max", self.concurrent_requests_max as u64),
            (
                "limits.concurrent_requests_per_caller_max",
                self.concurrent_requests_per_caller_max as u64,
            ),
            (
                "limits.waiting_requests_per_caller_max",
                self.waiting_requests_per_caller_max as u64,
            ),
        ])?;
        if self.answers_bytes_max / 2 < self.page_bytes_max {
            return Err(ConfigError::invalid(
                "limits.answers_bytes_max",
                "must be at least twice limits.page_bytes_max",
            ));
        }
        Ok(())
    }
}

/// Refuses settings that let nothing through.
pub fn at_least_one<const N: usize>(settings: [(&str, u64); N]) -> Result<(), ConfigError> {
    match settings.into_iter().find(|(_, value)| *value == 0) {
        Some((setting, _)) => Err(ConfigError::invalid(setting, "must be at least 1")),
        None => Ok(()),
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
        let tls = [
            "http.listen=0.0.0.0:8443",
            "http.tls_certificate_file=/a",
            "http.tls_key_file=/b",
        ];
        assert!(load(&tls).is_ok());
        assert!(load(&tls[..2]).unwrap_err().starts_with("http.tls_key_file"));
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
        assert!(
            load(&["access.keys_per_tenant_max=0"])
                .unwrap_err()
                .contains("access.keys_per_tenant_max")
        );
        let page = "limits.page_bytes_max=10000";
        assert!(load(&[page, "limits.answers_bytes_max=20000"]).is_ok());
        assert!(
            load(&[page, "limits.answers_bytes_max=19999"])
                .unwrap_err()
                .starts_with("limits.answers_bytes_max")
        );
    }
}
