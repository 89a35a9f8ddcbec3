//! A test bed: the real broker and the real engine on free ports in a folder of their own, with all migrations applied.
//!
//! Enters: [`Bed::start`] (3–6 s; the tests of one program share one through [`Bed::shared`]). Leaves: clients, topics,
//! and the real binaries as processes that can be killed, paused and restarted. Guarantees: no process outlives the
//! test run, even when a test panics or is killed; a failing test prints where the logs are. Never does: anything a
//! stack does not do; broker, engine and stages are started by the code that `horolog up` uses.
//!
//! All calls block: tests are plain `#[test]` functions, and those that need a future use [`Bed::block_on`].
#![allow(dead_code, unused_imports, unreachable_pub)] // each test file uses a part of it

mod folders;
mod proc;
mod produce;
mod python;
mod seed;
mod small_disk;
mod topics;
mod wait;

use std::future::Future;
use std::path::Path;
use std::sync::{LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use horolog_local::broker;
use horolog_local::process::{Launch, Process, Signal};
use horolog_local::setup::Kit;
use horolog_local::stack::{DataFolder, Layout, Ports};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

pub use horolog_stage::clock::now_ms;
pub use proc::Proc;
pub use produce::Record;
pub use python::python;
pub use seed::seed;
pub use small_disk::SmallDisk;
pub use wait::wait_until;

/// The `horolog` binary; the others are beside it.
pub const HOROLOG: &str = env!("CARGO_BIN_EXE_horolog");
/// The keys of every bed.
const KEYS: [&str; 4] = [
    "admin=admin:*",
    "analyst=analyst:*",
    "auditor=auditor:*",
    "service=service:*",
];
/// The setting for the topic in which accesses are recorded.
pub(crate) const TRAIL_SETTING: &str = "HOROLOG_QUERY__ACCESS__AUDIT_TOPIC";
/// Where accesses are recorded: apart from the audit events of the tests, which count theirs.
pub const TRAIL_TOPIC: &str = "audit-trail";
/// How long broker, engine and migrations may take to be ready.
const START_DEADLINE: Duration = Duration::from_secs(240);

/// How long an answer may take.
const REQUEST_DEADLINE: Duration = Duration::from_secs(60);

/// The client of all requests: to make one is to read the certificates of the system, which takes longer than most
/// requests. It keeps no connection, which would be of the runtime of one bed.
pub fn http() -> &'static reqwest::Client {
    static HTTP: LazyLock<reqwest::Client> =
        LazyLock::new(|| reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap());
    &HTTP
}

/// What a bed can differ in.
#[derive(Debug, Clone)]
pub struct BedOptions {
    /// Apply the migrations. Without them there is no database `horolog`.
    pub migrate: bool,
    /// Never delete by age.
    pub keep_all: bool,
    /// Added to the environment of `horolog-migrate`.
    pub migrate_env: Vec<(String, String)>,
}

impl Default for BedOptions {
    fn default() -> Self {
        Self {
            migrate: true,
            keep_all: true,
            migrate_env: Vec::new(),
        }
    }
}

/// A broker and an engine.
pub struct Bed {
    layout: Layout,
    broker: Mutex<Process>,
    engine: Mutex<Process>,
    runtime: tokio::runtime::Runtime,
}

impl Bed {
    /// Starts one with all migrations and no deletion by age.
    pub fn start() -> Self {
        Self::start_with(&BedOptions::default())
    }

    /// The bed that all tests of a program share. Its processes end with the test run.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Bed> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Starts one.
    pub fn start_with(options: &BedOptions) -> Self {
        let folder = DataFolder::at(&folders::new_folder()).unwrap();
        folder.create().unwrap();
        folder.ensure_password().unwrap();
        folders::print_logs_on_panic(&folder.logs());
        let layout = Layout {
            horolog: HOROLOG.into(),
            programs: Path::new(HOROLOG).parent().unwrap().into(),
            kit: Kit::prepare().unwrap(),
            folder,
            ports: Ports::free().unwrap(),
            kafka_mib: 256,
            clickhouse_mib: 1024,
            keep_all: options.keep_all,
            shorten_retention: false,
        };
        let engine = start(&layout, &layout.engine());
        layout.broker().prepare().unwrap();
        let broker = start(&layout, &layout.broker().launch(layout.folder.log("broker")));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let bed = Self {
            layout,
            broker: Mutex::new(broker),
            engine: Mutex::new(engine),
            runtime,
        };
        bed.wait_for_engine();
        if options.migrate {
            bed.migrate(&options.migrate_env);
        }
        bed.wait_for_broker();
        bed.topic(TRAIL_TOPIC, 1);
        bed.make_keys();
        bed
    }

    /// Addresses, folders and how each part is started.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// `host:port` of the broker.
    pub fn kafka(&self) -> String {
        self.layout.broker().bootstrap()
    }

    /// A client of the engine, for the database `horolog`.
    pub fn clickhouse(&self) -> clickhouse::Client {
        // Without TLS, for which the system's certificates would be read each time.
        let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .build(HttpConnector::new());
        clickhouse::Client::with_http_client(http)
            .with_url(self.layout.clickhouse_url())
            .with_user("default")
            .with_password(self.password())
            .with_database("horolog")
    }

    /// The engine's password.
    pub fn password(&self) -> String {
        std::fs::read_to_string(self.layout.folder.password_file()).unwrap()
    }

