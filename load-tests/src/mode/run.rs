//! `run`, `soak`, `chaos`, `replay`: a single run, and the additional checks of each.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::chaos::Disturb;
use crate::results::{Outcome, TESTER, table};
use crate::span;
use crate::stop::Stop;
use crate::target::TargetOptions;
use crate::trial::{self, Content, Measured, Plan, PlanOptions};

use super::{create, reach, refuse_existing, results_path, soak, with_runtime};

/// Options of `horolog-load run` and `soak`.
#[derive(Clone, clap::Args)]
pub struct RunOptions {
    #[command(flatten)]
    pub(super) plan: PlanOptions,
    #[command(flatten)]
    pub(super) target: TargetOptions,
    /// Folder for the results, which must not exist [default: load-results/ and the run's name].
    #[arg(long, value_name = "DIR")]
    pub(super) results: Option<PathBuf>,
}

/// Options of `horolog-load chaos`.
#[derive(Clone, clap::Args)]
pub struct ChaosOptions {
    /// What to do when: `10s kill horolog-ingest; 20s pause clickhouse 5s; 40s stop broker`.
    #[arg(long, value_name = "STEPS")]
    plan: Option<String>,
    /// Without a plan: how often to do something drawn from the seed.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = span::parse, conflicts_with = "plan")]
    every: Duration,
    #[command(flatten)]
    run: RunOptions,
}

/// Options of `horolog-load replay`.
#[derive(Clone, clap::Args)]
pub struct ReplayOptions {
    /// NDJSON of metric samples and audit events, ordered by time.
    file: PathBuf,
    /// 2 halves the gaps between records.
    #[arg(long, default_value_t = 1.0, value_parser = speed)]
    speed: f64,
    #[command(flatten)]
    run: RunOptions,
}

fn speed(text: &str) -> Result<f64, String> {
    let speed = text.parse::<f64>().ok().filter(|speed| (1e-3..=1e6).contains(speed));
    speed.ok_or_else(|| format!("`{text}` is not a speed from 0.001 to 1000000"))
}

/// `horolog-load run`.
pub fn run(options: &RunOptions) -> anyhow::Result<ExitCode> {
    let plan = Plan::new("run", &options.plan)?;
    conduct(options, plan, None)
}

/// `horolog-load soak`.
pub fn soak(options: &RunOptions) -> anyhow::Result<ExitCode> {
    let plan = Plan::new("soak", &options.plan)?;
    let (warm_up, length) = (plan.0.warm_up, plan.0.schedule.length());
    if warm_up > length / 4 {
        bail!(
            "--warm-up {warm_up:?}: a soak compares the second quarter of its {length:?} with the last, which needs the \
             latencies of both; make it a quarter of --duration at most"
        );
    }
    conduct(options, plan, None)
}

/// `horolog-load replay`.
pub fn replay(options: &ReplayOptions) -> anyhow::Result<ExitCode> {
    let plan = Plan::replay(&options.run.plan, &options.file, options.speed)?;
    conduct(&options.run, plan, None)
}

/// `horolog-load chaos`.
pub fn chaos(options: &ChaosOptions) -> anyhow::Result<ExitCode> {
    let run = &options.run;
    run.target.require_local("chaos")?;
    let plan = Plan::new("chaos", &run.plan)?;
    let length = plan.0.schedule.length();
    let disturb = match &options.plan {
        Some(text) => Disturb::parse(text).context("--plan")?,
        None => Disturb::draw(options.every, length, run.plan.seed),
    };
    if disturb.is_empty() || disturb.length() > length {
        bail!(
            "--plan: it must have at least one step and end within --duration ({:.0} s)",
            length.as_secs_f64()
        );
    }
    conduct(run, plan, Some(disturb))
}

fn conduct(
    options: &RunOptions,
    (plan, content): (Plan, Content),
    disturb: Option<Disturb>,
) -> anyhow::Result<ExitCode> {
    let path = results_path(options.results.as_deref(), &plan.prefix);
    refuse_existing(&path)?;
    with_runtime(async |stop| {
        let measured = one(options, &path, (plan, content), disturb, &[], &stop).await?;
        print!("{}", table(&measured.results));
        println!("{}", path.join("report.html").display());
        Ok(ExitCode::from(measured.results.verdict.outcome.exit_code()))
    })
}

/// A run on a target that it reaches itself, with results in a folder.
pub(super) async fn one(
    options: &RunOptions,
    path: &std::path::Path,
    (plan, content): (Plan, Content),
    disturb: Option<Disturb>,
    environment: &[(String, String)],
    stop: &Stop,
) -> anyhow::Result<Measured> {
    let target = reach(&options.target, environment, stop).await?;
    let measured = async {
        let folder = create(path)?;
        let mut measured = trial::run(&target, (&plan, content), Some(folder), disturb, stop).await?;
        if plan.mode == "soak" && measured.results.verdict.outcome != Outcome::Interrupted {
            if measured.results.processes.iter().all(|process| process.name == TESTER) {
                eprintln!("no process of the target is watched (--process NAME=PID): its memory is not judged");
            }
            let drifts = soak::drifts(&measured.results);
            measured.blame(drifts);
        }
        measured.write()?;
        Ok(measured)
    };
    let measured = measured.await;
    target.leave().await;
    measured
}
