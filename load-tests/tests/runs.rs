//! `horolog-load` as a user runs it, on a real stack: a run, a soak, chaos, an interruption, refused options; two
//! configurations on stacks of their own. No speed is asserted.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use horolog_load::latencies::Summary;
use horolog_load::local_stack::{LocalStack, Running};
use horolog_load::recorder::Measure;
use horolog_load::results::{Outcome, Results, read_latencies};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const LOAD: &str = env!("CARGO_BIN_EXE_horolog-load");
/// A low rate and generous deadlines, for busy machines.
const PATIENT: &str = "--rate 500 --queries 0 --late-share 1 --drain 10m";

/// A stack that is removed on drop.
struct Stack {
    runtime: tokio::runtime::Runtime,
    stack: LocalStack,
    running: Running,
    folder: tempfile::TempDir,
}

impl Stack {
    fn up() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let horolog = Path::new(LOAD).with_file_name("horolog");
        let stack = LocalStack::new(Some(horolog), Some(folder.path().join("data")), false).unwrap();
        let running = runtime.block_on(stack.up()).unwrap();
        Self {
            runtime,
            stack,
            running,
            folder,
        }
    }

    fn results(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn load(&self, mode: &str, results: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(LOAD);
        command.arg(mode).arg("--stack").arg(self.stack.data()).args(arguments);
        command.arg("--results").arg(self.results(results)).stdin(Stdio::null());
        command
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.runtime.block_on(self.stack.remove());
    }
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

fn text(output: &Output) -> String {
    let [stdout, stderr] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    format!("{stdout}{stderr}")
}

#[test]
fn a_real_stack_is_measured_disturbed_and_left_alone() {
    let stack = Stack::up();
    every_record_of_a_mixed_run_is_accounted_for(&stack);
    no_record_is_lost_when_processes_are_killed_and_paused(&stack);
    a_long_run_is_judged_by_what_grows(&stack);
    an_interrupted_run_writes_what_it_has(&stack);
    what_cannot_be_measured_is_refused(&stack);
}

fn every_record_of_a_mixed_run_is_accounted_for(stack: &Stack) {
    let mix = "--rate 1500 --duration 4s --schedule poisson --audit 0.2 --tenants 3 --bad 0.03 --duplicates 0.05 \
        --disorder 0.1 --extra-bytes 0..200 --queries 3 --label mixed --late-share 1 --drain 10m --objective stored:max<=10m";
    let output = stack.load("run", "mixed", &words(mix)).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));

    let folder = stack.results("mixed");
    let results = Results::read(&folder).unwrap();
    let account = results.account.as_ref().unwrap();
    assert_eq!(account.faults(), Vec::<String>::new());
    assert!(
        (5_000..7_000).contains(&account.acknowledged),
        "{}",
        account.acknowledged
    );
    assert_eq!(account.acknowledged, results.sent);
    assert!(account.rejected > 0 && account.rejected == account.bad);
    assert_eq!(account.stored + account.rejected, account.acknowledged);
    assert_eq!(
        (results.verdict.outcome, results.settings.label.as_str()),
        (Outcome::Passed, "mixed")
    );
    assert!(results.answered > 0 && results.unanswered == 0);
    let ingest = results
        .processes
        .iter()
        .find(|process| process.name == "horolog-ingest")
        .unwrap();
    assert!(ingest.resident_peak_bytes > 0 && !ingest.samples.is_empty());
    let metrics = results.tables.iter().find(|table| table.table == "metrics").unwrap();
    assert!(metrics.parts_made > 0);

    let logged = read_latencies(&folder).unwrap();
    for measure in [
        Measure::Acknowledged,
        Measure::Stored,
        Measure::Hourly,
        Measure::Query,
        Measure::Lateness,
    ] {
        let open_loop = &results.measures[&measure].open_loop;
        assert!(open_loop.records > 0, "{measure}");
        // The per-second log and the overall figures cover the same records.
        let of_seconds = logged[&measure].summary();
        assert!(
            (of_seconds.mean_us - open_loop.mean_us).abs() < 1e-6 * open_loop.mean_us,
            "{measure}"
        );
        let mean_us = open_loop.mean_us; // its last bits depend on the order of addition
        assert_eq!(Summary { mean_us, ..of_seconds }, *open_loop, "{measure}");
        let hgrm = std::fs::read_to_string(folder.join(format!("{measure}.hgrm"))).unwrap();
        assert!(
            hgrm.contains(&format!("Total count    = {:>12}", open_loop.records)),
            "{measure}"
        );
    }
    let page = std::fs::read_to_string(folder.join("report.html")).unwrap();
    assert!(page.contains("Latency by percentile") && page.matches("<svg").count() == 6);
    assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("src="));
    let junit = std::fs::read_to_string(folder.join("junit.xml")).unwrap();
    assert!(junit.contains("failures=\"0\" errors=\"0\"") && junit.contains("stored:max"));
}

