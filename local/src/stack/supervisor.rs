//! Keeps the parts running: starts them and waits for their readiness, restarts the dead, stops all in reverse order.
//!
//! Enters: parts. Leaves: the state file after each change, and a line for people about each death and restart. Guarantees: a
//! part that was ready once is restarted for as long as it takes, with back-off; a stop has a deadline for each part and then
//! kills by process id. Never does: restart a part whose *first* start fails; that is reported with the end of its log.

use std::time::{Duration, Instant};

use crate::process::{LaunchError, Process, Signal, tail};

use super::folder::DataFolder;
use super::log_files;
use super::part::{Part, Supervised};
use super::screen::say;
use super::state::{Phase, ProcessPhase, ProcessState, StackState};
use super::stop::StopRequest;

/// How often the processes are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(150);
/// How often a running part is asked whether it is ready.
const PROBE_INTERVAL: Duration = Duration::from_secs(3);
/// Lines of a log that are shown with a failure.
const LOG_LINES: usize = 20;

/// Why the stack is not up.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A program cannot be started at all.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// A part ended before it was ready.
    #[error("{name} ended before it was ready ({status}); the end of {log}:\n{lines}")]
    Ended {
        /// The part.
        name: String,
        /// How it ended.
        status: String,
        /// Its log.
        log: String,
        /// The end of it.
        lines: String,
    },
    /// A part was not ready in time.
    #[error("{name} was not ready after {seconds} s: {reason}; the end of {log}:\n{lines}")]
    Deadline {
        /// The part.
        name: String,
        /// How long it was waited for.
        seconds: u64,
        /// What it said last.
        reason: String,
        /// Its log.
        log: String,
        /// The end of it.
        lines: String,
    },
    /// Somebody asked to stop meanwhile.
    #[error("stopped before everything was ready")]
    Interrupted,
}

/// The parts of a running stack.
pub(super) struct Supervisor {
    folder: DataFolder,
    horolog: std::path::PathBuf,
    http: reqwest::Client,
    parts: Vec<Supervised>,
    state: StackState,
    probed: Instant,
}

impl Supervisor {
    pub(super) fn new(
        folder: DataFolder,
        horolog: std::path::PathBuf,
        http: reqwest::Client,
        state: StackState,
    ) -> Self {
        let supervisor = Self {
            folder,
            horolog,
            http,
            parts: Vec::new(),
            state,
            probed: Instant::now(),
        };
        supervisor.publish();
        supervisor
    }

