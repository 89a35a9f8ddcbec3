//! Configuration of `horolog-migrate`, loaded as described in [`crate::configuration`].
//!
//! Unknown keys are errors. The password comes from a file or the environment and is never printed.

use std::path::{Path, PathBuf};

use clickhouse::Client;
use serde::{Deserialize, Serialize};

use crate::configuration::{self, LoadError, Secret};

use super::error::MigrateError;
use super::layout::Layout;
use super::retention::Retention;
use super::server::Server;

/// The whole configuration.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MigrateConfig {
    /// The server that holds the tables.
    pub clickhouse: ClickHouse,
    /// The layout of the tables.
    pub tables: Layout,
    /// How long data is kept.
    pub retention: Retention,
}

/// `[clickhouse]`: the server.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClickHouse {
    /// Address of its HTTP interface.
    pub url: String,
    /// Database that holds the tables; created if it does not exist. Letters, digits, `_` and `-`.
    pub database: String,
    /// User name; needs the right to create databases for `up` and `check`.
    pub user: String,
    /// Password; preferably set with `password_file` or in the environment.
    pub password: Secret,
    /// File that holds the password; takes precedence over `password`.
    pub password_file: Option<PathBuf>,
}

impl Default for ClickHouse {
    fn default() -> Self {
        Self {
            url: "http://127.0.0.1:8123".to_owned(),
            database: "horolog".to_owned(),
            user: "default".to_owned(),
            password: Secret::default(),
            password_file: None,
        }
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A parameter is invalid.
    #[error(transparent)]
    Parameters(#[from] MigrateError),
}

impl MigrateConfig {
    /// Reads all sources. Later `assignments` (`section.key=value`) override earlier ones.
    pub fn load(file: Option<&Path>, assignments: &[String]) -> Result<Self, ConfigError> {
        Ok(configuration::load("migrate", file, assignments)?)
    }

    /// The server that it describes.
    pub fn server(&self) -> Result<Server, ConfigError> {
        let password = match &self.clickhouse.password_file {
            Some(path) => configuration::read_secret("clickhouse.password_file", path)?,
            None => self.clickhouse.password.expose().to_owned(),
        };
        let client = Client::default()
            .with_url(&self.clickhouse.url)
            .with_user(&self.clickhouse.user)
            .with_password(password)
            .with_product_info("horolog-migrate", env!("CARGO_PKG_VERSION"));
        Ok(Server::new(
            client,
            &self.clickhouse.database,
            self.tables.clone(),
            self.retention.clone(),
        )?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::layout::Engine;
    use super::*;

    fn load(assignments: &[&str]) -> Result<MigrateConfig, ConfigError> {
        MigrateConfig::load(None, &assignments.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, b"[tables]\nengine = 'replicated'\ncluster = 'a'\n").unwrap();
        let config = MigrateConfig::load(Some(file.path()), &["tables.cluster=b".to_owned()]).unwrap();
        assert_eq!(
            (config.tables.engine, config.tables.cluster.as_str()),
            (Engine::Replicated, "b")
        );
        assert_eq!(config.tables.lease_seconds, 60);
    }

    #[test]
    fn a_secret_that_looks_like_a_number_is_refused_and_not_repeated() {
        for value in ["123456", "1e5", "true", "[7]"] {
            let error = load(&[&format!("clickhouse.password={value}")])
                .unwrap_err()
                .to_string();
            assert!(error.starts_with("clickhouse.password (--set): "), "{error}");
            assert!(error.contains("double quotes") && !error.contains(value), "{error}");
        }
        let quoted = load(&["clickhouse.password=\"0123456\""]).unwrap();
        assert_eq!(quoted.clickhouse.password.expose(), "0123456");
    }

    #[test]
    fn an_unknown_key_is_named() {
        let error = load(&["retention.audit_dayz=800"]).unwrap_err().to_string();
        assert!(error.contains("audit_dayz"), "{error}");
    }

    #[test]
    fn a_floor_undercut_is_one_line_that_names_setting_and_floor() {
        let error = load(&["retention.hourly_months=6"])
            .unwrap()
            .server()
            .err()
            .unwrap()
            .to_string();
        assert_eq!(error, "retention.hourly_months = 6 is below its minimum of 13");
    }

    #[test]
    fn a_password_never_prints() {
        let config = load(&["clickhouse.password=hunter2"]).unwrap();
        assert_eq!(config.clickhouse.password.expose(), "hunter2");
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn a_missing_password_file_is_named_with_its_setting() {
        let error = load(&["clickhouse.password_file=/nowhere/p"])
            .unwrap()
            .server()
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.starts_with("cannot read clickhouse.password_file = /nowhere/p"),
            "{error}"
        );
    }
}
