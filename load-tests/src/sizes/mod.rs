//! `horolog-load sizes`: the sizes that the project promises, measured on a new local stack.
//!
//! Enters: how much to send. Leaves: a table, and a JSON file if requested. Measures in turn: `up` to the first answer;
//! a backlog that both stages drain at once; records at a modest rate, open loop; the account of every record. Exit
//! code 0 if every record is stored and aggregated exactly once, whatever the speed. The stack is removed at the end,
//! also on Ctrl-C.

mod account;
mod backlog;
mod day;
mod figures;
mod first_answer;
mod memory;
mod open_loop;
mod progress;
mod report;
mod table;

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::local_stack::{LocalStack, Running};
use crate::machine::Machine;
use crate::mode::with_runtime;
use crate::results::{Outcome, thousands};

pub use account::WholeAccount;
use memory::Watch;
pub use report::Report;

/// How long the last records may take to be acknowledged.
const SETTLE_DEADLINE: Duration = Duration::from_secs(60);
const INGEST: &str = "horolog-ingest";
const AGGREGATE: &str = "horolog-aggregate";

/// Options of `horolog-load sizes`.
#[derive(Debug, Clone, clap::Args)]
pub struct SizesOptions {
    /// Number of metric records in the backlog.
    #[arg(long, value_name = "COUNT", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1_000..=100_000_000))]
    records: u64,
    /// Pause the stages until the whole backlog is written, however long it takes. After 10 s the group drops them, and
    /// the time to rejoin is included in the measurement.
    #[arg(long)]
    preload: bool,
    /// Records per second in the open loop.
    #[arg(long, value_name = "RATE", default_value = "20000")]
    rate: NonZeroU32,
    /// Duration of the open loop.
    #[arg(long, value_name = "SECONDS", default_value = "20", value_parser = clap::value_parser!(u16).range(1..=3600))]
    seconds: u16,
    /// Seed of the records' values.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Also write all figures to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Folder for the stack's data, which must not exist [default: a temporary folder].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Keep the data folder and its logs.
    #[arg(long)]
    keep: bool,
    /// The `horolog` program [default: the one beside this program].
    #[arg(long, value_name = "FILE")]
    horolog: Option<PathBuf>,
}

/// Runs the subcommand.
pub fn run(options: &SizesOptions) -> anyhow::Result<ExitCode> {
    let stack = LocalStack::new(options.horolog.clone(), options.data.clone(), options.keep)?;
    if let Some(json) = &options.json {
        ensure_writable(json)?;
    }
    with_runtime(async |stop| {
        say("starting a stack");
        let begun = Instant::now();
        let measured = stack.during(&stop, async |running| measure(options, &stack, &running, begun).await);
        match measured.await? {
            None => Ok(ExitCode::from(Outcome::Interrupted.exit_code())),
            Some(report) => conclude(&report, options.json.as_deref()),
        }
    })
}

async fn measure(
    options: &SizesOptions,
    stack: &LocalStack,
    running: &Running,
    begun: Instant,
) -> anyhow::Result<Report> {
    let ready = begun.elapsed();
    let machine = Machine::this()?;
    let memory = Watch::start(running.processes()?);
    let first_answer = first_answer::measure(running, begun, ready).await?;

    say(&format!("writing a backlog of {} records", thousands(options.records)));
    let pause_max = if options.preload {
        Duration::MAX
    } else {
        backlog::PAUSE_MAX
    };
    let backlog = backlog::measure(running, options.records, options.seed, first_answer.records, pause_max).await?;

    say(&format!("{} records/s for {} s", options.rate, options.seconds));
    let length = Duration::from_secs(options.seconds.into());
    let sent = first_answer.records + backlog.records;
    let open_loop = open_loop::measure(stack, running, options.rate, length, options.seed, sent).await?;

    say("looking for every record");
    let account = WholeAccount::take(&running.store, sent + open_loop.records_before + open_loop.records).await?;
    let memory = memory.finish().await?;
    let merged = running.store.merged_day(&backlog.day).await?;
    Ok(Report {
        measured_at: chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
        faults: account.faults(),
        machine,
        first_answer,
        memory,
        bytes_a_sample_merged: merged.1 as f64 / merged.0.max(1) as f64,
        backlog,
        open_loop,
        account,
    })
}

fn conclude(report: &Report, json: Option<&Path>) -> anyhow::Result<ExitCode> {
    print!("{}", table::text(report));
    if let Some(path) = json {
        let text = serde_json::to_string_pretty(report)?;
        std::fs::write(path, text).with_context(|| format!("--json {}", path.display()))?;
    }
    if report.faults.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    bail!("the figures are invalid: {}", report.faults.join("; "))
}

/// Fails before minutes are spent on figures that cannot be written.
fn ensure_writable(path: &Path) -> anyhow::Result<()> {
    let opened = std::fs::OpenOptions::new().create(true).append(true).open(path);
    opened.map(drop).with_context(|| format!("--json {}", path.display()))
}

fn say(what: &str) {
    eprintln!("{} {what}", chrono::Utc::now().format("%H:%M:%S"));
}