    /// Starts parts at the same time and waits until all are ready.
    pub(super) async fn start(&mut self, parts: Vec<Part>, stop: &StopRequest) -> Result<(), StartError> {
        let first = self.parts.len();
        for part in parts {
            let process = part.launch.start(&self.horolog)?;
            self.parts.push(Supervised::new(part, process));
        }
        self.publish();
        let begun = Instant::now();
        while let Some(index) = (first..self.parts.len()).find(|&index| self.parts[index].phase != ProcessPhase::Ready)
        {
            if stop.is_requested() {
                return Err(StartError::Interrupted);
            }
            self.tend(first);
            let waiting = &mut self.parts[index];
            if let Some(status) = waiting.process.as_mut().and_then(Process::exited) {
                return Err(ended(&waiting.part, status.to_string()));
            }
            let Err(reason) = waiting.part.probe(&self.http).await else {
                waiting.note(Ok(()), Instant::now());
                self.publish();
                continue;
            };
            if begun.elapsed() > waiting.part.ready_deadline {
                return Err(late(&waiting.part, reason));
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        Ok(())
    }

    /// Runs a program to its end, within its deadline for being ready.
    pub(super) async fn complete(&mut self, task: &Part, stop: &StopRequest) -> Result<(), StartError> {
        let mut process = task.launch.start(&self.horolog)?;
        let begun = Instant::now();
        loop {
            match process.exited() {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(ended(task, status.to_string())),
                None if stop.is_requested() => return Err(StartError::Interrupted),
                None if begun.elapsed() > task.ready_deadline => {
                    return Err(late(task, "it is still running".to_owned()));
                }
                None => tokio::time::sleep(LOOK_INTERVAL).await,
            }
            self.tend(self.parts.len());
        }
    }

    /// Marks the stack as up.
    pub(super) fn all_ready(&mut self) {
        self.state.state = Phase::Ready;
        self.publish();
    }

    /// Tends the processes for one interval.
    pub(super) async fn turn(&mut self) {
        self.tend(self.parts.len());
        if self.probed.elapsed() >= PROBE_INTERVAL {
            self.probe_all().await;
            if let Err(error) = log_files::cut(&self.folder) {
                say(&format!("cannot truncate a log: {error}"));
            }
            self.probed = Instant::now();
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }

    /// Stops all in reverse order, and records the reason in the state file.
    pub(super) async fn stop(&mut self, stop: &StopRequest, phase: Phase, reason: Option<String>) {
        self.state.state = Phase::Stopping;
        self.publish();
        for index in (0..self.parts.len()).rev() {
            self.stop_part(index, stop).await;
            self.publish();
        }
        (self.state.state, self.state.reason) = (phase, reason);
        self.publish();
    }

    pub(super) fn state(&self) -> &StackState {
        &self.state
    }

    async fn stop_part(&mut self, index: usize, stop: &StopRequest) {
        let supervised = &mut self.parts[index];
        supervised.phase = ProcessPhase::Stopped;
        let Some(mut process) = supervised.process.take() else {
            return;
        };
        process.signal(Signal::SIGTERM);
        let end = Instant::now() + supervised.part.stop_deadline;
        while process.exited().is_none() && Instant::now() < end && !stop.is_urgent() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if process.exited().is_none() {
            say(&format!(
                "{} did not stop in time; killing it",
                supervised.part.launch.name
            ));
            process.kill();
        }
    }

    /// Restarts the dead among the first `count` parts.
    fn tend(&mut self, count: usize) {
        let mut changed = false;
        for supervised in &mut self.parts[..count] {
            let now = Instant::now();
            if let Some((status, pause)) = supervised.notice_end(now, rand::random()) {
                changed = true;
                let seconds = pause.as_secs_f64();
                say(&format!(
                    "{} ended ({status}); starting it again in {seconds:.1} s",
                    supervised.name()
                ));
            }
            if supervised.is_due(now) {
                changed = true;
                match supervised.part.launch.start(&self.horolog) {
                    Ok(process) => supervised.restarted(process),
                    Err(error) => {
                        let pause = supervised.schedule(now, rand::random());
                        say(&format!("{error}; trying again in {:.1} s", pause.as_secs_f64()));
                    }
                }
            }
        }
        if changed {
            self.publish();
        }
    }

    async fn probe_all(&mut self) {
        let http = &self.http;
        let probes = self.parts.iter().map(|supervised| supervised.part.probe(http));
        let answers = futures_util::future::join_all(probes).await;
        let mut changed = false;
        for (supervised, answer) in self.parts.iter_mut().zip(answers) {
            let runs = supervised
                .process
                .as_mut()
                .is_some_and(|process| process.exited().is_none());
            let before = supervised.state();
            if runs && supervised.note(answer, Instant::now()) {
                let ProcessState { name, reason, .. } = supervised.state();
                match reason {
                    None => say(&format!("{name} is ready")),
                    Some(reason) => say(&format!("{name} is not ready: {reason}")),
                }
            }
            changed |= supervised.state() != before;
        }
        if changed {
            self.publish();
        }
    }

    fn publish(&self) {
        let processes = self.parts.iter().map(Supervised::state).collect();
        let state = StackState {
            processes,
            ..self.state.clone()
        };
        if let Err(error) = state.write(&self.folder) {
            say(&format!("cannot write {}: {error}", self.folder.state().display()));
        }
    }
}

fn ended(part: &Part, status: String) -> StartError {
    let (name, log, lines) = evidence(part);
    StartError::Ended {
        name,
        status,
        log,
        lines,
    }
}

fn late(part: &Part, reason: String) -> StartError {
    let (name, log, lines) = evidence(part);
    StartError::Deadline {
        name,
        seconds: part.ready_deadline.as_secs(),
        reason,
        log,
        lines,
    }
}

fn evidence(part: &Part) -> (String, String, String) {
    let log = &part.launch.log;
    (
        part.launch.name.clone(),
        log.display().to_string(),
        tail(log, LOG_LINES).join("\n"),
    )
}
