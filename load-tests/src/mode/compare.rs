//! `compare A B`: two configurations or two results, side by side.
//!
//! Results are folders, each holding one run or a folder per repetition. Configurations are TOML files; their runs
//! alternate (A B, B A, …), each on a new local stack, so that other load on the machine affects both equally. Leaves:
//! each figure, the ratio of B to A, and the spread of that ratio over the repetitions. A ratio whose spread includes 1
//! is no difference. One whose spread does not may still be chance: of two equal sides, all of `n` ratios are on the
//! same side of 1 with a probability of 2/2^n, a quarter for three and 3 % for six.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};

use crate::latencies::Summary;
use crate::recorder::Measure;
use crate::results::{Outcome, Results, Verdict};
use crate::stop::Stop;
use crate::trial::{Plan, new_prefix};

use super::configuration::Configuration;
use super::merge::worst;
use super::{refuse_existing, results_path, run, with_runtime};

/// Options of `horolog-load compare`.
#[derive(Debug, Clone, clap::Args)]
pub struct CompareOptions {
    /// A results folder, or a configuration: the options of `run` by their long names in a TOML file.
    a: PathBuf,
    /// The other one, of the same type.
    b: PathBuf,
    /// Runs of each configuration.
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    repeat: u32,
    /// Folder for the results of the configurations, which must not exist.
    #[arg(long, value_name = "DIR")]
    results: Option<PathBuf>,
}

/// Runs the subcommand.
pub fn run(options: &CompareOptions) -> anyhow::Result<ExitCode> {
    let is_configuration = |path: &Path| path.extension().is_some_and(|extension| extension == "toml");
    match (is_configuration(&options.a), is_configuration(&options.b)) {
        (false, false) => {
            let (a, b) = (repetitions(&options.a)?, repetitions(&options.b)?);
            print!("{}", text(&a, &b));
            Ok(ExitCode::from(outcome(&a, &b).exit_code()))
        }
        (true, true) => run_both(options),
        _ => bail!("compare two results folders or two configurations (.toml), not one of each"),
    }
}

fn run_both(options: &CompareOptions) -> anyhow::Result<ExitCode> {
    let read = |path: &Path| {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let configuration = Configuration::parse(&text).with_context(|| path.display().to_string())?;
        configuration.options.target.require_local("compare")?;
        // Rejects an invalid plan before the first run starts.
        Plan::new("run", &configuration.options.plan).with_context(|| path.display().to_string())?;
        anyhow::Ok(configuration)
    };
    let both = [read(&options.a)?, read(&options.b)?];
    let path = results_path(options.results.as_deref(), &format!("compare-{}", new_prefix()));
    refuse_existing(&path)?;
    with_runtime(async |stop| {
        let mut results: [Vec<Results>; 2] = [Vec::new(), Vec::new()];
        for repetition in 0..options.repeat {
            // The side that goes first alternates too.
            let order = if repetition % 2 == 0 { [0, 1] } else { [1, 0] };
            for side in order {
                let name = ["a", "b"][side];
                eprintln!("{name}, repetition {} of {}", repetition + 1, options.repeat);
                let folder = path.join(name).join(format!("{:02}", repetition + 1));
                results[side].push(one(&both[side], &folder, &stop).await?);
                if stop.is_requested() {
                    return Ok(ExitCode::from(Outcome::Interrupted.exit_code()));
                }
            }
        }
        let [a, b] = results;
        let text = text(&a, &b);
        print!("{text}");
        std::fs::write(path.join("compare.txt"), text).context("compare.txt")?;
        Ok(ExitCode::from(outcome(&a, &b).exit_code()))
    })
}

async fn one(configuration: &Configuration, folder: &Path, stop: &Stop) -> anyhow::Result<Results> {
    let plan = Plan::new("run", &configuration.options.plan)?;
    let environment = &configuration.environment;
    let measured = run::one(&configuration.options, folder, plan, None, environment, stop).await?;
    Ok(measured.results)
}

/// The worst outcome of all runs: figures of a run without a sound verdict are no figures.
fn outcome(a: &[Results], b: &[Results]) -> Outcome {
    let outcomes = a.iter().chain(b).map(|results| results.verdict.outcome);
    outcomes.fold(Outcome::Passed, worst)
}

/// The results of a folder: one run, or every folder in it.
fn repetitions(path: &Path) -> anyhow::Result<Vec<Results>> {
    if !path.is_dir() || path.join("results.json").exists() {
        return Ok(vec![Results::read(path)?]);
    }
    let mut folders: Vec<PathBuf> = std::fs::read_dir(path)
        .with_context(|| path.display().to_string())?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join("results.json").exists())
        .collect();
    folders.sort();
    if folders.is_empty() {
        bail!(
            "{}: it contains neither results nor folders with results",
            path.display()
        );
    }
    Ok(folders
        .iter()
        .map(|folder| Results::read(folder))
        .collect::<Result<_, _>>()?)
}

