//! `horolog engine`: ClickHouse's HTTP interface over the embedded engine (libchdb), for one machine.
//!
//! Enters: HTTP requests on loopback. Leaves: what a ClickHouse server would answer, so that services, the `clickhouse`
//! crate and curl see no difference. The path of a request: [`server`] authenticates and admits it, [`request`] and
//! [`settings`] read and check it, [`execute`] runs it on a thread with a connection of the [`pool`], fed by [`body`],
//! answering through [`reply`]. [`ffi`] is the only module that talks to the library.
//!
//! Where it differs from a server: one user, no sessions, no roles, no external tables; `query_id` is echoed but the engine
//! does not know it (mark statements with `log_comment`); SQL reaches neither files nor the network.

mod auth;
mod blocks;
mod body;
mod config;
mod encoding;
mod exception;
mod execute;
mod ffi;
mod file_calls;
mod folder;
mod format;
mod pool;
mod reply;
mod request;
mod running;
mod server;
mod settings;
mod statement;
mod tokens;

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use horolog_schemas::Termination;
use horolog_stage::config::TelemetryConfig;
use tokio::sync::{Semaphore, watch};

use auth::Password;
use ffi::Library;
use folder::DataFolder;
use pool::Pool;
use server::Front;
use settings::Whitelist;

/// What the engine needs before the first statement.
pub(crate) const MEMORY_BYTES_MIN: u64 = 256 << 20;
/// The engine's parser and analyzer run on our threads and expect a main thread's stack.
const STACK_BYTES: usize = 8 << 20;

/// Options of `horolog engine`.
#[derive(Debug, clap::Args)]
pub struct EngineOptions {
    /// The engine's library, libchdb.so, as `horolog up` installs it.
    #[arg(long, value_name = "FILE", env = crate::setup::ENGINE_LIBRARY_VARIABLE)]
    pub library: PathBuf,
    /// Folder with all of the engine's data; made if it does not exist.
    #[arg(long, value_name = "FOLDER")]
    pub data: PathBuf,
    /// Where to listen; loopback only.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8123")]
    pub listen: SocketAddr,
    /// File with the password of the user `default`.
    #[arg(long, value_name = "FILE")]
    pub password_file: PathBuf,
    /// Memory that the engine may use for statements, merges and caches.
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 30)]
    pub memory_bytes: u64,
    /// Statements that run at the same time; further ones wait.
    #[arg(long, value_name = "COUNT", default_value_t = 64)]
    pub statements_max: usize,
    /// A request whose body stalls for this long is given up; an insert then leaves no row.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub receive_timeout_seconds: u64,
    /// How long running statements may go on after SIGTERM.
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    pub shutdown_seconds: u64,
    /// What is logged, as in `info,horolog_local=debug`.
    #[arg(long, value_name = "FILTER", default_value = "info")]
    pub log: String,
}

/// Serves until SIGTERM or SIGINT, then closes the engine.
pub fn run(options: EngineOptions) -> anyhow::Result<()> {
    horolog_stage::telemetry::init(&TelemetryConfig {
        log: options.log.clone(),
        ..TelemetryConfig::default()
    })?;
    let password = read_password(&options.password_file)?;
    ensure!(options.statements_max > 0, "--statements-max must be at least 1");
    ensure!(
        options.memory_bytes >= MEMORY_BYTES_MIN,
        "--memory-bytes {} is too small: the engine needs {MEMORY_BYTES_MIN}",
        options.memory_bytes
    );
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(2)
        .thread_stack_size(STACK_BYTES)
        .max_blocking_threads(options.statements_max.saturating_add(2))
        .build()?;
    runtime.block_on(start(options, password))
}

async fn start(options: EngineOptions, password: Password) -> anyhow::Result<()> {
    // Before the engine starts, so that a signal in between is not lost.
    let mut termination = Termination::listen()?;
    let listener = server::bind(options.listen).await?;
    let address = listener.local_addr()?;
    let folder = DataFolder::open(&options.data)?;
    let front = Arc::new(open(&options, &folder, password)?);
    let reaper = Arc::clone(&front);
    std::thread::Builder::new()
        .name("reaper".to_owned())
        .spawn(move || reaper.running.reap(&reaper.pool))?;
    writeln!(std::io::stdout(), "listening on http://{address}")?;
    std::io::stdout().flush()?;
    tracing::info!(%address, engine = front.version, data = %options.data.display(), "engine ready");
    let stop = async move {
        termination.requested().await;
        tracing::info!("engine stopping");
    };
    server::serve(
        Arc::clone(&front),
        listener,
        stop,
        Duration::from_secs(options.shutdown_seconds),
    )
    .await;
    close(&front).await;
    Ok(())
}

fn open(options: &EngineOptions, folder: &DataFolder, password: Password) -> anyhow::Result<Front> {
    let library = Library::load(&options.library)
        .with_context(|| format!("cannot load the engine, --library {}", options.library.display()))?;
    let arguments = folder.configure(options.memory_bytes)?;
    let pool = Pool::start(library, arguments)
        .with_context(|| format!("the engine did not start: see {}", folder.log().display()))?;
    let ask = |sql: &str| {
        pool.control(sql, "TSVRaw")
            .map(|answer| String::from_utf8_lossy(&answer).into_owned())
    };
    let known = ask("select arrayJoin([name, alias_for]) from system.settings")?;
    let whitelist = Whitelist::new(known.lines().filter(|name| !name.is_empty()).map(str::to_owned));
    let version = ask("select version()")?.trim().to_owned();
    Ok(Front {
        pool: Arc::new(pool),
        running: Arc::default(),
        password,
        whitelist,
        version,
        places: Arc::new(Semaphore::new(options.statements_max)),
        receive_timeout: Duration::from_secs(options.receive_timeout_seconds),
        aborted: watch::channel(false).0,
    })
}

fn read_password(file: &Path) -> anyhow::Result<Password> {
    let named = || format!("cannot read --password-file {}", file.display());
    let text = std::fs::read_to_string(file).with_context(named)?;
    ensure!(!text.trim().is_empty(), "--password-file {} is empty", file.display());
    Ok(Password::new(&text))
}

/// Waits for the last statements' threads and closes the engine. What was acknowledged is on disk already, so that an
/// engine that does not close in time loses nothing.
async fn close(front: &Arc<Front>) {
    const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
    const POLL_INTERVAL: Duration = Duration::from_millis(10);
    let pool = Arc::clone(&front.pool);
    let closed = tokio::time::timeout(CLOSE_TIMEOUT, async {
        while front.running.count() > 0 {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        tokio::task::spawn_blocking(move || pool.close()).await
    });
    match closed.await {
        Ok(Ok(())) => tracing::info!("engine closed"),
        _ => {
            // Its exit handlers would wait for the statement that does not end.
            tracing::error!("the engine did not close in time: ending the process");
            let _ = nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL);
        }
    }
}
