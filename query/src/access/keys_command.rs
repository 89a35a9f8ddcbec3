//! `horolog-query keys` and `access-review`: for the operator of the service, with its configuration and without a key.
//!
//! Enters: the service's configuration. Leaves: changes in the journal, which running processes follow, and their audit
//! events. This is how the first key is created, and how an administrator who lost theirs regains access: whoever can
//! write to Kafka as the service does is not bounded by keys.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, anyhow};
use chrono::{DateTime, Utc};
use ipnet::IpNet;

use crate::access::changes::{Changes, OVERLAP_DEFAULT_S, operator};
use crate::access::gate::Gate;
use crate::access::key::{Key, REQUESTS_PER_HOUR_DEFAULT};
use crate::access::new_key::NewKey;
use crate::access::review::review_of;
use crate::access::token::{KeyId, Token};
use crate::access::trail::Actor;
use crate::access::{KeyLimits, Permission, Role, TenantGrant, review_table};
use crate::api::{Problem, RequestId};
use crate::config::QueryConfig;

/// `horolog-query keys …`.
#[derive(Debug, clap::Subcommand)]
pub enum KeysCommand {
    /// Create those of the given keys that do not exist yet, each with its token in a file of its own.
    Ensure {
        /// Folder for the token files, which only their owner can read.
        #[arg(long)]
        folder: PathBuf,
        /// Requests per hour of each key.
        #[arg(long, default_value_t = REQUESTS_PER_HOUR_DEFAULT)]
        requests_per_hour: u32,
        /// NAME=ROLE:TENANT, where the tenant `*` means any: `first-admin=admin:*`.
        #[arg(required = true)]
        keys: Vec<Wanted>,
    },
    /// Create a key and print its token; it is shown only once.
    Create(CreateOptions),
    /// List all keys, without their secrets.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Replace the secret of a key and print the new token; it is shown only once.
    Rotate {
        /// Id of the key.
        id: String,
        /// How long the previous secret stays valid. Seconds.
        #[arg(long, default_value_t = OVERLAP_DEFAULT_S)]
        overlap_s: u32,
    },
    /// Give a key another end.
    Expire {
        /// Id of the key.
        id: String,
        /// When it expires, as RFC 3339.
        #[arg(long, required_unless_present = "never")]
        at: Option<DateTime<Utc>>,
        /// It does not expire.
        #[arg(long, conflicts_with = "at")]
        never: bool,
    },
    /// Revoke a key, immediately and permanently.
    Revoke {
        /// Id of the key.
        id: String,
    },
}

/// `horolog-query keys create`.
#[derive(Debug, clap::Args)]
pub struct CreateOptions {
    /// Name of the key.
    #[arg(long)]
    name: String,
    /// Role of its holder.
    #[arg(long)]
    role: Role,
    /// Tenant of its holder, or `*` for any.
    #[arg(long)]
    tenant: String,
    /// Team whose rows the key shows; can be repeated. Default: all teams.
    #[arg(long = "team")]
    teams: Vec<String>,
    /// Permission that the key grants, such as metrics:read, out of those of its role; can be repeated. Default: all of
    /// them.
    #[arg(long = "scope", value_parser = Permission::parse)]
    scopes: Vec<Permission>,
    /// Network that the key may be used from (CIDR); can be repeated. Default: any.
    #[arg(long = "address")]
    addresses: Vec<IpNet>,
    /// Requests per hour.
    #[arg(long, default_value_t = REQUESTS_PER_HOUR_DEFAULT, value_parser = clap::value_parser!(u32).range(1..))]
    requests_per_hour: u32,
    /// When the key expires, as RFC 3339. Default: never.
    #[arg(long)]
    expires_at: Option<DateTime<Utc>>,
    #[command(flatten, next_help_heading = "Limits lower than the service's")]
    limits: KeyLimits,
}

/// A key that must exist.
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
                role: Role::parse(role)?,
                tenant: TenantGrant::parse(tenant)?,
            })
        };
        wanted().ok_or_else(|| "expected NAME=ROLE:TENANT, for example first-admin=admin:*".to_owned())
    }
}

