//! A stack of its own for one test, and what can be asked of it.

use std::path::PathBuf;
use std::process::{Command, Output};

use horolog_local::process::Identity;
use horolog_local::stack::Ports;
use serde_json::Value;

use crate::bed::{HOROLOG, http};

/// A stack of its own for one test, gone at the end.
pub(crate) struct Stack {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) ports: Ports,
}

impl Stack {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        Self {
            folder,
            ports: Ports::free().unwrap(),
        }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("données, 2026") // paths reach programs whole
    }

    pub(crate) fn horolog(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(HOROLOG);
        command
            .args(args)
            .arg("--data")
            .arg(self.data())
            .env("HOROLOG_AGGREGATE__VERIFY__INTERVAL_S", "5")
            .env("http_proxy", "http://127.0.0.1:1"); // a company's proxy, say: the stack is not reached through it
        command
    }

    pub(crate) fn up(&self, args: &[&str]) -> Output {
        let mut up = self.command(&["up", "--detach"]);
        up.args(args).args(self.port_flags()).output().unwrap()
    }

    pub(crate) fn port_flags(&self) -> [String; 6] {
        [
            format!("--port-kafka={}", self.ports.kafka),
            format!("--port-kafka-controller={}", self.ports.kafka_controller),
            format!("--port-clickhouse={}", self.ports.clickhouse),
            format!("--port-query={}", self.ports.query),
            format!("--port-ingest={}", self.ports.ingest),
            format!("--port-aggregate={}", self.ports.aggregate),
        ]
    }

    pub(crate) fn status(&self) -> Value {
        serde_json::from_slice(&self.horolog(&["status", "--json"]).stdout).unwrap()
    }

    /// All rows of a query, as text.
    pub(crate) fn sql(&self, query: &str) -> String {
        let password = std::fs::read_to_string(self.data().join("clickhouse-password")).unwrap();
        let url = format!("http://127.0.0.1:{}/?database=horolog", self.ports.clickhouse);
        block_on(async {
            let request = http()
                .post(url)
                .basic_auth("default", Some(password))
                .body(query.to_owned());
            request.send().await.unwrap().text().await.unwrap().trim().to_owned()
        })
    }

    pub(crate) fn identities(&self) -> Vec<Identity> {
        let status = self.status();
        let mut all: Vec<Identity> = status["processes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|process| identity(process).unwrap())
            .collect();
        all.push(serde_json::from_value(status["supervisor"].clone()).unwrap());
        all
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", text(&self.horolog(&["logs"])));
        }
        self.horolog(&["wipe", "--yes"]);
    }
}

pub(crate) fn identity(process: &Value) -> Option<Identity> {
    let pid = i32::try_from(process["pid"].as_i64()?).ok()?;
    Some(Identity {
        pid,
        started: process["started"].as_u64()?,
    })
}

pub(crate) fn process<'a>(status: &'a Value, name: &str) -> &'a Value {
    let processes = status["processes"].as_array().unwrap();
    processes
        .iter()
        .find(|process| process["name"] == name)
        .unwrap_or_else(|| panic!("no {name} in {status}"))
}

pub(crate) fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[track_caller]
pub(crate) fn succeeds(output: &Output) {
    assert!(output.status.success(), "{}\n{}", output.status, text(output));
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(future)
}
