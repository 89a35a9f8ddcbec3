//! `knee`: the highest rate that meets the objectives, found in steps on one target.
//!
//! The rate rises by a factor until a step misses. Then the gap between the highest rate that held and the lowest that
//! missed is bisected (geometrically) until it is small enough. Each step is a run of its own, drained and accounted
//! for before the next; a lost record ends the search. Longer steps give a sharper knee: with steps of 20 s and a p99
//! of 1 s, a rate that is 5 % too high still passes.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use serde::Serialize;

use crate::recorder::Measure;
use crate::results::{Objective, Outcome, Results, thousands};
use crate::stop::Stop;
use crate::target::Target;
use crate::trial::{self, Plan, PlanOptions, new_prefix};

use super::run::RunOptions;
use super::{create, reach, refuse_existing, results_path, with_runtime};

/// Maximum number of steps.
const STEPS_MAX: usize = 40;

/// Options of `horolog-load knee`. `--rate` is the first step's, `--duration` each step's.
#[derive(Clone, clap::Args)]
pub struct KneeOptions {
    /// The factor by which the rate rises from step to step.
    #[arg(long, value_name = "NUMBER", default_value_t = 1.6, value_parser = factor)]
    factor: f64,
    /// The search ends when the knee is known to within this share.
    #[arg(long, value_name = "SHARE", default_value_t = 0.1, value_parser = precision)]
    precision: f64,
    #[command(flatten)]
    run: RunOptions,
}

fn factor(text: &str) -> Result<f64, String> {
    let factor = text.parse::<f64>().ok().filter(|factor| (1.05..=10.0).contains(factor));
    factor.ok_or_else(|| format!("`{text}` is not a factor from 1.05 to 10"))
}

fn precision(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|share| (0.01..=1.0).contains(share));
    share.ok_or_else(|| format!("`{text}` is not a share from 0.01 to 1"))
}

/// A step of the search.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// The requested rate.
    pub records_per_s: f64,
    /// Whether the objectives were met.
    pub held: bool,
    /// Why they were not.
    pub reasons: Vec<String>,
    /// 99th percentile until stored.
    pub stored_p99_us: Option<u64>,
    /// CPU time that the target used per record.
    pub cpu_us_a_record: f64,
}

/// The state of the search. Pure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Search {
    factor: f64,
    precision: f64,
    held: Option<f64>,
    missed: Option<f64>,
    next: f64,
}

impl Search {
    /// Starts at a rate.
    pub fn new(first: f64, factor: f64, precision: f64) -> Self {
        Self {
            factor,
            precision,
            held: None,
            missed: None,
            next: first,
        }
    }

    /// The next rate to try; `None` once the search is over.
    pub fn next(&self) -> Option<f64> {
        match (self.held, self.missed) {
            (Some(held), Some(missed)) if missed / held <= 1.0 + self.precision => None,
            // Not even one record per second holds.
            (None, Some(missed)) if missed < 1.0 => None,
            _ => Some(self.next),
        }
    }

    /// Records whether the rate just tried held.
    pub fn tried(&mut self, held: bool) {
        let bound = if held { &mut self.held } else { &mut self.missed };
        *bound = Some(self.next);
        self.next = match (self.held, self.missed) {
            (Some(held), Some(missed)) => (held * missed).sqrt(),
            (Some(held), None) => held * self.factor,
            (None, _) => self.next / self.factor,
        };
    }

    /// The highest rate that held.
    pub fn knee(&self) -> Option<f64> {
        self.held
    }
}

/// Runs the subcommand.
pub fn run(options: &KneeOptions) -> anyhow::Result<ExitCode> {
    let mut plan = options.run.plan.clone();
    if plan.objectives.is_empty() {
        plan.objectives = vec!["stored:p99<=1s".parse::<Objective>().map_err(anyhow::Error::msg)?];
    }
    // Rejects an invalid plan before the first step.
    Plan::new("knee", &plan)?;
    let path = results_path(options.run.results.as_deref(), &format!("knee-{}", new_prefix()));
    refuse_existing(&path)?;
    with_runtime(async |stop| {
        let target = reach(&options.run.target, &[], &stop).await?;
        let found = search(options, &plan, &target, &path, &stop).await;
        target.leave().await;
        found
    })
}