fn no_record_is_lost_when_processes_are_killed_and_paused(stack: &Stack) {
    let plan = "1s kill horolog-ingest; 3s pause horolog-aggregate 1s; 5s kill horolog-aggregate";
    // Longer than the plan: on a busy machine each step waits for the previous one to end.
    let arguments = [words(PATIENT), vec!["--duration", "14s", "--plan", plan]].concat();
    let output = stack.load("chaos", "chaos", &arguments).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let results = Results::read(&stack.results("chaos")).unwrap();
    assert_eq!(results.account.as_ref().unwrap().acknowledged, 7_000);
    let done: Vec<&str> = results.disturbances.iter().map(|done| done.action.as_str()).collect();
    assert_eq!(done, ["kill", "pause", "kill"]);
    assert!(
        results.disturbances.iter().all(|done| done.failure.is_none()),
        "{:?}",
        results.disturbances
    );
    let ingest = results
        .processes
        .iter()
        .find(|process| process.name == "horolog-ingest")
        .unwrap();
    assert!(ingest.restarts >= 1);
}

fn a_long_run_is_judged_by_what_grows(stack: &Stack) {
    let arguments = [words(PATIENT), vec!["--duration", "8s"]].concat();
    let output = stack.load("soak", "soak", &arguments).output().unwrap();
    let results = Results::read(&stack.results("soak")).unwrap();
    assert_eq!(results.mode, "soak");
    assert_eq!(results.account.as_ref().unwrap().faults(), Vec::<String>::new());
    // On a busy machine a latency may really have grown: then the run must say that, and nothing else.
    let outcome = results.verdict.outcome;
    assert_eq!(
        output.status.code(),
        Some(outcome.exit_code().into()),
        "{}",
        text(&output)
    );
    let reasons = &results.verdict.reasons;
    assert!(reasons.iter().all(|reason| reason.contains(" grows: ")), "{reasons:?}");
    assert_eq!(outcome == Outcome::Passed, reasons.is_empty());
}

fn an_interrupted_run_writes_what_it_has(stack: &Stack) {
    let arguments = ["--rate", "500", "--duration", "10m", "--late-share", "1"];
    let mut child = stack
        .load("run", "interrupted", &arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut messages = BufReader::new(child.stderr.as_mut().unwrap()).lines();
    let tells_of_records = |message: String| message.contains(" s  sent ") && !message.contains("acknowledged 0/s");
    assert!(
        messages.any(|message| tells_of_records(message.unwrap())),
        "it never sends"
    );
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", text(&output));
    let results = Results::read(&stack.results("interrupted")).unwrap();
    assert_eq!(results.verdict.outcome, Outcome::Interrupted);
    assert!(results.sent > 0 && results.account.is_none());
    assert!(!read_latencies(&stack.results("interrupted")).unwrap()[&Measure::Acknowledged].is_empty());
}

fn what_cannot_be_measured_is_refused(stack: &Stack) {
    let refused = |results: &str, arguments: &[&str], why: &str| {
        let output = stack.load("run", results, arguments).output().unwrap();
        let text = text(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(why), "{text}");
    };
    refused("mixed", &[], "--results");
    refused("new", &["--schedule", "sinus"], "unknown schedule");
    refused("new", &["--rate", "90000000"], "--rate");

    let Running { status, .. } = &stack.running;
    let output = Command::new(LOAD)
        .args([
            "run",
            "--kafka",
            &status.kafka.bootstrap,
            "--clickhouse-url",
            &stack.running.status.clickhouse_url(),
        ])
        .args(["--clickhouse-database", "nowhere", "--results"])
        .arg(stack.results("new"))
        .env(
            "HOROLOG_LOAD_CLICKHOUSE_PASSWORD",
            stack.running.status.clickhouse_password().unwrap(),
        )
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("not migrated"), "{}", text(&output));
    assert!(!stack.results("new").exists());
}

#[test]
fn two_configurations_are_run_on_stacks_of_their_own_and_compared() {
    let folder = tempfile::tempdir().unwrap();
    let common = "rate = 400\nduration = '3s'\nqueries = 0\nlate-share = 1\ndrain = '10m'\n[environment]\n";
    for (name, age_ms) in [("slow", 2_000), ("fast", 500)] {
        let settings = format!("{common}HOROLOG_AGGREGATE__BATCH__AGE_MAX_MS = {age_ms}\n");
        std::fs::write(folder.path().join(name).with_extension("toml"), settings).unwrap();
    }
    let mut compare = Command::new(LOAD);
    compare.args([
        "compare",
        "slow.toml",
        "fast.toml",
        "--repeat",
        "1",
        "--results",
        "compared",
    ]);
    let output = compare.current_dir(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));

    let compared = folder.path().join("compared");
    let [slow, fast] = ["a/01", "b/01"].map(|run| Results::read(&compared.join(run)).unwrap());
    assert_eq!((slow.sent, fast.sent), (1_200, 1_200));
    for results in [&slow, &fast] {
        let account = results.account.as_ref().unwrap();
        assert_eq!((account.faults(), account.acknowledged), (Vec::new(), 1_200));
    }
    let table = std::fs::read_to_string(compared.join("compare.txt")).unwrap();
    assert!(
        table.contains("median of 1 and 1 runs") && table.contains("hourly p99, ms"),
        "{table}"
    );
    assert!(text(&output).contains(&table));
}

#[test]
fn results_of_nothing_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        ["compare", "nowhere", "nowhere"],
        ["replay", "nowhere.ndjson", "--speed=2"],
    ] {
        let output = Command::new(LOAD)
            .args(arguments)
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        assert!(text(&output).contains("nowhere"), "{}", text(&output));
    }
}
