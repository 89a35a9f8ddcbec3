//! `merge`: combines the results of several testers that ran at the same time.
//!
//! Histograms are added up without loss, from the logs in the results folders; counts and accounts are added too. The
//! verdict is the worst of all. Closed-loop percentiles cannot be added, and are left out.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};

use crate::latencies::Latencies;
use crate::recorder::{Interval, Measure};
use crate::results::{MeasureFigures, Outcome, Results, Second, TESTER, read_latencies, table};

use super::create;

/// Options of `horolog-load merge`.
#[derive(Debug, Clone, clap::Args)]
pub struct MergeOptions {
    /// Folder for the merged results, which must not exist.
    into: PathBuf,
    /// Results folders, two or more.
    #[arg(required = true, num_args = 2..)]
    from: Vec<PathBuf>,
}

/// Runs the subcommand.
pub fn run(options: &MergeOptions) -> anyhow::Result<ExitCode> {
    let mut all: Vec<(Results, BTreeMap<Measure, Latencies>)> = Vec::new();
    for path in &options.from {
        let results = Results::read(path)?;
        let prefix = &results.settings.tenant_prefix;
        if all.iter().any(|(known, _)| known.settings.tenant_prefix == *prefix) {
            bail!("{}: the results of {prefix} are named twice", path.display());
        }
        all.push((results, read_latencies(path)?));
    }
    let mut totals: BTreeMap<Measure, Latencies> = BTreeMap::new();
    let mut folder = create(&options.into)?;
    let started = all
        .iter()
        .map(|(results, _)| results.started_at.parse::<DateTime<Utc>>());
    if let Some(first) = started.collect::<Result<Vec<_>, _>>()?.into_iter().min() {
        folder.begin(first.into());
    }
    for (results, measures) in &all {
        for (measure, latencies) in measures {
            folder.log(
                *measure,
                &Interval {
                    begins: Duration::ZERO,
                    length: Duration::try_from_secs_f64(results.total_s)?,
                    latencies: latencies.clone(),
                },
            )?;
            match totals.get_mut(measure) {
                Some(total) => total.add(latencies.histogram()),
                None => {
                    totals.insert(*measure, latencies.clone());
                }
            }
        }
    }
    let mut results = all.into_iter().map(|(results, _)| results);
    let mut merged = results.next().context("name the results to merge")?;
    for other in results {
        add(&mut merged, other);
    }
    merged.mode = "merge".to_owned();
    merged.measures = totals
        .iter()
        .map(|(measure, latencies)| {
            let figures = MeasureFigures {
                open_loop: latencies.summary(),
                ..MeasureFigures::default()
            };
            (*measure, figures)
        })
        .collect();
    folder.complete(&merged, &totals)?;
    print!("{}", table(&merged));
    Ok(ExitCode::from(merged.verdict.outcome.exit_code()))
}

/// Adds another tester's results.
fn add(to: &mut Results, other: Results) {
    to.settings.records_per_s += other.settings.records_per_s;
    to.sent += other.sent;
    to.answered += other.answered;
    to.unanswered += other.unanswered;
    to.total_s = to.total_s.max(other.total_s);
    to.sending_s = to.sending_s.max(other.sending_s);
    to.tester.late += other.tester.late;
    to.tester.own_lateness = to.tester.own_lateness.worst_of(&other.tester.own_lateness);
    to.account = match (to.account.take(), other.account) {
        (Some(one), Some(other)) => Some(one.plus(&other)),
        _ => None,
    };
    add_seconds(&mut to.seconds, &other.seconds);
    to.objectives.extend(other.objectives);
    to.disturbances.extend(other.disturbances);
    // Each tester watched the processes of the same target, so add only those not known yet; but each has its own.
    for process in other.processes {
        if process.name == TESTER || !to.processes.iter().any(|known| known.name == process.name) {
            to.processes.push(process);
        }
    }
    for process in to.processes.iter_mut().filter(|process| process.name != TESTER) {
        process.cpu_us_a_record = process.cpu_s * 1e6 / to.sent.max(1) as f64;
    }
    to.verdict.reasons.extend(other.verdict.reasons);
    to.verdict.outcome = worst(to.verdict.outcome, other.verdict.outcome);
}

pub(super) fn worst(one: Outcome, other: Outcome) -> Outcome {
    let badness = |outcome| match outcome {
        Outcome::Passed => 0,
        Outcome::Refused => 1,
        Outcome::Interrupted => 2,
        Outcome::Failed => 3,
    };
    if badness(one) >= badness(other) { one } else { other }
}

/// Adds second by second; a tester that ended earlier keeps its last values.
fn add_seconds(to: &mut Vec<Second>, other: &[Second]) {
    let Some(last) = other.last() else { return };
    if to.len() < other.len() {
        let until = to.last().copied().unwrap_or_default();
        to.extend(other[to.len()..].iter().map(|second| Second {
            at_s: second.at_s,
            ..until
        }));
    }
    for (index, second) in to.iter_mut().enumerate() {
        let add = other.get(index).unwrap_or(last);
        second.sent += add.sent;
        second.acknowledged += add.acknowledged;
        second.stored += add.stored;
        second.aggregated += add.aggregated;
        second.stored_lag += add.stored_lag;
        second.aggregated_lag += add.aggregated_lag;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tester_that_ended_earlier_stays_at_its_last() {
        let second = |at: u64, sent| Second {
            at_s: at as f64,
            sent,
            ..Second::default()
        };
        let mut sum = vec![second(1, 10)];
        add_seconds(&mut sum, &[second(1, 1), second(2, 2)]);
        assert_eq!(sum, [second(1, 11), second(2, 12)]);
        add_seconds(&mut sum, &[second(1, 100)]);
        assert_eq!(sum, [second(1, 111), second(2, 112)]);
    }
}
