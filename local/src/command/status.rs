//! `horolog status`: what runs, where, how far behind. `--json` for scripts.
//!
//! Exit code 0 when every process of the stack is ready, 3 when one is not.

use std::process::ExitCode;

use serde::Serialize;

use crate::stack::flow::{Flow, Gauge, complete_through};
use crate::stack::screen::{table, thousands};
use crate::stack::{DataFolder, Phase, ProcessPhase, READING_KEY, StackState, http_client};

use super::data::DataOption;

/// Exit code when the stack is not ready.
const NOT_READY: u8 = 3;

/// Options of `horolog status`.
#[derive(Debug, Clone, clap::Args)]
pub struct StatusOptions {
    #[command(flatten)]
    data: DataOption,
    /// For scripts: one JSON object.
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    stack: StackState,
    /// Lag in records, of the stage that is further behind; absent when Kafka does not answer.
    lag: Option<i64>,
    ingest_lag: Option<i64>,
    aggregate_lag: Option<i64>,
    complete_through: Option<String>,
    #[serde(skip)]
    query_answered: bool,
}

/// Runs it.
pub fn run(options: &StatusOptions) -> anyhow::Result<ExitCode> {
    print(&options.data.folder()?, options.json)
}

/// Prints the status of this folder's stack.
pub(super) fn print(folder: &DataFolder, json: bool) -> anyhow::Result<ExitCode> {
    let Some(stack) = StackState::current(folder) else {
        let path = folder.path();
        if json {
            println!(
                "{}",
                serde_json::json!({ "state": "stopped", "data": path, "processes": [] })
            );
        } else {
            println!(
                "not running: there is no stack in {}; `horolog up` starts one",
                path.display()
            );
        }
        return Ok(ExitCode::from(NOT_READY));
    };
    let ready = stack.state == Phase::Ready;
    let (flow, query_answered) = if ready {
        flow(folder, &stack)?.unzip()
    } else {
        (None, None)
    };
    let report = Report {
        lag: flow.as_ref().map(Flow::lag),
        ingest_lag: flow.as_ref().map(|flow| flow.ingest_lag),
        aggregate_lag: flow.as_ref().map(|flow| flow.aggregate_lag),
        complete_through: flow.and_then(|flow| flow.complete_through),
        query_answered: query_answered.unwrap_or_default(),
        stack,
    };
    if json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print_for_people(&report)?;
    }
    Ok(ExitCode::from(if is_ready(&report.stack) { 0 } else { NOT_READY }))
}

fn is_ready(stack: &StackState) -> bool {
    let mut processes = stack.processes.iter();
    stack.state == Phase::Ready && processes.all(|process| process.state == ProcessPhase::Ready)
}

fn print_for_people(report: &Report) -> anyhow::Result<()> {
    let phase = serde_json::to_value(report.stack.state)?;
    let phase = match report.stack.state {
        Phase::Ready if !is_ready(&report.stack) => "not ready",
        _ => phase.as_str().unwrap_or_default(),
    };
    println!("{phase}  {}\n", report.stack.data.display());
    if let Some(reason) = &report.stack.reason {
        println!("{reason}\n");
    }
    print!("{}", table(&report.stack));
    for process in &report.stack.processes {
        if let Some(reason) = &process.reason {
            println!(
                "\n{name} is not ready: {reason}; `horolog logs {name}` shows its log",
                name = process.name
            );
        }
    }
    if let Some(lag) = report.lag {
        let complete = complete_in_words(report.complete_through.as_deref(), report.query_answered);
        println!("\nlag {}, complete through {complete}", thousands(lag));
    }
    Ok(())
}

/// "Query gave no answer" must not read like "nothing is complete yet".
fn complete_in_words(through: Option<&str>, query_answered: bool) -> &str {
    match (through, query_answered) {
        (Some(through), _) => through,
        (None, true) => "not known yet",
        (None, false) => "not known, because query did not answer",
    }
}

/// The flow and whether query answered; `None` when Kafka does not answer.
fn flow(folder: &DataFolder, stack: &StackState) -> anyhow::Result<Option<(Flow, bool)>> {
    let Ok(mut flow) = Gauge::new(&stack.kafka.bootstrap).and_then(|gauge| gauge.read()) else {
        return Ok(None);
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let key = folder.key(READING_KEY).unwrap_or_default();
    let answer = runtime.block_on(complete_through(&http_client()?, &stack.query.url, &key));
    let query_answered = answer.is_ok();
    flow.complete_through = answer.unwrap_or_default();
    Ok(Some((flow, query_answered)))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::process::Identity;

    #[test]
    fn what_nobody_answered_is_not_told_as_not_known_yet() {
        assert_eq!(
            complete_in_words(Some("2026-01-01T00:00:00Z"), true),
            "2026-01-01T00:00:00Z"
        );
        assert_eq!(complete_in_words(None, true), "not known yet");
        assert!(complete_in_words(None, false).contains("query did not answer"));
    }

    #[test]
    fn a_stack_is_ready_when_it_says_so_and_so_is_each_of_its_processes() {
        let folder = DataFolder::at(Path::new("data")).unwrap();
        let own = Identity::own().unwrap();
        let stack = StackState::ready(&folder, own, &[("broker", own), ("clickhouse", own)]);
        assert!(is_ready(&stack));
        let mut stopping = stack.clone();
        stopping.state = Phase::Stopping;
        let mut restarting = stack;
        restarting.processes[1].state = ProcessPhase::Restarting;
        assert!(!is_ready(&stopping) && !is_ready(&restarting));
    }
}
