//! One part of the stack under supervision: its process, and what is known about it.

use std::time::{Duration, Instant};

use crate::broker;
use crate::process::{Launch, Process};

use super::backoff;
use super::state::{ProcessPhase, ProcessState};

/// How long one probe may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// How a part shows that it is ready.
#[derive(Debug, Clone)]
pub(super) enum Readiness {
    /// Kafka metadata from this address.
    Broker(String),
    /// Status 200 from this address.
    Http(String),
    /// Ready as soon as it runs.
    Running,
}

/// What is to run.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub launch: Launch,
    pub address: Option<String>,
    pub readiness: Readiness,
    /// How long it may take to be ready at the first start.
    pub ready_deadline: Duration,
    /// How long it may take to stop.
    pub stop_deadline: Duration,
}

impl Part {
    /// Asks whether it is ready; the error is its answer, or why it cannot be asked.
    pub(super) async fn probe(&self, http: &reqwest::Client) -> Result<(), String> {
        match &self.readiness {
            Readiness::Running => Ok(()),
            Readiness::Broker(bootstrap) => {
                let address = bootstrap.clone();
                let ready = tokio::task::spawn_blocking(move || broker::is_ready(&address))
                    .await
                    .unwrap_or(false);
                if ready {
                    Ok(())
                } else {
                    Err(format!("no answer from {bootstrap}"))
                }
            }
            Readiness::Http(url) => {
                let response = http.get(url).timeout(PROBE_TIMEOUT).send().await;
                let response = response.map_err(|_| format!("no answer from {url}"))?;
                if response.status().is_success() {
                    return Ok(());
                }
                Err(response.text().await.unwrap_or_default().trim().to_owned())
            }
        }
    }
}

/// A part and its process.
#[derive(Debug)]
pub(super) struct Supervised {
    pub part: Part,
    pub process: Option<Process>,
    pub phase: ProcessPhase,
    /// What the last probe said when it was not ready.
    reason: Option<String>,
    restarts: u32,
    failures: u32,
    ready_since: Option<Instant>,
    restart_at: Option<Instant>,
}

impl Supervised {
    pub(super) fn new(part: Part, process: Process) -> Self {
        Self {
            part,
            process: Some(process),
            phase: ProcessPhase::Starting,
            reason: None,
            restarts: 0,
            failures: 0,
            ready_since: None,
            restart_at: None,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.part.launch.name
    }

    /// Notices that the process has ended: says how, and after which pause it is to be started again.
    pub(super) fn notice_end(&mut self, now: Instant, random: f64) -> Option<(String, Duration)> {
        let status = self.process.as_mut()?.exited()?;
        self.process = None;
        Some((status.to_string(), self.schedule(now, random)))
    }

    /// Decides when to start it again.
    pub(super) fn schedule(&mut self, now: Instant, random: f64) -> Duration {
        if self
            .ready_since
            .is_some_and(|since| now.duration_since(since) >= backoff::HEALTHY_AFTER)
        {
            self.failures = 0;
        }
        self.failures += 1;
        self.ready_since = None;
        self.phase = ProcessPhase::Restarting;
        let pause = backoff::pause(self.failures, random);
        self.restart_at = Some(now + pause);
        pause
    }

    /// Whether the pause is over.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.restart_at.is_some_and(|at| at <= now)
    }

    pub(super) fn restarted(&mut self, process: Process) {
        self.process = Some(process);
        self.phase = ProcessPhase::Starting;
        self.restart_at = None;
        self.restarts += 1;
    }

    /// Takes note of a probe's answer. True when that changes its phase.
    pub(super) fn note(&mut self, answer: Result<(), String>, now: Instant) -> bool {
        let phase = match (self.phase, &answer) {
            (ProcessPhase::Starting | ProcessPhase::NotReady | ProcessPhase::Ready, Ok(())) => ProcessPhase::Ready,
            (ProcessPhase::Ready, Err(_)) => ProcessPhase::NotReady,
            (phase, _) => phase,
        };
        self.reason = answer.err();
        if phase == ProcessPhase::Ready && self.ready_since.is_none() {
            self.ready_since = Some(now);
        }
        std::mem::replace(&mut self.phase, phase) != phase
    }

    pub(super) fn state(&self) -> ProcessState {
        let identity = self.process.as_ref().map(Process::identity);
        ProcessState {
            name: self.name().to_owned(),
            pid: identity.map(|identity| identity.pid),
            started: identity.map(|identity| identity.started),
            state: self.phase,
            reason: self.reason.clone().filter(|_| self.phase != ProcessPhase::Ready),
            address: self.part.address.clone(),
            restarts: self.restarts,
            log: self.part.launch.log.clone(),
        }
    }
}
