//! The local stack as a user meets it: the real command, on free ports, in a folder of its own.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod bed;

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use bed::{Bed, HOROLOG, Record, wait_until};
use horolog_local::process::{Identity, Signal};
use horolog_local::stack::{DataFolder, Ports};
use serde_json::Value;

const PROCESSES: [&str; 6] = [
    "clickhouse",
    "broker",
    "horolog-ingest",
    "horolog-aggregate",
    "horolog-query",
    "sample",
];
/// For a process to be started again and to be ready, on a busy machine.
const RECOVERY: Duration = Duration::from_secs(240);

/// A stack of its own for one test, gone at the end.
struct Stack {
    folder: tempfile::TempDir,
    ports: Ports,
}

impl Stack {
    fn new() -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        Self {
            folder,
            ports: Ports::free().unwrap(),
        }
    }

    fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("données, 2026") // paths reach programs whole
    }

    fn horolog(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(HOROLOG);
        command
            .args(args)
            .arg("--data")
            .arg(self.data())
            .env("http_proxy", "http://127.0.0.1:1"); // that of a company: nothing of a stack is asked through it
        command
    }

    fn up(&self, args: &[&str]) -> Output {
        let ports = self.port_flags();
        let ports = ports.iter().map(String::as_str);
        self.horolog(
            &["up", "--detach"]
                .into_iter()
                .chain(args.iter().copied())
                .chain(ports)
                .collect::<Vec<_>>(),
        )
    }

    fn port_flags(&self) -> [String; 6] {
        [
            format!("--port-kafka={}", self.ports.kafka),
            format!("--port-kafka-controller={}", self.ports.kafka_controller),
            format!("--port-clickhouse={}", self.ports.clickhouse),
            format!("--port-query={}", self.ports.query),
            format!("--port-ingest={}", self.ports.ingest),
            format!("--port-aggregate={}", self.ports.aggregate),
        ]
    }

    fn status(&self) -> Value {
        serde_json::from_slice(&self.horolog(&["status", "--json"]).stdout).unwrap()
    }

    /// All rows of a query, as text.
    fn sql(&self, query: &str) -> String {
        let password = std::fs::read_to_string(self.data().join("clickhouse-password")).unwrap();
        let url = format!("http://127.0.0.1:{}/?database=horolog", self.ports.clickhouse);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let request = reqwest::Client::new()
                .post(url)
                .basic_auth("default", Some(password))
                .body(query.to_owned());
            request.send().await.unwrap().text().await.unwrap().trim().to_owned()
        })
    }

    fn identities(&self) -> Vec<Identity> {
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

fn identity(process: &Value) -> Option<Identity> {
    let pid = i32::try_from(process["pid"].as_i64()?).ok()?;
    Some(Identity {
        pid,
        started: process["started"].as_u64()?,
    })
}

fn process<'a>(status: &'a Value, name: &str) -> &'a Value {
    let processes = status["processes"].as_array().unwrap();
    processes
        .iter()
        .find(|process| process["name"] == name)
        .unwrap_or_else(|| panic!("no {name} in {status}"))
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[track_caller]
fn succeeds(output: &Output) {
    assert!(output.status.success(), "{}\n{}", output.status, text(output));
}

#[test]
fn a_bed_takes_records_and_answers_queries() {
    let bed = Bed::start();
    bed.topic("things", 2);
    assert_eq!(
        bed.produce("things", 1, &[Record::of("a"), Record::of("b").key("k")]),
        [0, 1]
    );
    assert_eq!(bed.sql::<u64>("select number from system.numbers limit 2"), [0, 1]);
    bed.restart_broker();
    bed.restart_engine();
    assert_eq!(bed.produce("things", 1, &[Record::of("c")]), [2]);
}

#[test]
fn comes_up_answers_survives_kills_and_goes_on_where_it_stopped() {
    let stack = Stack::new();
    succeeds(&stack.up(&[]));
    answers_with_hourly_rows(&stack);
    names_every_process_and_address(&stack);
    a_second_up_says_that_it_runs(&stack);
    restarts_whatever_is_killed(&stack);
    stops_and_goes_on(&stack);
    is_wiped(&stack);
}

