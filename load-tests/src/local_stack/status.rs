//! What `horolog status --json` says of a stack: its addresses and processes.

use std::path::PathBuf;

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::process::Process;
use crate::store::Store;

/// The name of the process that starts the others.
const SUPERVISOR: &str = "supervisor";

/// The output of `horolog status --json`.
#[derive(Debug, Clone, Deserialize)]
pub struct Status {
    supervisor: Supervisor,
    /// The query API.
    pub query: Query,
    clickhouse: ClickHouse,
    /// The broker.
    pub kafka: Kafka,
    processes: Vec<Part>,
}

#[derive(Debug, Clone, Deserialize)]
struct Supervisor {
    pid: i32,
    started: u64,
}

/// The query API.
#[derive(Debug, Clone, Deserialize)]
pub struct Query {
    /// `http://host:port`.
    pub url: String,
    /// Folder with the initial keys, one file per key name.
    pub keys: PathBuf,
}

/// The broker's address.
#[derive(Debug, Clone, Deserialize)]
pub struct Kafka {
    /// `host:port`.
    pub bootstrap: String,
}

#[derive(Debug, Clone, Deserialize)]
struct ClickHouse {
    url: String,
    user: String,
    database: String,
    password_file: PathBuf,
}

#[derive(Debug, Clone, Deserialize)]
struct Part {
    name: String,
    pid: Option<i32>,
    started: Option<u64>,
    address: Option<String>,
}

impl Status {
    /// The processes, the supervisor first. An error for each one that does not run.
    pub(super) fn processes(&self) -> impl Iterator<Item = anyhow::Result<Process>> {
        let Supervisor { pid, started } = self.supervisor;
        let supervisor = Process {
            name: SUPERVISOR.to_owned(),
            pid,
            started,
        };
        let parts = self.processes.iter().map(|part| {
            let (Some(pid), Some(started)) = (part.pid, part.started) else {
                bail!("{} is not running", part.name)
            };
            Ok(Process {
                name: part.name.clone(),
                pid,
                started,
            })
        });
        std::iter::once(Ok(supervisor)).chain(parts)
    }

    /// The address that a process listens on.
    pub(super) fn address(&self, name: &str) -> anyhow::Result<&str> {
        let part = self.processes.iter().find(|part| part.name == name);
        let address = part.and_then(|part| part.address.as_deref());
        address.with_context(|| format!("`horolog status` lists no address of {name}"))
    }

    /// The store.
    pub(super) fn store(&self) -> anyhow::Result<Store> {
        let ClickHouse {
            url, user, database, ..
        } = &self.clickhouse;
        Ok(Store::new(url, user, &self.clickhouse_password()?, database))
    }

    /// The store's HTTP address.
    pub fn clickhouse_url(&self) -> String {
        self.clickhouse.url.clone()
    }

    /// The store's password.
    pub fn clickhouse_password(&self) -> anyhow::Result<String> {
        let file = &self.clickhouse.password_file;
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        Ok(text.trim_end().to_owned())
    }
}