/// Runs `horolog-query keys …`.
pub async fn run(command: &KeysCommand, config: &QueryConfig) -> anyhow::Result<()> {
    let gate = Gate::open(config).await?;
    let actor = Actor {
        principal: None,
        from: None,
        user_agent: format!("horolog-query/{}", env!("CARGO_PKG_VERSION")),
        request: RequestId::new(),
    };
    let changes = Changes::new(&gate, &actor);
    match command {
        KeysCommand::Ensure {
            folder,
            requests_per_hour,
            keys,
        } => ensure(&gate, &changes, folder, *requests_per_hour, keys).await,
        KeysCommand::Create(options) => create(&changes, options).await,
        KeysCommand::List { json } => review(&gate, *json),
        KeysCommand::Rotate { id, overlap_s } => {
            let (_, token) = changes.rotate(&known(&gate, id)?, *overlap_s).await.map_err(named)?;
            println!("{}", token.expose());
            Ok(())
        }
        KeysCommand::Expire { id, at, never: _ } => {
            changes.expire(&known(&gate, id)?, *at).await.map_err(named)?;
            Ok(())
        }
        KeysCommand::Revoke { id } => {
            changes.revoke(&known(&gate, id)?).await?;
            Ok(())
        }
    }
}

/// A problem with the name of the option to change, if there is one.
fn named(problem: Problem) -> anyhow::Error {
    match problem.named_parameter() {
        Some(name) => anyhow!("{name}: {problem}"),
        None => problem.into(),
    }
}

/// Runs `horolog-query access-review`.
pub async fn access_review(is_json: bool, config: &QueryConfig) -> anyhow::Result<()> {
    review(&Gate::open(config).await?, is_json)
}

fn review(gate: &Gate, is_json: bool) -> anyhow::Result<()> {
    let report = review_of(gate, &TenantGrant::Any, Utc::now());
    println!("{}", review_table::shown(&report, is_json)?);
    Ok(())
}

async fn create(changes: &Changes<'_>, options: &CreateOptions) -> anyhow::Result<()> {
    let new = NewKey {
        name: options.name.clone(),
        role: options.role,
        tenant: TenantGrant::parse(&options.tenant).context("tenant: expected a name, or * for any")?,
        teams: options.teams.iter().cloned().collect(),
        scopes: options.scopes.iter().copied().collect(),
        addresses: options.addresses.iter().copied().collect(),
        requests_per_hour: options.requests_per_hour,
        limits: options.limits,
        expires_at: options.expires_at,
    };
    let (_, token) = changes.create(new).await.map_err(named)?;
    println!("{}", token.expose());
    Ok(())
}

async fn ensure(
    gate: &Gate,
    changes: &Changes<'_>,
    folder: &Path,
    requests_per_hour: u32,
    wanted: &[Wanted],
) -> anyhow::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("--folder {}", folder.display()))?;
    let mut made = Vec::new();
    for wanted in wanted {
        let path = folder.join(&wanted.name);
        let token = std::fs::read_to_string(&path).ok();
        let token = token.and_then(|text| Token::parse(text.trim()));
        if token.is_some_and(|token| gate.keys.get(token.id()).is_some()) {
            continue;
        }
        let (mut key, token) = Key::new(
            &wanted.name,
            wanted.role,
            wanted.tenant.clone(),
            &operator(),
            Utc::now(),
        );
        key.requests_per_hour = requests_per_hour;
        made.push((key, token, path));
    }
    let keys: Vec<Key> = made.iter().map(|(key, ..)| key.clone()).collect();
    changes.add(&keys).await?;
    for (key, token, path) in made {
        write(&path, token.expose())?;
        println!("{}: {}, tenant {}", path.display(), key.role, key.tenant.as_str());
    }
    Ok(())
}

/// Replaces a file atomically; only its owner can read it.
fn write(path: &Path, token: &str) -> anyhow::Result<()> {
    let incoming = path.with_extension("incoming");
    let written = || -> std::io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&incoming)?;
        writeln!(file, "{token}")?;
        file.sync_all()?;
        std::fs::rename(&incoming, path)
    };
    written().with_context(|| format!("cannot write {}", path.display()))
}

fn known(gate: &Gate, id: &str) -> anyhow::Result<Key> {
    let key = KeyId::parse(id).and_then(|id| gate.keys.get(&id));
    let key = key.with_context(|| format!("{id}: there is no such key; `horolog-query keys list` shows them"))?;
    Ok(Key::clone(&key))
}