fn answers_with_hourly_rows(stack: &Stack) {
    let url = format!("http://127.0.0.1:{}/v1/metrics/hourly?limit=1", stack.ports.query);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    wait_until(RECOVERY, "an hourly row of the sample stream", || {
        runtime.block_on(async {
            let key = std::fs::read_to_string(stack.data().join("keys/demo-analyst")).unwrap();
            let request = reqwest::Client::new().get(&url).bearer_auth(key.trim());
            let Ok(response) = request.send().await else {
                return false;
            };
            let answer: Value = response.json().await.unwrap_or_default();
            answer["rows"].as_array().is_some_and(|rows| !rows.is_empty())
        })
    });
}

/// What `status` says once it has had all its answers: on a busy machine one may be late.
fn settled(stack: &Stack) -> Value {
    let mut status = Value::Null;
    wait_until(RECOVERY, "every process is ready and the lag is known", || {
        status = stack.status();
        let processes = status["processes"].as_array().unwrap();
        status["lag"].is_i64() && processes.iter().all(|process| process["state"] == "ready")
    });
    status
}

fn names_every_process_and_address(stack: &Stack) {
    let status = settled(stack);
    assert_eq!(status["state"], "ready");
    assert_eq!(
        status["query"]["url"],
        format!("http://127.0.0.1:{}", stack.ports.query)
    );
    assert_eq!(
        status["clickhouse"]["url"],
        format!("http://127.0.0.1:{}", stack.ports.clickhouse)
    );
    assert_eq!(status["kafka"]["bootstrap"], format!("127.0.0.1:{}", stack.ports.kafka));
    assert!(Path::new(status["clickhouse"]["password_file"].as_str().unwrap()).is_file());
    for name in PROCESSES {
        let process = process(&status, name);
        assert_eq!(process["state"], "ready", "{process}");
        assert!(identity(process).unwrap().is_alive(), "{process}");
    }
}

fn a_second_up_says_that_it_runs(stack: &Stack) {
    settled(stack);
    let before = stack.identities();
    let again = stack.up(&[]);
    succeeds(&again);
    assert!(text(&again).contains("already running"), "{}", text(&again));
    assert_eq!(stack.identities(), before);
}

fn restarts_whatever_is_killed(stack: &Stack) {
    for name in PROCESSES {
        let restarts = |process: &Value| process["restarts"].as_u64().unwrap();
        let status = settled(stack);
        let before = process(&status, name);
        let (killed, restarts_before) = (identity(before).unwrap(), restarts(before));
        killed.signal(Signal::SIGKILL);
        wait_until(RECOVERY, &format!("{name} is restarted and ready"), || {
            let status = stack.status();
            let process = process(&status, name);
            process["state"] == "ready" && restarts(process) > restarts_before && identity(process) != Some(killed)
        });
    }
    let said = std::fs::read_to_string(stack.data().join("logs/supervisor.log")).unwrap();
    for name in PROCESSES {
        assert!(said.contains(&format!("{name} ended")), "{said}");
    }
}

/// The supervisor lets go of its folder a moment before it is gone itself.
#[track_caller]
fn all_end(identities: &[Identity]) {
    wait_until(RECOVERY, "all processes end with their supervisor", || {
        !identities.iter().any(|identity| identity.is_alive())
    });
}

fn stops_and_goes_on(stack: &Stack) {
    settled(stack);
    let identities = stack.identities();
    succeeds(&stack.horolog(&["down"]));
    all_end(&identities);
    assert_eq!(stack.status()["state"], "stopped");
    assert!(text(&stack.horolog(&["down"])).contains("not running"));

    succeeds(&stack.up(&["--no-sample"]));
    let stored = || {
        stack
            .sql("select count() from metrics")
            .parse::<u64>()
            .unwrap_or_default()
    };
    wait_until(RECOVERY, "everything in the log is stored", || {
        stack.status()["lag"] == 0
    });
    assert!(stored() > 0);
    let doubled =
        "select count() from (select 1 from metrics group by kafka_partition, kafka_offset having count() > 1)";
    assert_eq!(stack.sql(doubled), "0");
    assert!(
        stack.status()["processes"]
            .as_array()
            .unwrap()
            .iter()
            .all(|process| process["name"] != "sample")
    );
}

fn is_wiped(stack: &Stack) {
    settled(stack);
    let identities = stack.identities();
    let refused = stack.horolog(&["wipe"]);
    assert!(!refused.status.success(), "nobody was asked");
    assert!(stack.data().exists());
    succeeds(&stack.horolog(&["wipe", "--yes"]));
    all_end(&identities);
    assert!(!stack.data().exists());
}

