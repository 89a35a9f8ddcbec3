//! Configuration: one documented struct per binary, made of sections that all binaries share.
//!
//! [`horolog_schemas::configuration`] says where values come from. Unknown keys are errors. Secrets come from a file or
//! the environment and print as `***`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use horolog_schemas::configuration::{self, LoadError, Secret};
use serde::de::{DeserializeOwned, Error, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize};

/// Where the configuration comes from; flatten it into a binary's arguments.
#[derive(Debug, Default, Clone, clap::Args)]
pub struct ConfigArgs {
    /// TOML file with the configuration of the service.
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// One setting of the service, as in the file: `--set clickhouse.url=http://127.0.0.1:8123`. Can be repeated.
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE", global = true)]
    pub set: Vec<String>,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A value of the right type that makes no sense.
    #[error("{setting}: {reason}")]
    Invalid {
        /// The setting to change.
        setting: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl ConfigError {
    /// A value that makes no sense.
    pub fn invalid(setting: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid {
            setting: setting.into(),
            reason: reason.into(),
        }
    }
}

/// Loads the configuration of `binary` (for example `ingest`), which also names its environment variables.
pub fn load<T: DeserializeOwned + Serialize + Default>(binary: &str, args: &ConfigArgs) -> Result<T, ConfigError> {
    Ok(configuration::load(binary, args.config.as_deref(), &args.set)?)
}

/// `[kafka]`: the log.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaConfig {
    /// `host:port` of one broker or more, separated by commas.
    pub bootstrap: String,
    /// librdkafka properties, verbatim (`security.protocol`, `sasl.username`, …). Those that the delivery protocol
    /// depends on (auto-commit, offset reset, assignment strategy, isolation level, checksums) cannot be overridden.
    /// Any property may hold a password, so none is ever shown.
    #[serde(deserialize_with = "properties")]
    pub properties: BTreeMap<String, Secret>,
}

/// Property values as text. Login properties must be strings, so that a password that reads like a number is not
/// converted. Errors never repeat a value.
fn properties<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Secret>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Value {
        Text(String),
        Whole(i64),
        Truth(bool),
        Other(IgnoredAny),
    }
    let values = BTreeMap::<String, Value>::deserialize(deserializer)?;
    let text = |(name, value): (String, Value)| {
        let is_of_login = name.starts_with("sasl") || name.starts_with("ssl");
        match value {
            Value::Text(text) => Ok((name, text.into())),
            Value::Whole(number) if !is_of_login => Ok((name, number.to_string().into())),
            Value::Truth(truth) if !is_of_login => Ok((name, truth.to_string().into())),
            _ => Err(D::Error::custom(format!(
                "{name} must be a string in double quotes that are part of the value, and so must a name with dots: {{\"sasl.password\"=\"…\"}}"
            ))),
        }
    };
    values.into_iter().map(text).collect()
}

impl Default for KafkaConfig {
    fn default() -> Self {
        Self {
            bootstrap: "127.0.0.1:9092".to_owned(),
            properties: BTreeMap::new(),
        }
    }
}

impl KafkaConfig {
    /// A client configuration with the bootstrap servers and the verbatim properties.
    pub fn client_config(&self) -> rdkafka::ClientConfig {
        let mut config = rdkafka::ClientConfig::new();
        for (key, value) in &self.properties {
            config.set(key, value.expose());
        }
        config.set("bootstrap.servers", &self.bootstrap);
        config
    }

    /// Likewise for a consumer, with the settings that the protocol depends on and nobody may override.
    pub fn consumer_config(&self, group: &str) -> rdkafka::ClientConfig {
        let mut config = self.client_config();
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // Records of an aborted transaction are no records (KIP-98).
            .set("isolation.level", "read_committed")
            // An offset out of range must be an error, never a jump.
            .set("auto.offset.reset", "error")
            // librdkafka skips a batch that fails this check: one flipped bit would lose its records, instead of having
            // them judged.
            .set("check.crcs", "false");
        config
    }
}

/// `[clickhouse]`: the store.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClickHouseConfig {
    /// Address of the HTTP interface.
    pub url: String,
    /// Database that holds the tables.
    pub database: String,
    /// User name.
    pub user: String,
    /// Password; better given as `password_file` or in the environment.
    pub password: Secret,
    /// File that holds the password; read at start, wins over `password`.
    pub password_file: Option<PathBuf>,
    /// If the body of an insert is not accepted within this time, its outcome is unknown, and it is repeated under the
    /// same token. Seconds.
    pub send_timeout_s: u64,
    /// Likewise for the answer. Seconds.
    pub insert_timeout_s: u64,
    /// Compression of inserts on the wire. `none` for the loopback interface, where it costs both ends more than it
    /// saves.
    pub compression: Compression,
    /// Wait for a quorum of replicas (`insert_quorum='auto'`). For replicated tables, and only for them.
    pub quorum: bool,
}

/// How inserts are compressed on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// ClickHouse's LZ4 blocks, each with a checksum.
    Lz4,
    /// As they are.
    None,
}

