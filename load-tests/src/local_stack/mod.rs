//! A local stack for a measurement, started and removed with the `horolog` command as a user would.
//!
//! Enters: a folder that does not exist yet. Leaves: addresses and processes. Everything listens on free loopback
//! ports. Guarantees: [`LocalStack::remove`] leaves no process and, unless it is to be kept, no folder. Never touches a
//! folder that existed before.

mod status;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, bail};
use rand::RngExt;
use tokio::process::Command;

use crate::exposition::Exposition;
use crate::http;
use crate::process::Process;
use crate::stop::Stop;
use crate::store::Store;

pub use status::Status;

/// Below the ports that the system uses for outgoing connections.
const FREE_PORTS: RangeInclusive<u16> = 15_000..=30_000;
const PORT_FLAGS: [&str; 6] = [
    "--port-kafka",
    "--port-kafka-controller",
    "--port-clickhouse",
    "--port-query",
    "--port-ingest",
    "--port-aggregate",
];

/// The program that starts a stack, and the folder of its data.
#[derive(Debug, Clone)]
pub struct LocalStack {
    horolog: PathBuf,
    data: PathBuf,
    keep: bool,
    environment: Vec<(String, String)>,
}

/// A stack that is ready.
#[derive(Clone)]
pub struct Running {
    /// Its addresses and processes.
    pub status: Status,
    /// Its database.
    pub store: Store,
    /// An HTTP client for its addresses.
    pub http: reqwest::Client,
}

impl LocalStack {
    /// Starts nothing yet. Defaults: the `horolog` beside this program, and a temporary folder for `data`.
    pub fn new(horolog: Option<PathBuf>, data: Option<PathBuf>, keep: bool) -> anyhow::Result<Self> {
        let temporary = || std::env::temp_dir().join(format!("horolog-load-{}", std::process::id()));
        let data = std::path::absolute(data.unwrap_or_else(temporary)).context("--data")?;
        if data.exists() {
            bail!(
                "--data {}: it already exists; a measurement needs a new folder",
                data.display()
            );
        }
        Ok(Self {
            horolog: program(horolog)?,
            data,
            keep,
            environment: Vec::new(),
        })
    }