#[test]
fn nothing_survives_a_killed_supervisor_and_the_next_up_works() {
    let stack = Stack::new();
    succeeds(&stack.up(&["--no-sample"]));
    settled(&stack);
    let identities = stack.identities();
    identities.last().unwrap().signal(Signal::SIGKILL);
    all_end(&identities);
    assert_eq!(stack.status()["state"], "stopped");
    succeeds(&stack.up(&["--no-sample"]));
    assert_eq!(stack.status()["state"], "ready");
}

#[test]
fn keep_all_removes_deletion_by_age_and_is_remembered() {
    let stack = Stack::new();
    let deletes = || {
        let tables = "select count() from system.tables where database = 'horolog' and match(engine_full, 'TTL [^,]* DELETE|TTL [^,]*[0-9]\\)( ,|$| SETTINGS)')";
        stack.sql(tables).parse::<u64>().unwrap()
    };
    succeeds(&stack.up(&["--no-sample", "--keep-all"]));
    assert_eq!(stack.status()["retention"]["keep_all"], true);
    assert_eq!(
        deletes(),
        0,
        "{}",
        stack.sql("select name, engine_full from system.tables where database = 'horolog'")
    );
    succeeds(&stack.horolog(&["down"]));
    succeeds(&stack.up(&["--no-sample"]));
    assert_eq!(stack.status()["retention"]["keep_all"], true);
    succeeds(&stack.horolog(&["down"]));
    let folder = DataFolder::at(&stack.data()).unwrap();
    let mut failing = stack.command(&["up", "--keep-all=false"]);
    failing
        .args(stack.port_flags())
        .env("HOROLOG_MIGRATE__RETENTION__METRICS_DAYS", "many");
    assert!(!failing.output().unwrap().status.success());
    assert!(folder.keeps_all(), "nothing came of ending it");
    succeeds(&stack.up(&["--no-sample", "--keep-all=false"]));
    assert!(!folder.keeps_all());
    assert_eq!(stack.status()["retention"]["keep_all"], false);
    assert!(
        deletes() > 0,
        "{}",
        stack.sql("select name, engine_full from system.tables where database = 'horolog'")
    );
}

#[test]
fn a_taken_port_is_named_with_the_flag_that_changes_it() {
    let stack = Stack::new();
    // What another test is just starting may for a moment still hold what was tried when ports were looked for.
    let mut taken = None;
    wait_until(RECOVERY, "the port can be taken", || {
        taken = TcpListener::bind((Ipv4Addr::LOCALHOST, stack.ports.clickhouse)).ok();
        taken.is_some()
    });
    let output = stack.up(&[]);
    assert!(!output.status.success());
    let said = text(&output);
    assert!(
        said.contains(&stack.ports.clickhouse.to_string()) && said.contains("--port-clickhouse"),
        "{said}"
    );
    assert_eq!(stack.status()["state"], "stopped");
}

#[test]
fn a_foreign_folder_is_neither_used_nor_wiped() {
    let stack = Stack::new();
    std::fs::create_dir(stack.data()).unwrap();
    std::fs::write(stack.data().join("thesis.tex"), "").unwrap();
    for output in [stack.up(&[]), stack.horolog(&["wipe", "--yes"])] {
        assert!(!output.status.success());
        assert!(text(&output).contains("--data"), "{}", text(&output));
    }
    assert!(stack.data().join("thesis.tex").exists());
}

#[test]
fn what_a_linked_folder_leads_to_is_wiped_too() {
    let stack = Stack::new();
    let disk = stack.folder.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    std::os::unix::fs::symlink(&disk, stack.data()).unwrap();
    DataFolder::at(&stack.data()).unwrap().create().unwrap();
    succeeds(&stack.horolog(&["wipe", "--yes"]));
    assert!(!disk.exists() && !stack.data().is_symlink());
}

#[test]
fn bad_arguments_are_refused_with_their_name() {
    let stack = Stack::new();
    for (flag, value) in [
        ("--memory-kafka", "12"),
        ("--port-query", "70000"),
        ("--keep-all", "perhaps"),
    ] {
        let output = stack.up(&[&format!("{flag}={value}")]);
        assert!(!output.status.success());
        assert!(text(&output).contains(flag), "{}", text(&output));
    }
    assert!(text(&stack.horolog(&["logs"])).contains("no logs"));
}