    /// All rows of a query.
    pub fn sql<T>(&self, query: &str) -> Vec<T>
    where
        T: clickhouse::RowOwned + clickhouse::RowRead,
    {
        let rows = self.block_on(self.clickhouse().query(query).fetch_all::<T>());
        rows.unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    /// The one row of a query.
    pub fn one<T>(&self, query: &str) -> T
    where
        T: clickhouse::RowOwned + clickhouse::RowRead,
    {
        let row = self.block_on(self.clickhouse().query(query).fetch_one::<T>());
        row.unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    /// Runs a statement that returns nothing.
    pub fn execute(&self, statement: &str) {
        let done = self.block_on(self.clickhouse().query(statement).execute());
        done.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    /// Status and body of a GET request.
    pub fn get(&self, url: &str) -> (u16, String) {
        self.try_get(url).unwrap_or_else(|error| panic!("GET {url}: {error}"))
    }

    /// Status and body of a GET request, or why there is none.
    pub fn try_get(&self, url: &str) -> reqwest::Result<(u16, String)> {
        self.block_on(async {
            let response = http().get(url).timeout(REQUEST_DEADLINE).send().await?;
            Ok((response.status().as_u16(), response.text().await?))
        })
    }

    /// Waits for a future.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// Starts a binary of the workspace with the addresses of this bed, an HTTP port of its own, and `env` on top.
    pub fn spawn(&self, binary: &str, env: &[(&str, &str)]) -> Proc {
        Proc::start(&self.layout, binary, &[], env)
    }

    /// Likewise, with arguments: a command of the binary.
    pub fn spawn_command(&self, binary: &str, args: &[&str], env: &[(&str, &str)]) -> Proc {
        Proc::start(&self.layout, binary, args, env)
    }

    /// Runs `horolog-migrate up`; panics with its output when it fails.
    pub fn migrate(&self, env: &[(String, String)]) {
        let mut launch = self.layout.migrate();
        launch
            .env
            .extend(env.iter().map(|(key, value)| (key.clone(), value.into())));
        let mut migrate = start(&self.layout, &launch);
        let status = migrate.wait(START_DEADLINE);
        assert!(
            status.is_some_and(|status| status.success()),
            "horolog-migrate: {status:?}\n{}",
            end_of(migrate.log())
        );
    }

    /// A key for the query API: `admin`, or `analyst`, `auditor`, `service` for any tenant, which requests name.
    pub fn key(&self, name: &str) -> String {
        self.layout
            .folder
            .key(name)
            .unwrap_or_else(|| panic!("there is no key {name}"))
    }

    fn make_keys(&self) {
        let launch = self.layout.keys(&KEYS).env(TRAIL_SETTING, TRAIL_TOPIC);
        // A broker that has just started must first create its transaction topic, which may take longer than the
        // command waits.
        wait_until(START_DEADLINE, "the keys are made", || {
            let mut keys = start(&self.layout, &launch);
            let status = keys.wait(START_DEADLINE);
            let done = status.is_some_and(|status| status.success());
            if !done {
                eprintln!("horolog-query keys: {status:?}\n{}", end_of(keys.log()));
            }
            done
        });
    }

    /// Kills the broker and starts it again; returns when it answers.
    pub fn restart_broker(&self) {
        self.kill_broker();
        self.start_broker();
    }

    /// Kills the broker.
    pub fn kill_broker(&self) {
        lock(&self.broker).kill();
    }

    /// Suspends the broker.
    pub fn stop_broker(&self) {
        lock(&self.broker).signal(Signal::SIGSTOP);
    }

    /// Starts a broker that was killed; returns when it answers.
    pub fn start_broker(&self) {
        *lock(&self.broker) = start(
            &self.layout,
            &self.layout.broker().launch(self.layout.folder.log("broker")),
        );
        self.wait_for_broker();
    }

    /// Kills the engine and starts it again; returns when it answers.
    pub fn restart_engine(&self) {
        self.kill_engine();
        self.start_engine();
    }

    /// Kills the engine.
    pub fn kill_engine(&self) {
        lock(&self.engine).kill();
    }

    /// Starts an engine that was killed; returns when it answers.
    pub fn start_engine(&self) {
        *lock(&self.engine) = start(&self.layout, &self.layout.engine());
        self.wait_for_engine();
    }

    fn wait_for_broker(&self) {
        wait_until(START_DEADLINE, "the broker answers", || {
            assert_running(&mut lock(&self.broker));
            broker::is_ready(&self.kafka())
        });
    }

    fn wait_for_engine(&self) {
        let ping = format!("{}/ping", self.layout.clickhouse_url());
        wait_until(START_DEADLINE, "the engine answers", || {
            assert_running(&mut lock(&self.engine));
            self.try_get(&ping).is_ok_and(|(status, _)| status == 200)
        });
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        lock(&self.broker).kill();
        lock(&self.engine).kill();
        if !std::thread::panicking() {
            let _ = self.layout.folder.remove();
        }
    }
}

fn start(layout: &Layout, launch: &Launch) -> Process {
    launch.start(&layout.horolog).unwrap_or_else(|error| {
        panic!("{error}; are the binaries built? cargo build --release --workspace");
    })
}

fn assert_running(process: &mut Process) {
    if let Some(status) = process.exited() {
        panic!(
            "{} ended before it was ready ({status})\n{}",
            process.name(),
            end_of(process.log())
        );
    }
}

fn end_of(log: &Path) -> String {
    horolog_local::process::tail(log, 40).join("\n")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
