//! How every binary is configured: defaults < TOML file (`--config`) < environment (`HOROLOG_<BINARY>__<SECTION>__<KEY>`) <
//! `--set section.key=value`.
//!
//! Errors name the setting and where its value came from.

use std::fmt;
use std::path::{Path, PathBuf};

use figment::providers::{Env, Format, Serialized, Toml};
use figment::value::{Dict, Map};
use figment::{Figment, Metadata, Profile, Provider};
use serde::de::{DeserializeOwned, Error as _, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a configuration cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file given with `--config` cannot be read.
    #[error("cannot read --config {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file that a setting names cannot be read.
    #[error("cannot read {setting} = {}: {source}", path.display())]
    Named {
        /// The setting.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A `--set` without a key and a value.
    #[error("--set {0}: expected section.key=value")]
    Set(String),
    /// A key or value that does not fit: which, from which source, and why.
    #[error("{0}")]
    Value(String),
}

/// Loads the configuration of `binary` (for example `ingest`), which also names its environment variables. Later
/// `assignments` (`section.key=value`) override earlier ones.
///
/// # Errors
/// [`LoadError`], also for an unknown key if the type denies unknown fields.
pub fn load<T: DeserializeOwned + Serialize + Default>(
    binary: &str,
    file: Option<&Path>,
    assignments: &[String],
) -> Result<T, LoadError> {
    let mut figment = Figment::from(Serialized::defaults(T::default()));
    if let Some(path) = file {
        let text = std::fs::read_to_string(path).map_err(|source| LoadError::File {
            path: path.to_owned(),
            source,
        })?;
        figment = figment.merge(Named(Toml::string(&text), format!("--config {}", path.display())));
    }
    let prefix = format!("HOROLOG_{}__", binary.to_uppercase());
    figment = figment.merge(Named(
        Env::prefixed(&prefix).split("__"),
        format!("environment, {prefix}…"),
    ));
    for assignment in assignments {
        // The assignment is left out of the source's name, because it may set a secret.
        figment = figment.merge(Named(Toml::string(&as_toml(assignment)?), "--set".to_owned()));
    }
    figment.extract().map_err(|error| LoadError::Value(faults(error)))
}

/// Text that is never shown in logs or errors.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A value that is not text is refused without repeating it: environment values are read as TOML, and a password may
/// look like a number.
impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Value {
            Text(String),
            Other(IgnoredAny),
        }
        match Value::deserialize(deserializer)? {
            Value::Text(text) => Ok(Self(text)),
            Value::Other(_) => Err(D::Error::custom(
                "a secret that looks like a number, a boolean or a list must be in double quotes that are part of the \
                 value, or in a file",
            )),
        }
    }
}

/// Only for the defaults of a configuration struct, which hold no secrets.
impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(if self.0.is_empty() { "" } else { "***" })
    }
}

/// The text of the file that `setting` names.
///
/// # Errors
/// [`LoadError::Named`] if it cannot be read.
pub fn read(setting: &'static str, path: &Path) -> Result<String, LoadError> {
    std::fs::read_to_string(path).map_err(|source| LoadError::Named {
        setting,
        path: path.to_owned(),
        source,
    })
}

/// The secret in the file that `setting` names, without trailing line ends.
///
/// # Errors
/// [`LoadError::Named`] if it cannot be read.
pub fn read_secret(setting: &'static str, path: &Path) -> Result<String, LoadError> {
    read(setting, path).map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
}

/// A provider with a name for its values' source.
struct Named<P>(P, String);

impl<P: Provider> Provider for Named<P> {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.1.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        self.0.data()
    }
}

/// Each fault as `setting (source): what`.
fn faults(error: figment::Error) -> String {
    let fault = |fault: figment::Error| {
        let origin = fault
            .metadata
            .map(|metadata| metadata.name.into_owned())
            .unwrap_or_default();
        match fault.path.is_empty() {
            true => format!("{origin}: {}", fault.kind),
            false => format!("{} ({origin}): {}", fault.path.join(".").to_lowercase(), fault.kind),
        }
    };
    error.into_iter().map(fault).collect::<Vec<_>>().join("; ")
}

/// `a.b=c` as TOML: the value as it is if it is valid TOML, else as a string.
fn as_toml(assignment: &str) -> Result<String, LoadError> {
    let (key, value) = assignment
        .split_once('=')
        .ok_or_else(|| LoadError::Set(assignment.to_owned()))?;
    let literal = format!("{key} = {value}");
    let is_toml = Figment::from(Toml::string(&literal)).extract::<Dict>().is_ok();
    let quoted = serde_json::Value::from(value); // a JSON string is a TOML basic string
    Ok(if is_toml { literal } else { format!("{key} = {quoted}") })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Config {
        batch: Batch,
    }

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Batch {
        rows_max: u32,
        name: String,
    }

    fn of(text: &str, assignments: &[&str]) -> Result<Config, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        let assignments: Vec<String> = assignments.iter().map(ToString::to_string).collect();
        let path = file.path().display().to_string();
        load("configtest", Some(file.path()), &assignments).map_err(|error| error.to_string().replace(&path, "FILE"))
    }

    #[test]
    fn a_flag_wins_over_the_file_and_a_value_that_is_no_toml_is_a_text() {
        let config = of(
            "[batch]\nrows_max = 3\nname = 'a'",
            &["batch.name=b c", "batch.name=host:9092"],
        )
        .unwrap();
        assert_eq!((config.batch.rows_max, config.batch.name.as_str()), (3, "host:9092"));
    }

    #[test]
    fn what_does_not_fit_is_named_with_its_place() {
        assert_eq!(
            of("[batch]\nrows_max = 'x'", &[]).unwrap_err(),
            "batch.rows_max (--config FILE): invalid type: found string \"x\", expected u32"
        );
        assert_eq!(
            of("", &["batch.rows_max=x"]).unwrap_err(),
            "batch.rows_max (--set): invalid type: found string \"x\", expected u32"
        );
        let unknown = of("", &["batch.rowz=1"]).unwrap_err();
        assert!(unknown.starts_with("batch.rowz (--set): unknown field"), "{unknown}");
        let gone = of("[retention]\nmetrics_days = 30", &[]).unwrap_err();
        assert!(gone.starts_with("retention (--config FILE): unknown field"), "{gone}");
        let broken = of("[batch", &[]).unwrap_err();
        assert!(
            broken.starts_with("--config FILE: ") && broken.contains("line 1"),
            "{broken}"
        );
        assert_eq!(
            of("", &["batch"]).unwrap_err(),
            "--set batch: expected section.key=value"
        );
    }
}
