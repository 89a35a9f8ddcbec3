//! `horolog-query keys`: for whoever runs the service.
//!
//! `keys ensure` makes the keys that a set-up needs and puts each token into a file that its owner alone can read. What is there
//! already stays, so it can run at every start.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Context;
use chrono::Utc;
use clap::ValueEnum;

use crate::access::key::Key;
use crate::access::token::Token;
use crate::access::{Role, TenantGrant};
use crate::config::AccessConfig;

/// `horolog-query keys …`.
#[derive(Debug, clap::Subcommand)]
pub enum KeysCommand {
    /// Make the keys that are not there yet, each with its token in a file of its own.
    Ensure {
        /// Where the files are; readable by their owner alone.
        #[arg(long)]
        folder: PathBuf,
        /// NAME=ROLE:TENANT, the tenant being `*` for any: `first-admin=admin:*`.
        #[arg(required = true)]
        keys: Vec<Wanted>,
    },
}

/// A key that is to be there.
#[derive(Debug, Clone)]
pub struct Wanted {
    name: String,
    role: Role,
    tenant: TenantGrant,
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = || {
            let (name, rest) = text.split_once('=')?;
            let (role, tenant) = rest.split_once(':')?;
            let is_file_name =
                !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            is_file_name.then_some(Self {
                name: name.to_owned(),
                role: Role::from_str(role, false).ok()?,
                tenant: TenantGrant::parse(tenant)?,
            })
        };
        wanted().ok_or_else(|| "expected NAME=ROLE:TENANT, for example first-admin=admin:*".to_owned())
    }
}

/// Runs one.
pub fn run(command: &KeysCommand, config: &AccessConfig) -> anyhow::Result<()> {
    let KeysCommand::Ensure { folder, keys } = command;
    let file = config
        .keys_file
        .as_deref()
        .context("access.keys_file: say where keys are kept")?;
    let mut known = config.keys()?;
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("--folder {}", folder.display()))?;
    for wanted in keys {
        let path = folder.join(&wanted.name);
        let token = std::fs::read_to_string(&path).ok();
        let token = token.and_then(|text| Token::parse(text.trim()));
        if token.is_some_and(|token| known.iter().any(|key| key.id == *token.id())) {
            continue;
        }
        let (key, token) = Key::new(
            &wanted.name,
            wanted.role,
            wanted.tenant.clone(),
            "horolog-query keys ensure",
            Utc::now(),
        );
        known.push(key);
        write(file, &serde_json::to_vec_pretty(&known)?)?;
        write(&path, format!("{}\n", token.expose()).as_bytes())?;
    }
    Ok(())
}

/// Replaces a file as a whole, for its owner alone.
fn write(path: &Path, text: &[u8]) -> anyhow::Result<()> {
    let incoming = path.with_extension("incoming");
    let written = || -> std::io::Result<()> {
        let mut file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&incoming)?;
        file.write_all(text)?;
        file.sync_all()?;
        std::fs::rename(&incoming, path)
    };
    written().with_context(|| format!("cannot write {}", path.display()))
}