async fn search(
    options: &KneeOptions,
    plan: &PlanOptions,
    target: &Target,
    path: &Path,
    stop: &Stop,
) -> anyhow::Result<ExitCode> {
    let mut search = Search::new(plan.rate, options.factor, options.precision);
    let mut steps = Vec::new();
    let mut outcome = Outcome::Passed;
    while let Some(rate) = search.next().filter(|_| steps.len() < STEPS_MAX) {
        let step_options = PlanOptions { rate, ..plan.clone() };
        let step_plan = match Plan::new("knee", &step_options) {
            Ok(plan) => plan,
            Err(error) => {
                eprintln!("the search ends here: {error:#}");
                outcome = Outcome::Refused;
                break;
            }
        };
        eprintln!("step {}: {} records/s", steps.len() + 1, thousands(rate as u64));
        let folder = create(&path.join(format!("step-{:02}", steps.len() + 1)))?;
        let measured = trial::run(target, (&step_plan.0, step_plan.1), Some(folder), None, stop).await?;
        measured.write()?;
        let results = &measured.results;
        let step = Step::of(rate, results);
        eprintln!("  {}", step.line());
        let held = step.held;
        steps.push(step);
        let unsound = results.account.as_ref().is_some_and(|account| !account.is_sound());
        outcome = match results.verdict.outcome {
            Outcome::Failed if unsound => Outcome::Failed,
            Outcome::Passed | Outcome::Failed => Outcome::Passed,
            other => other,
        };
        if outcome != Outcome::Passed {
            break;
        }
        search.tried(held);
    }
    if outcome == Outcome::Passed && search.next().is_some() {
        eprintln!("the search ends here: {STEPS_MAX} steps");
        outcome = Outcome::Refused;
    }
    conclude(path, &search, &steps, outcome)
}

fn conclude(path: &Path, search: &Search, steps: &[Step], outcome: Outcome) -> anyhow::Result<ExitCode> {
    let knee = serde_json::json!({ "knee_records_per_s": search.knee(), "outcome": outcome, "steps": steps });
    let file = path.join("knee.json");
    std::fs::write(&file, serde_json::to_string_pretty(&knee)?).with_context(|| file.display().to_string())?;
    let mut text = String::new();
    let mut sorted: Vec<&Step> = steps.iter().collect();
    sorted.sort_by(|one, other| one.records_per_s.total_cmp(&other.records_per_s));
    for step in sorted {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", step.line());
    }
    let said = match search.knee() {
        Some(rate) => format!("{} records/s hold", thousands(rate as u64)),
        None => "no rate that was tried holds".to_owned(),
    };
    print!("{text}{said}");
    println!(
        "{}",
        if outcome == Outcome::Passed {
            ""
        } else {
            ", and the search did not end"
        }
    );
    if outcome == Outcome::Passed && search.knee().is_none() {
        return Ok(ExitCode::from(Outcome::Failed.exit_code()));
    }
    Ok(ExitCode::from(outcome.exit_code()))
}

impl Step {
    fn of(records_per_s: f64, results: &Results) -> Self {
        Self {
            records_per_s,
            held: results.verdict.outcome == Outcome::Passed,
            reasons: results.verdict.reasons.clone(),
            stored_p99_us: results.open_loop(Measure::Stored).map(|stored| stored.p99_us),
            cpu_us_a_record: results.cpu_s() * 1e6 / results.sent.max(1) as f64,
        }
    }

    fn line(&self) -> String {
        format!(
            "{:>10} records/s  {:<7} stored p99 {:>7.3} s, {:>6.1} us of CPU a record  {}",
            thousands(self.records_per_s as u64),
            if self.held { "held" } else { "missed" },
            self.stored_p99_us.unwrap_or_default() as f64 / 1e6,
            self.cpu_us_a_record,
            self.reasons.join("; ")
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Wherever the knee is, the search finds it from below, to the required precision.
        #[test]
        fn the_knee_is_found(knee in 2.0..1e7f64, first in 1.0..1e6f64, factor in 1.1..4.0f64) {
            let mut search = Search::new(first, factor, 0.1);
            let mut steps = 0;
            while let Some(rate) = search.next() {
                search.tried(rate <= knee);
                steps += 1;
                prop_assert!(steps < 250);
            }
            let found = search.knee().unwrap();
            prop_assert!(found <= knee && knee < found * 1.1 + 1e-6, "{found} of {knee}");
        }
    }

    #[test]
    fn a_target_that_holds_nothing_ends_the_search() {
        let mut search = Search::new(100.0, 2.0, 0.1);
        while search.next().is_some() {
            search.tried(false);
        }
        assert_eq!(search.knee(), None);
    }
}
