//! `horolog-load sizes` as a user runs it: real processes, small figures. No time is asserted.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

const LOAD: &str = env!("CARGO_BIN_EXE_horolog-load");
const SMALL: [&str; 7] = ["sizes", "--records", "20000", "--rate", "2000", "--seconds", "3"];
/// How long a process of the stack may take to disappear.
const GONE_DEADLINE: Duration = Duration::from_secs(120);

fn sizes(data: &Path) -> Command {
    let mut command = Command::new(LOAD);
    command.args(SMALL).arg("--data").arg(data).stdin(Stdio::null());
    command
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Reads messages until one contains `wanted`.
fn wait_for_message(child: &mut Child, wanted: &str) {
    let mut messages = BufReader::new(child.stderr.as_mut().unwrap()).lines();
    let found = messages.any(|message| message.unwrap().contains(wanted));
    assert!(found, "it ended without saying: {wanted}");
}

/// Processes that have the folder in their command line.
fn processes_of(data: &Path) -> Vec<String> {
    let data = data.to_str().unwrap();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let command_lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    command_lines
        .map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " "))
        .filter(|line| line.contains(data))
        .collect()
}

fn assert_nothing_is_left(data: &Path) {
    let deadline = Instant::now() + GONE_DEADLINE;
    while !processes_of(data).is_empty() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(processes_of(data), Vec::<String>::new());
    assert!(!data.exists(), "{} is still there", data.display());
}

#[test]
fn every_figure_is_given_and_every_record_accounted_for() {
    let folder = tempfile::tempdir().unwrap();
    let (data, json) = (folder.path().join("data"), folder.path().join("sizes.json"));
    let output = sizes(&data).arg("--json").arg(&json).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("each stored and aggregated exactly once"));
    assert_nothing_is_left(&data);

    let report: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    let number = |pointer: &str| report.pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN);
    let sent = 1_000 + 20_000 + 100 + 6_000;
    for (pointer, expected) in [
        ("/account/sent", sent),
        ("/account/different", sent),
        ("/account/aggregated", sent),
        ("/open_loop/stored/records", 6_000),
        ("/open_loop/aggregated/records", 6_000),
        ("/open_loop/acknowledged/records", 6_000),
    ] {
        assert_eq!(number(pointer), f64::from(expected), "{pointer}");
    }
    for pointer in [
        "/first_answer/answer_s",
        "/memory/together_peak_bytes",
        "/backlog/stored_s",
        "/backlog/aggregated_s",
        "/bytes_a_sample_merged",
        "/open_loop/stored/p50_us",
        "/open_loop/aggregated/max_us",
    ] {
        assert!(number(pointer) > 0.0, "{pointer} is {}", number(pointer));
    }
    let processes = report.pointer("/backlog/processes").and_then(Value::as_array).unwrap();
    let ingest = processes
        .iter()
        .find(|process| process["name"] == "horolog-ingest")
        .unwrap();
    assert!(ingest["cpu_s"].as_f64().unwrap() > 0.0);
    let tables = report.pointer("/backlog/tables").and_then(Value::as_array).unwrap();
    let metrics = tables.iter().find(|table| table["table"] == "metrics").unwrap();
    let [inserts, parts_made] = ["inserts", "parts_made"].map(|name| metrics[name].as_u64().unwrap());
    // Rows can be visible a moment before the stage has counted their insert, both at the beginning and at the end.
    assert!(
        inserts > 0 && inserts.abs_diff(parts_made) <= 1,
        "{inserts} {parts_made}"
    );
}

#[test]
fn one_doubled_row_fails_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut child = sizes(&data)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for_message(&mut child, "2000 records/s for 3 s");
    // The tester is stopped meanwhile, so that it cannot end before the row is there.
    let pid = Pid::from_raw(child.id().cast_signed());
    kill(pid, Signal::SIGSTOP).unwrap();
    double_a_row(&data);
    kill(pid, Signal::SIGCONT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("1 rows are stored twice"), "{}", text(&output));
    assert_nothing_is_left(&data);
}

fn double_a_row(data: &Path) {
    let horolog = Path::new(LOAD).with_file_name("horolog");
    let status = Command::new(horolog)
        .args(["status", "--json", "--data"])
        .arg(data)
        .output()
        .unwrap();
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    let clickhouse = clickhouse::Client::default()
        .with_url(status["clickhouse"]["url"].as_str().unwrap())
        .with_user("default")
        .with_password(std::fs::read_to_string(data.join("clickhouse-password")).unwrap())
        .with_database("horolog");
    let insert = "insert into metrics select * replace (now64(3) as inserted_at) from metrics limit 1";
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(clickhouse.query(insert).execute()).unwrap();
}

#[test]
fn an_interrupted_run_leaves_nothing() {
    for moment in ["starting a stack", "writing a backlog"] {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let mut child = sizes(&data)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        wait_for_message(&mut child, moment);
        kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{moment}: {}", text(&output));
        assert_nothing_is_left(&data);
    }
}

#[test]
fn a_folder_that_exists_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let output = sizes(folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("--data"), "{}", text(&output));
    assert!(folder.path().exists());
}

#[test]
fn a_missing_horolog_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let output = sizes(&folder.path().join("data"))
        .args(["--horolog", "/nowhere/horolog"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = text(&output);
    assert!(
        text.contains("/nowhere/horolog") && text.contains("cargo build"),
        "{text}"
    );
}