/// Selects a statistic of a latency, in microseconds.
type Statistic = fn(&Summary) -> u64;
/// The name of a figure, and its value in a run.
type Figure = (String, Box<dyn Fn(&Results) -> Option<f64>>);

fn figures() -> Vec<Figure> {
    let mut figures: Vec<Figure> = vec![
        (
            "acknowledged, records/s".to_owned(),
            Box::new(|results| Some(results.acknowledged_per_s())),
        ),
        (
            "CPU of the target, us a record".to_owned(),
            Box::new(|results| Some(results.cpu_s() * 1e6 / results.sent.max(1) as f64).filter(|cpu| *cpu > 0.0)),
        ),
        (
            "memory of the target, peak MB".to_owned(),
            Box::new(|results| Some(results.resident_peak_bytes() as f64 / 1e6).filter(|peak| *peak > 0.0)),
        ),
        (
            "CPU that others used, %".to_owned(),
            Box::new(|results| Some(results.others_cpu_share * 100.0)),
        ),
    ];
    for measure in Measure::ALL {
        let statistics: [(&str, Statistic); 4] = [
            ("p50", |summary| summary.p50_us),
            ("p99", |summary| summary.p99_us),
            ("p99.9", |summary| summary.p999_us),
            ("max", |summary| summary.max_us),
        ];
        for (name, statistic) in statistics {
            let figure = move |results: &Results| {
                results
                    .open_loop(measure)
                    .map(|summary| statistic(summary) as f64 / 1e3)
            };
            figures.push((format!("{measure} {name}, ms"), Box::new(figure)));
        }
    }
    figures
}

/// Formats the comparison.
fn text(a: &[Results], b: &[Results]) -> String {
    let mut text = format!(
        "{:<34} {:>12} {:>12} {:>8}   {}\n",
        format!("median of {} and {} runs", a.len(), b.len()),
        "A",
        "B",
        "B/A",
        "over the repetitions"
    );
    for (name, figure) in figures() {
        let of = |results: &[Results]| results.iter().filter_map(&figure).collect::<Vec<f64>>();
        let (of_a, of_b) = (of(a), of(b));
        let (Some(median_a), Some(median_b)) = (median(&of_a), median(&of_b)) else {
            continue;
        };
        let pairs = a.iter().zip(b);
        let pairs: Vec<(f64, f64)> = pairs.filter_map(|(a, b)| Some((figure(a)?, figure(b)?))).collect();
        let (paired_a, paired_b): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
        let ratio = Ratio::of(&paired_a, &paired_b);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<34} {median_a:>12.2} {median_b:>12.2} {ratio}");
    }
    for (side, results) in [("A", a), ("B", b)] {
        let unsound = results
            .iter()
            .filter(|results| results.verdict.outcome != Outcome::Passed);
        for results in unsound {
            let Verdict { outcome, reasons } = &results.verdict;
            let _ = writeln!(
                text,
                "{side} {} {}: {}",
                results.started_at,
                outcome.name(),
                reasons.join("; ")
            );
        }
    }
    text
}

/// With fewer repetitions, all ratios on one side of 1 are no evidence of a difference.
const TELLING: usize = 6;

/// The ratios of B to A, by repetition.
struct Ratio(Vec<f64>);

impl Ratio {
    fn of(a: &[f64], b: &[f64]) -> Self {
        Self(a.iter().zip(b).filter(|(a, _)| **a > 0.0).map(|(a, b)| b / a).collect())
    }
}

impl std::fmt::Display for Ratio {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(middle) = median(&self.0) else { return Ok(()) };
        write!(f, "{middle:>8.3}")?;
        if self.0.len() > 1 {
            let least = self.0.iter().copied().fold(f64::INFINITY, f64::min);
            let most = self.0.iter().copied().fold(0.0, f64::max);
            let said = match (least..=most).contains(&1.0) {
                true => "  no difference",
                false if self.0.len() < TELLING => "  too few to tell (--repeat)",
                false => "",
            };
            write!(f, "   {least:.3} to {most:.3}{said}")?;
        }
        Ok(())
    }
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_around_one_is_no_difference() {
        let ratio = |a: &[f64], b: &[f64]| Ratio::of(a, b).to_string();
        assert!(ratio(&[1.0, 2.0, 4.0], &[1.1, 1.8, 4.0]).ends_with("0.900 to 1.100  no difference"));
        assert!(
            ratio(&[1.0, 2.0], &[2.0, 3.0])
                .trim_start()
                .starts_with("1.750   1.500 to 2.000")
        );
        assert_eq!(ratio(&[2.0], &[1.0]).trim(), "0.500");
        assert_eq!(ratio(&[0.0], &[1.0]), "");
    }
}
