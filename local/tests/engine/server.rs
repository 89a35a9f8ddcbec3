//! An engine of its own for a test: real binary, free port, temporary folder.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use clickhouse::Client;
use horolog_local::process::{Launch, Process, Signal};
use reqwest::{Method, RequestBuilder, StatusCode};

pub const HOROLOG: &str = env!("CARGO_BIN_EXE_horolog");
pub const PASSWORD: &str = "s3cret 'of' tests";
pub const DEADLINE: Duration = Duration::from_secs(180);

/// A running engine. Dropped, it is killed.
pub struct Engine {
    folder: PathBuf,
    process: Process,
    pub url: String,
    _temporary: Option<tempfile::TempDir>,
}

impl Engine {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    pub fn start_with(arguments: &[&str]) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let mut engine = Self::start_in(temporary.path(), arguments);
        engine._temporary = Some(temporary);
        engine
    }

    /// Starts it on a folder that outlives it.
    pub fn start_in(folder: &Path, arguments: &[&str]) -> Self {
        let before = log(folder).len();
        let mut process = launch(folder, "127.0.0.1:0", arguments);
        let until = Instant::now() + DEADLINE;
        let url = loop {
            let log = log(folder).split_off(before);
            if let Some(url) = log.lines().rev().find_map(|line| line.strip_prefix("listening on ")) {
                break url.to_owned();
            }
            assert!(
                process.exited().is_none() && Instant::now() < until,
                "the engine did not start:\n{log}"
            );
            std::thread::sleep(Duration::from_millis(20));
        };
        Self {
            folder: folder.to_owned(),
            process,
            url,
            _temporary: None,
        }
    }

    /// The official client, with validation and compression as they are by default.
    pub fn client(&self) -> Client {
        Client::default()
            .with_url(&self.url)
            .with_user("default")
            .with_password(PASSWORD)
    }

    /// A plain request with the password.
    pub fn request(&self, method: Method, parameters: &[(&str, &str)]) -> RequestBuilder {
        reqwest::Client::new()
            .request(method, self.address(parameters))
            .header("X-ClickHouse-Key", PASSWORD)
    }

    /// The front's address with URL parameters.
    pub fn address(&self, parameters: &[(&str, &str)]) -> reqwest::Url {
        reqwest::Url::parse_with_params(&self.url, parameters).unwrap()
    }

    /// Posts SQL; status and text of the answer.
    pub async fn post(&self, parameters: &[(&str, &str)], body: impl Into<reqwest::Body>) -> (StatusCode, String) {
        let response = self.request(Method::POST, parameters).body(body).send().await.unwrap();
        (response.status(), response.text().await.unwrap())
    }

    /// Runs SQL that must work.
    pub async fn sql(&self, sql: &str) -> String {
        let (status, text) = self.post(&[], sql.to_owned()).await;
        assert_eq!(status, StatusCode::OK, "{sql}: {text}");
        text.trim_end().to_owned()
    }

    /// Waits until a statement answers as wanted.
    pub async fn sql_until(&self, sql: &str, wanted: &str) {
        let until = Instant::now() + DEADLINE;
        loop {
            let answer = self.sql(sql).await;
            if answer == wanted {
                return;
            }
            assert!(
                Instant::now() < until,
                "{sql}: {answer}, not {wanted}, within {DEADLINE:?}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub fn log(&self) -> String {
        log(&self.folder)
    }

    pub fn port(&self) -> &str {
        self.url.rsplit(':').next().unwrap()
    }

    pub fn kill(mut self) {
        self.process.kill();
    }

    pub fn terminate(&mut self) {
        self.process.signal(Signal::SIGTERM);
    }

    pub fn wait(&mut self) -> ExitStatus {
        self.process.wait(DEADLINE).expect("the engine did not stop")
    }

    /// The largest resident size so far, and the present one.
    pub fn resident_bytes(&self) -> (u64, u64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.pid())).unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
        };
        (field("VmHWM:"), field("VmRSS:"))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.process.kill();
        if std::thread::panicking() {
            eprintln!("log of the engine:\n{}", self.log());
        }
    }
}

/// Starts `horolog engine` without waiting for it.
pub fn launch(folder: &Path, listen: &str, arguments: &[&str]) -> Process {
    let password_file = folder.join("password");
    std::fs::write(&password_file, format!("{PASSWORD}\n")).unwrap();
    let horolog = Path::new(HOROLOG);
    let mut launch = Launch::new("engine", horolog, folder.join("engine.out"))
        .arg("engine")
        .arg("--library")
        .arg(library())
        .arg("--data")
        .arg(folder.join("data"))
        .arg("--listen")
        .arg(listen)
        .arg("--password-file")
        .arg(password_file);
    for argument in arguments {
        launch = launch.arg(*argument);
    }
    launch.start(horolog).unwrap()
}

/// What the engines on this folder wrote so far.
pub fn log(folder: &Path) -> String {
    let mut text = String::new();
    if let Ok(mut file) = std::fs::File::open(folder.join("engine.out")) {
        file.read_to_string(&mut text).unwrap();
    }
    text
}

fn library() -> PathBuf {
    let named = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    named(horolog_local::setup::ENGINE_LIBRARY_VARIABLE).unwrap_or_else(|| {
        let cache = named("XDG_CACHE_HOME").unwrap_or_else(|| named("HOME").unwrap().join(".cache"));
        cache.join("horolog/engine-26.7.3/libchdb.so")
    })
}