impl Default for ClickHouseConfig {
    fn default() -> Self {
        Self {
            url: "http://127.0.0.1:8123".to_owned(),
            database: "horolog".to_owned(),
            user: "default".to_owned(),
            password: Secret::default(),
            password_file: None,
            send_timeout_s: 20,
            insert_timeout_s: 60,
            compression: Compression::Lz4,
            quorum: false,
        }
    }
}

impl ClickHouseConfig {
    /// A client for the database, with the password read from its file.
    pub fn client(&self) -> Result<clickhouse::Client, ConfigError> {
        let compression = match self.compression {
            Compression::Lz4 => clickhouse::Compression::Lz4,
            Compression::None => clickhouse::Compression::None,
        };
        Ok(clickhouse::Client::default()
            .with_compression(compression)
            .with_url(&self.url)
            .with_database(&self.database)
            .with_user(&self.user)
            .with_password(self.read_password()?))
    }

    /// The password, read from its file where there is one.
    pub fn read_password(&self) -> Result<String, ConfigError> {
        read_password(
            "clickhouse.password_file",
            self.password_file.as_deref(),
            &self.password,
        )
    }

    /// [`Self::send_timeout_s`].
    pub fn send_timeout(&self) -> Duration {
        Duration::from_secs(self.send_timeout_s)
    }

    /// [`Self::insert_timeout_s`].
    pub fn insert_timeout(&self) -> Duration {
        Duration::from_secs(self.insert_timeout_s)
    }
}

fn read_password(setting: &'static str, file: Option<&Path>, password: &Secret) -> Result<String, ConfigError> {
    match file {
        Some(path) => Ok(configuration::read_secret(setting, path)?),
        None => Ok(password.expose().to_owned()),
    }
}

/// `[schema_registry]`: where the schemas of records in Confluent's framing are, besides `source.schema_folder`. Both
/// stages need the same one.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SchemaRegistryConfig {
    /// Address of a registry with Confluent's API, with the path before `/schemas` if there is one. Without it none is
    /// asked.
    pub url: Option<String>,
    /// User name; empty for none.
    pub user: String,
    /// Password; better given as `password_file` or in the environment.
    pub password: Secret,
    /// File that holds the password; read at start, wins over `password`.
    pub password_file: Option<PathBuf>,
}

impl SchemaRegistryConfig {
    /// The password, read from its file where there is one.
    pub fn read_password(&self) -> Result<String, ConfigError> {
        read_password(
            "schema_registry.password_file",
            self.password_file.as_deref(),
            &self.password,
        )
    }
}

/// `[http]`: where a service answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// Address and port to listen on.
    pub listen: SocketAddr,
}

/// `[telemetry]`: logs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// What is logged, as a `tracing` filter: `info`, `horolog_stage=debug,info`, …
    pub log: String,
    /// How it is written to standard error.
    pub format: LogFormat,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            log: "info".to_owned(),
            format: LogFormat::Human,
        }
    }
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For a terminal.
    Human,
    /// One JSON object a line.
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Config {
        kafka: KafkaConfig,
        clickhouse: ClickHouseConfig,
    }

    fn args(set: &[&str]) -> ConfigArgs {
        ConfigArgs {
            config: None,
            set: set.iter().map(|&s| s.to_owned()).collect(),
        }
    }

    #[test]
    fn a_flag_wins_over_the_file() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, b"[clickhouse]\ndatabase = 'a'\nsend_timeout_s = 5\n").unwrap();
        let mut args = args(&["clickhouse.database=b", "kafka.properties.\"linger.ms\"=7"]);
        args.config = Some(file.path().to_owned());
        let config: Config = load("configtest", &args).unwrap();
        assert_eq!(
            (config.clickhouse.database.as_str(), config.clickhouse.send_timeout_s),
            ("b", 5)
        );
        assert_eq!(config.kafka.properties["linger.ms"].expose(), "7");
    }

    #[test]
    fn an_unknown_key_is_named() {
        let error = load::<Config>("configtest", &args(&["kafka.bootstap=x"]))
            .unwrap_err()
            .to_string();
        assert!(error.contains("bootstap"), "{error}");
    }

    #[test]
    fn a_secret_never_prints() {
        let given = [
            "clickhouse.password=hunter2",
            "kafka.properties.\"sasl.password\"=hunter2",
        ];
        let config: Config = load("configtest", &args(&given)).unwrap();
        assert_eq!(config.clickhouse.password.expose(), "hunter2");
        assert!(!format!("{config:?}").contains("hunter2"));
        for refused in [
            "\"sasl.password\"=1234",
            "sasl.password=1234",
            "\"ssl.key.password\"=true",
        ] {
            let setting = format!("kafka.properties.{refused}");
            let said = load::<Config>("configtest", &args(&[&setting]))
                .unwrap_err()
                .to_string();
            assert!(said.contains("double quotes") && !said.contains("123"), "{said}");
        }
    }
}