    /// A running stack, by its data folder.
    pub fn existing(horolog: Option<PathBuf>, data: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            horolog: program(horolog)?,
            data: std::path::absolute(data).context("--stack")?,
            keep: true,
            environment: Vec::new(),
        })
    }

    /// Adds settings of the stages as environment variables.
    pub fn with_environment(self, environment: &[(String, String)]) -> Self {
        Self {
            environment: environment.to_vec(),
            ..self
        }
    }

    /// Starts it and waits until everything is ready.
    pub async fn up(&self) -> anyhow::Result<Running> {
        let mut up = self.horolog("up");
        up.args(["--detach", "--no-sample"]).stdout(Stdio::null());
        for (flag, port) in PORT_FLAGS.iter().zip(free_ports(PORT_FLAGS.len())?) {
            up.arg(flag).arg(port.to_string());
        }
        let status = up.status().await.context("cannot start horolog")?;
        if !status.success() {
            bail!("`horolog up` failed ({status})");
        }
        self.running().await
    }

    /// Starts it, works with it and removes it, whatever the outcome. `None` if a stop is requested meanwhile.
    pub async fn during<T>(
        &self,
        stop: &Stop,
        work: impl AsyncFnOnce(Running) -> anyhow::Result<T>,
    ) -> anyhow::Result<Option<T>> {
        // In a task of its own, so that an interruption waits for `up`: a stack can only be stopped once it runs.
        let stack = self.clone();
        let mut starting = tokio::spawn(async move { stack.up().await });
        let outcome = tokio::select! {
            outcome = async { work((&mut starting).await??).await } => Some(outcome),
            () = stop.requested() => None,
        };
        if !starting.is_finished() {
            // The outcome no longer matters.
            let _ = starting.await;
        }
        self.remove().await;
        outcome.transpose()
    }

    /// The stack that runs in the folder.
    pub async fn running(&self) -> anyhow::Result<Running> {
        let status = self.status().await?;
        Ok(Running {
            store: status.store()?,
            status,
            http: http::builder().build()?,
        })
    }

    /// The processes that run at this moment, the supervisor first. A process that is being restarted is not included.
    pub async fn running_processes(&self) -> anyhow::Result<Vec<Process>> {
        let status = self.status().await?;
        Ok(status.processes().flatten().collect())
    }

    async fn status(&self) -> anyhow::Result<Status> {
        let output = self
            .horolog("status")
            .arg("--json")
            .stderr(Stdio::inherit())
            .output()
            .await?;
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("no stack runs in {}; `horolog up` starts one", self.data.display()))
    }

    /// Stops it and, unless it is to be kept, removes its data. Reports an error only to the user: the outcome of the
    /// measurement matters more.
    pub async fn remove(&self) {
        if let Err(error) = self.try_remove().await {
            eprintln!("{} is still there: {error:#}", self.data.display());
        }
    }

    async fn try_remove(&self) -> anyhow::Result<()> {
        if !self.data.exists() {
            return Ok(());
        }
        let verb = if self.keep { "down" } else { "wipe" };
        let agreed = (!self.keep).then_some("--yes");
        let output = self
            .horolog(verb)
            .args(agreed)
            .output()
            .await
            .context("cannot start horolog")?;
        if !output.status.success() {
            bail!(
                "`horolog {verb} --data {}` failed: {}",
                self.data.display(),
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        if self.keep {
            eprintln!("kept: {}", self.data.display());
        }
        Ok(())
    }

    /// Its data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    fn horolog(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.horolog);
        // A process group of its own: Ctrl-C reaches only this program, which then stops the stack in order.
        command
            .arg(verb)
            .arg("--data")
            .arg(&self.data)
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .process_group(0);
        command
    }
}

impl Running {
    /// All of its processes, the supervisor first. Fails if one does not run.
    pub fn processes(&self) -> anyhow::Result<Vec<Process>> {
        self.status.processes().collect()
    }

    /// The query API key that the stack provides for load tests.
    pub fn load_tester_key(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.status.query.keys.join("load-tester")).ok()?;
        Some(text.trim_end().to_owned())
    }

    /// A process by its name.
    pub fn process(&self, name: &str) -> anyhow::Result<Process> {
        let found = self.processes()?.into_iter().find(|process| process.name == name);
        found.with_context(|| format!("`horolog status` lists no process {name}"))
    }

    /// A stage's `/metrics`.
    pub async fn exposition(&self, name: &str) -> anyhow::Result<Exposition> {
        let page = self
            .http
            .get(format!("{}/metrics", self.status.address(name)?))
            .send()
            .await?
            .error_for_status()?;
        Ok(Exposition::new(page.text().await?))
    }
}

/// The path of the `horolog` command.
fn program(named: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let beside = || std::env::current_exe().map(|own| own.with_file_name("horolog"));
    let horolog = named
        .map_or_else(beside, Ok)
        .context("cannot find the path of this program")?;
    if !horolog.is_file() {
        bail!(
            "{} is missing: build it with `cargo build --release --workspace`, or name it with --horolog",
            horolog.display()
        );
    }
    Ok(horolog)
}

/// Ports that nobody listens on at this moment.
fn free_ports(count: usize) -> anyhow::Result<BTreeSet<u16>> {
    let mut random = rand::rng();
    let mut free = BTreeSet::new();
    for _ in 0..count * 100 {
        let port = random.random_range(FREE_PORTS);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            free.insert(port);
        }
        if free.len() == count {
            return Ok(free);
        }
    }
    bail!(
        "cannot find {count} free ports on loopback between {} and {}",
        FREE_PORTS.start(),
        FREE_PORTS.end()
    )
}
