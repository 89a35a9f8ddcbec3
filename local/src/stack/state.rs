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

#[cfg(test)]
impl StackState {
    /// A stack that was ready when it was written down.
    pub(crate) fn ready(folder: &DataFolder, supervisor: Identity, processes: &[(&str, Identity)]) -> Self {
        let process = |&(name, identity): &(&str, Identity)| ProcessState {
            name: name.to_owned(),
            pid: Some(identity.pid),
            started: Some(identity.started),
            state: ProcessPhase::Ready,
            reason: None,
            address: None,
            restarts: 0,
            log: folder.log(name),
        };
        Self {
            state: Phase::Ready,
            reason: None,
            data: folder.path().to_owned(),
            supervisor,
            retention: Retention::default(),
            query: QueryAddress {
                url: String::new(),
                keys: folder.keys(),
            },
            clickhouse: ClickHouseAddress {
                url: String::new(),
                user: String::new(),
                database: String::new(),
                password_file: folder.password_file(),
            },
            kafka: KafkaAddress {
                bootstrap: String::new(),
            },
            processes: processes.iter().map(process).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// This process, and an earlier one that had its id.
    fn alive_and_gone() -> (Identity, Identity) {
        let alive = Identity::own().unwrap();
        let gone = Identity {
            started: alive.started.wrapping_sub(1),
            ..alive
        };
        (alive, gone)
    }

    #[test]
    fn a_process_that_is_gone_is_not_ready_whatever_was_written_of_it() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = DataFolder::at(temporary.path()).unwrap();
        let (alive, gone) = alive_and_gone();
        let written = StackState::ready(&folder, alive, &[("broker", alive), ("clickhouse", gone)]);
        written.write(&folder).unwrap();
        let _lock = folder.lock().unwrap();
        let current = StackState::current(&folder).unwrap();
        assert_eq!((current.state, current.processes.len()), (Phase::Ready, 2));
        assert_eq!(current.processes[0], written.processes[0]);
        let ended = &current.processes[1];
        assert_eq!((ended.state, ended.identity()), (ProcessPhase::Restarting, None));
        let reason = ended.reason.as_deref().unwrap_or_default();
        assert!(reason.contains("is the disk full?"), "{reason}");
    }

    #[test]
    fn without_its_supervisor_a_stack_is_stopped_whatever_was_written_of_it() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = DataFolder::at(temporary.path()).unwrap();
        assert_eq!(StackState::current(&folder), None);
        let (alive, gone) = alive_and_gone();
        let written = StackState::ready(&folder, gone, &[("broker", alive)]);
        written.write(&folder).unwrap();
        let current = StackState::current(&folder).unwrap();
        assert_eq!(current.state, Phase::Stopped);
        let broker = &current.processes[0];
        assert_eq!((broker.state, broker.identity()), (ProcessPhase::Stopped, None));
    }
}
