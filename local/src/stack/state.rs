//! What the supervisor says about its stack: a file in the data folder, replaced as a whole at each change.
//!
//! It is what `status`, `down` and scripts read. Whether it is still true is told by the folder's lock: a killed
//! supervisor could not write that it ended.

use std::path::PathBuf;

use horolog_schemas::migrate::Retention;
use serde::{Deserialize, Serialize};

use crate::process::Identity;

use super::folder::DataFolder;

/// How far a stack is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Parts are being started.
    Starting,
    /// Everything was ready once, and dead processes are restarted.
    Ready,
    /// Parts are being stopped.
    Stopping,
    /// Stopped on request.
    Stopped,
    /// Could not start; `reason` says why.
    Failed,
}

/// How one process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProcessPhase {
    /// Started, and has not been ready yet.
    Starting,
    /// Says that it does its work.
    Ready,
    /// Runs, and says that it cannot do its work now.
    NotReady,
    /// Has ended, and will be started again.
    Restarting,
    /// Stopped on request.
    Stopped,
}

/// One process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessState {
    /// Its name, which is also the name of its log.
    pub name: String,
    /// Its process id while it runs.
    pub pid: Option<i32>,
    /// When it started, in clock ticks since boot.
    pub started: Option<u64>,
    /// How it is.
    pub state: ProcessPhase,
    /// Why it is not ready, once it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Where it listens.
    pub address: Option<String>,
    /// How often it was started again.
    pub restarts: u32,
    /// Its log.
    pub log: PathBuf,
}

/// How to reach the query API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryAddress {
    /// `http://127.0.0.1:port`.
    pub url: String,
    /// Folder with the first keys, each in a file of its name.
    pub keys: PathBuf,
}

/// How to reach the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClickHouseAddress {
    /// `http://127.0.0.1:port`.
    pub url: String,
    /// The user.
    pub user: String,
    /// The database of the tables.
    pub database: String,
    /// File with the password.
    pub password_file: PathBuf,
}

/// How to reach the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KafkaAddress {
    /// `host:port`.
    pub bootstrap: String,
}

/// A whole stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackState {
    /// How far it is.
    pub state: Phase,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The data folder.
    pub data: PathBuf,
    /// The supervisor.
    pub supervisor: Identity,
    /// By what age data is deleted, if at all.
    #[serde(default)]
    pub retention: Retention,
    /// The query API.
    pub query: QueryAddress,
    /// The store.
    pub clickhouse: ClickHouseAddress,
    /// The log.
    pub kafka: KafkaAddress,
    /// All processes, in the order in which they were started.
    pub processes: Vec<ProcessState>,
}

impl ProcessState {
    /// The process, if it is recorded as running.
    fn identity(&self) -> Option<Identity> {
        Some(Identity {
            pid: self.pid?,
            started: self.started?,
        })
    }
}

impl StackState {
    /// What was written last into this folder.
    pub fn read(folder: &DataFolder) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(folder.state()).ok()?).ok()
    }

    /// The current state: what was written last, or stopped if its writer is gone.
    pub fn current(folder: &DataFolder) -> Option<Self> {
        let mut state = Self::read(folder)?;
        let over = matches!(state.state, Phase::Stopped | Phase::Failed);
        if !over && !folder.is_locked() {
            state.state = Phase::Stopped;
            for process in &mut state.processes {
                (process.state, process.pid, process.started) = (ProcessPhase::Stopped, None, None);
            }
        }
        // On a full disk the supervisor cannot record what became of its processes.
        for process in &mut state.processes {
            let Some(identity) = process.identity() else { continue };
            if !identity.is_alive() {
                (process.state, process.pid, process.started) = (ProcessPhase::Restarting, None, None);
                process.reason = Some(
                    "it has ended, and the state file does not say so yet: if that lasts, is the disk full?".to_owned(),
                );
            }
        }
        Some(state)
    }

    /// Replaces what is in the folder.
    pub fn write(&self, folder: &DataFolder) -> std::io::Result<()> {
        let incoming = folder.state().with_extension("incoming");
        std::fs::write(&incoming, serde_json::to_vec_pretty(self)?)?;
        std::fs::rename(incoming, folder.state())
    }

    /// The processes that are recorded as running.
    pub fn identities(&self) -> impl Iterator<Item = Identity> + '_ {
        self.processes.iter().filter_map(ProcessState::identity)
    }
}
