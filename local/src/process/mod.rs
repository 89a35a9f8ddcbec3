//! A child process: started with its output in a log file, ended within a deadline, gone when we are.
//!
//! Enters: a [`Launch`]. Leaves: a [`Process`] that can be signalled, waited for and killed by its id.
//! Guarantees: a child never outlives the process that started it, not even when that one is killed with SIGKILL (see
//! [`hold`]); a dropped `Process` is killed and reaped. Never does: restart anything; that is the supervisor's.

pub mod hold;
mod identity;
mod spawner;
mod tail;

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

pub use identity::Identity;
pub use nix::sys::signal::Signal;
pub use tail::tail;

/// How often a stopping process is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// What to start.
#[derive(Debug, Clone)]
pub struct Launch {
    /// Name for people: `broker`, `horolog-ingest`.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Added to the environment it inherits.
    pub env: Vec<(String, OsString)>,
    /// The folder it runs in; ours by default.
    pub folder: Option<PathBuf>,
    /// Its output is appended here.
    pub log: PathBuf,
}

/// Why a process could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The log cannot be written.
    #[error("cannot write the log {path}: {source}")]
    Log {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The program cannot be started.
    #[error("cannot start {name} ({program}): {source}")]
    Start {
        /// Its name.
        name: String,
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Launch {
    /// A program without arguments or environment of its own.
    pub fn new(name: impl Into<String>, program: impl Into<PathBuf>, log: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            folder: None,
            log: log.into(),
        }
    }

    /// Adds an argument.
    pub fn arg(mut self, value: impl Into<OsString>) -> Self {
        self.args.push(value.into());
        self
    }

    /// Adds a variable to the environment.
    pub fn env(mut self, key: impl Into<String>, value: impl Into<OsString>) -> Self {
        self.env.push((key.into(), value.into()));
        self
    }

    /// Starts it. `horolog` is the binary of this crate, which ties the child's life to ours.
    pub fn start(&self, horolog: &Path) -> Result<Process, LaunchError> {
        let log = self.open_log()?;
        let errors = log.try_clone().map_err(|source| LaunchError::Log {
            path: self.log.clone(),
            source,
        })?;
        let start_error = |program: &Path| {
            let (name, program) = (self.name.clone(), program.to_owned());
            move |source| LaunchError::Start { name, program, source }
        };
        // `hold` execs the program, so a missing one would only show in the log.
        std::fs::metadata(&self.program).map_err(start_error(&self.program))?;
        let mut command = Command::new(horolog);
        hold::arguments(&mut command, &self.program, &self.args);
        command
            .envs(self.env.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors);
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        // A process group of its own: Ctrl-C in the terminal reaches only us, and we stop the children in order.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = spawner::spawn(command).map_err(start_error(horolog))?;
        Ok(Process {
            identity: Identity::of_child(&child),
            child,
            status: None,
            name: self.name.clone(),
            log: self.log.clone(),
        })
    }

    fn open_log(&self) -> Result<File, LaunchError> {
        let open = || {
            if let Some(folder) = self.log.parent() {
                std::fs::create_dir_all(folder)?;
            }
            OpenOptions::new().create(true).append(true).open(&self.log)
        };
        open().map_err(|source| LaunchError::Log {
            path: self.log.clone(),
            source,
        })
    }
}

/// A child process.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    identity: Identity,
    child: Child,
    status: Option<ExitStatus>,
}

impl Process {
    /// Its name for people.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.identity.pid
    }

    /// Process id and start time: what tells it from a later process with the same id.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Where its output goes.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// How it ended, or `None` while it runs.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().ok().flatten();
        }
        self.status
    }

    /// Sends a signal; nothing when it has ended.
    pub fn signal(&mut self, signal: Signal) {
        if self.exited().is_none() {
            // A process that ends in between is our zombie until we wait, so the id cannot belong to another.
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid()), signal);
        }
    }

    /// Kills it and waits until it is gone.
    pub fn kill(&mut self) {
        if self.exited().is_none() {
            let _ = self.child.kill();
            self.status = self.child.wait().ok();
        }
    }

    /// Waits until it has ended by itself.
    pub fn wait(&mut self, deadline: Duration) -> Option<ExitStatus> {
        let end = Instant::now() + deadline;
        while self.exited().is_none() && Instant::now() < end {
            std::thread::sleep(POLL_INTERVAL);
        }
        self.exited()
    }

    /// Asks it to stop, and kills it when it has not done so within the deadline. True when it stopped by itself.
    pub fn stop(&mut self, deadline: Duration) -> bool {
        self.signal(Signal::SIGTERM);
        let stopped = self.wait(deadline).is_some();
        self.kill();
        stopped
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
