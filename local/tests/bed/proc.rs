//! A binary of the workspace under test: killed, paused, restarted at will.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use horolog_local::process::{Launch, Process, Signal, tail};
use horolog_local::stack::{Layout, Ports};

/// A running binary. Dropped, it is killed.
pub struct Proc {
    horolog: PathBuf,
    launch: Launch,
    process: Process,
    http: String,
}

impl Proc {
    pub(super) fn start(layout: &Layout, binary: &str, args: &[&str], env: &[(&str, &str)]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let mut launch = match binary {
            "horolog-ingest" => layout.ingest(),
            "horolog-aggregate" => layout.aggregate(),
            "horolog-query" => layout.query(),
            other => layout.program(other),
        };
        // Several of a kind may run at once: each has its own log and its own port.
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        launch.name = format!("{binary}-{number}");
        launch.log = layout.folder.log(&launch.name);
        let listen = format!("127.0.0.1:{}", Ports::free().unwrap().query);
        if let Some(section) = binary.strip_prefix("horolog-") {
            launch = launch.env(format!("HOROLOG_{}__HTTP__LISTEN", section.to_uppercase()), &listen);
        }
        if binary == "horolog-query" {
            // Each has a folder of exports of its own: it belongs to one process.
            launch.env.retain(|(name, _)| name != "HOROLOG_QUERY__EXPORTS__FOLDER");
            let folder = layout.folder.exports().join(number.to_string());
            launch = launch
                .env("HOROLOG_QUERY__EXPORTS__FOLDER", folder)
                .env(super::TRAIL_SETTING, super::TRAIL_TOPIC);
        }
        for (key, value) in env {
            launch = launch.env(*key, value);
        }
        launch.args.extend(args.iter().map(Into::into));
        let process = super::start(layout, &launch);
        Self {
            horolog: layout.horolog.clone(),
            launch,
            process,
            http: format!("http://{listen}"),
        }
    }

    /// Where it serves `/readyz` and `/metrics`.
    pub fn http(&self) -> &str {
        &self.http
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.process.pid()
    }

    /// Its log.
    pub fn log(&self) -> &Path {
        self.process.log()
    }

    /// The last lines of its log.
    pub fn log_tail(&self) -> String {
        tail(self.log(), 60).join("\n")
    }

    /// Kills it, and waits until it is gone.
    pub fn kill9(&mut self) {
        self.process.kill();
    }

    /// Asks it to stop.
    pub fn term(&mut self) {
        self.process.signal(Signal::SIGTERM);
    }

    /// Pauses it.
    pub fn stop(&mut self) {
        self.process.signal(Signal::SIGSTOP);
    }

    /// Lets a paused one go on.
    pub fn cont(&mut self) {
        self.process.signal(Signal::SIGCONT);
    }

    /// How it ended, or `None` while it runs.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.process.exited()
    }

    /// Waits until it has ended; panics when it does not within the deadline.
    #[track_caller]
    pub fn wait(&mut self, deadline: Duration) -> ExitStatus {
        let status = self.process.wait(deadline);
        status.unwrap_or_else(|| {
            panic!(
                "{} still runs after {deadline:?}\n{}",
                self.launch.name,
                self.log_tail()
            )
        })
    }

    /// Kills it and starts it again, with the same environment and log.
    pub fn restart(&mut self) {
        self.restart_with(&[]);
    }

    /// Kills it and starts it again, with variables that replace or add to the ones it had. An empty value removes nothing:
    /// to get rid of a variable, start another.
    pub fn restart_with(&mut self, env: &[(&str, &str)]) {
        self.kill9();
        for &(key, value) in env {
            self.launch.env.retain(|(name, _)| name != key);
            self.launch.env.push((key.to_owned(), value.into()));
        }
        self.process = self.launch.start(&self.horolog).unwrap();
    }

    /// Kills it and starts it again without these variables.
    pub fn restart_without(&mut self, keys: &[&str]) {
        self.kill9();
        self.launch.env.retain(|(name, _)| !keys.contains(&name.as_str()));
        self.process = self.launch.start(&self.horolog).unwrap();
    }
}
