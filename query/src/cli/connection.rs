//! Where the service is, and with which key to ask: from arguments or the environment.
//!
//! Enters: arguments and variables. Leaves: a key that fits into a header, or why there is none. Arguments take
//! precedence over the environment.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use horolog_schemas::configuration::Secret;

use super::error::CliError;

/// The variables used if no key is given as an argument. Not declared to clap, which would treat them as given and
/// refuse an explicit key beside them.
const KEY_VARIABLE: &str = "HOROLOG_API_KEY";
const KEY_FILE_VARIABLE: &str = "HOROLOG_API_KEY_FILE";

/// Address of the service, and credentials.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connection")]
pub struct ConnectionArgs {
    /// URL of horolog-query
    #[arg(long, global = true, env = "HOROLOG_QUERY_URL", default_value = "http://127.0.0.1:8080", value_hint = ValueHint::Url)]
    pub url: String,
    /// API key; prefer HOROLOG_API_KEY, which other users of the machine cannot see
    #[arg(long, global = true)]
    pub key: Option<Secret>,
    /// File that contains the API key; can also be set as HOROLOG_API_KEY_FILE
    #[arg(long, global = true, conflicts_with = "key", value_hint = ValueHint::FilePath)]
    pub key_file: Option<PathBuf>,
    /// Tenant to ask about, if the key is for any tenant
    #[arg(long, global = true, env = "HOROLOG_TENANT")]
    pub tenant: Option<String>,
}

impl ConnectionArgs {
    /// The key given as an argument or in a file; else that of the environment.
    pub fn key(&self, variable: impl Fn(&'static str) -> Option<OsString>) -> Result<Option<Secret>, CliError> {
        let given = |name| variable(name).filter(|value| !value.is_empty());
        let (name, key) = match (&self.key, &self.key_file, given(KEY_VARIABLE)) {
            // One before the command and one behind it, which clap does not see together.
            (Some(_), Some(_), _) => {
                return Err(CliError::Argument {
                    name: "--key-file",
                    reason: "cannot be used with --key".to_owned(),
                });
            }
            (Some(key), ..) => ("--key", key.expose().to_owned()),
            (None, Some(path), _) => return read_key("--key-file", path).map(Some),
            (None, None, Some(key)) => (KEY_VARIABLE, key.to_string_lossy().into_owned()),
            (None, None, None) => {
                let path = given(KEY_FILE_VARIABLE).map(PathBuf::from);
                return path.map(|path| read_key(KEY_FILE_VARIABLE, &path)).transpose();
            }
        };
        let is_none = key.trim().is_empty();
        (!is_none).then(|| sendable(name, &key)).transpose()
    }
}

fn read_key(name: &'static str, path: &Path) -> Result<Secret, CliError> {
    let text = std::fs::read_to_string(path).map_err(CliError::file(path))?;
    match text.trim() {
        "" => Err(CliError::Argument {
            name,
            reason: format!("{} is empty", path.display()),
        }),
        key => sendable(name, key),
    }
}

/// A key that fits into a header; keys in files and secret stores often end in a newline.
fn sendable(name: &'static str, key: &str) -> Result<Secret, CliError> {
    let key = key.trim();
    if key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(key.to_owned().into());
    }
    Err(CliError::Argument {
        name,
        reason: "a key has only ASCII letters, digits and signs, and no spaces".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_counts_before_the_environment() {
        let folder = tempfile::tempdir().unwrap();
        let [typed, of_variable] = ["typed", "of-variable"].map(|name| {
            let path = folder.path().join(name);
            std::fs::write(&path, format!("{name}\n")).unwrap();
            path
        });
        let asked = |key: Option<&str>, key_file: Option<&PathBuf>, variables: &[(&str, &str)]| {
            let arguments = ConnectionArgs {
                url: String::new(),
                key: key.map(|key| key.to_owned().into()),
                key_file: key_file.cloned(),
                tenant: None,
            };
            let variable = |name| variables.iter().find(|(known, _)| *known == name);
            let found = arguments.key(|name| variable(name).map(|(_, value)| OsString::from(value)));
            found.map(|key| key.map(|key| key.expose().to_owned()))
        };
        let file = (KEY_FILE_VARIABLE, of_variable.to_str().unwrap());
        let both = [(KEY_VARIABLE, "k"), file];
        for (found, expected) in [
            (asked(Some("a"), None, &both), Some("a")),
            (asked(None, Some(&typed), &both), Some("typed")),
            (asked(None, None, &both), Some("k")),
            (asked(None, None, &[(KEY_VARIABLE, ""), file]), Some("of-variable")),
            (asked(Some(" "), None, &both), None),
            (asked(None, None, &[]), None),
        ] {
            assert_eq!(found.unwrap().as_deref(), expected);
        }
        assert!(asked(Some("a"), Some(&typed), &[]).is_err());
    }
}
