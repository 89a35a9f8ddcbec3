//! The verdict on a run. Pure.
//!
//! The first that applies decides: a lost or doubled record fails the run; an interrupted run has no verdict; a tester
//! that was the bottleneck refuses one; a missed objective fails the run.

use serde::{Deserialize, Serialize};

use super::figures::{Disturbance, Results, TesterFigures};

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Every record is in its place exactly once, and every objective was met.
    Passed,
    /// A record was lost or doubled, or an objective missed.
    Failed,
    /// The tester could not keep to the schedule, so its figures say nothing about the target.
    Refused,
    /// The run was stopped before its end.
    Interrupted,
}

/// The outcome of a run, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The outcome.
    pub outcome: Outcome,
    /// The reasons, one per line; empty for a run that passed.
    pub reasons: Vec<String>,
}

impl Outcome {
    /// The exit code of the program.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Failed => 1,
            Self::Refused => 3,
            // As a shell reports a program that was ended by Ctrl-C.
            Self::Interrupted => 130,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Interrupted => "interrupted",
        }
    }
}

impl TesterFigures {
    /// Whether too many records left too late because of the tester.
    pub fn was_bottleneck(&self) -> bool {
        self.late as f64 > self.late_share_max * self.own_lateness.records as f64
    }
}

impl Verdict {
    /// Judges the results. `unseen` records were acknowledged but had not been observed to pass all stages by the
    /// deadline.
    pub fn of(results: &Results, interrupted: bool, unseen: u64) -> Self {
        let mut faults: Vec<String> = results
            .account
            .as_ref()
            .map(|account| account.faults())
            .unwrap_or_default();
        if unseen > 0 && !interrupted {
            faults.push(format!(
                "{unseen} records were not seen to pass a stage by the deadline"
            ));
        }
        if results.sent == 0 && !interrupted {
            faults.push("no record was sent, so nothing was measured".to_owned());
        }
        if !faults.is_empty() {
            return Self::new(Outcome::Failed, faults);
        }
        if interrupted {
            return Self::new(Outcome::Interrupted, vec!["stopped before its end".to_owned()]);
        }
        let tester = &results.tester;
        if tester.was_bottleneck() {
            let share = tester.late as f64 / tester.own_lateness.records.max(1) as f64;
            let reason = format!(
                "the tester was the bottleneck: {:.2} % of the records left more than {:.0} ms late through its own \
                 fault, {:.2} % are allowed; lower the rate or run it on its own machine",
                share * 100.0,
                tester.late_after_s * 1e3,
                tester.late_share_max * 100.0
            );
            return Self::new(Outcome::Refused, vec![reason]);
        }
        let not_disturbed = results.disturbances.iter().filter(|done| done.failure.is_some());
        let mut reasons: Vec<String> = not_disturbed.map(Disturbance::text).collect();
        if results.unanswered > 0 && results.disturbances.is_empty() {
            reasons.push(format!(
                "{} queries failed or could not be sent in time",
                results.unanswered
            ));
        }
        if let Some(error) = tester.first_error.as_ref().filter(|_| results.disturbances.is_empty()) {
            reasons.push(format!("kafka did not accept every record: {error}"));
        }
        let missed = results.objectives.iter().filter(|objective| !objective.held);
        reasons.extend(missed.map(|objective| match objective.found_us {
            Some(found) => format!("{} missed: {:.3} s", objective.objective, found as f64 / 1e6),
            None => format!("{} missed: not measured", objective.objective),
        }));
        let outcome = if reasons.is_empty() {
            Outcome::Passed
        } else {
            Outcome::Failed
        };
        Self::new(outcome, reasons)
    }

    /// Adds faults found by a mode. A run without a verdict stays without one.
    pub fn add(&mut self, faults: Vec<String>) {
        if !faults.is_empty() && self.outcome == Outcome::Passed {
            self.outcome = Outcome::Failed;
        }
        self.reasons.extend(faults);
    }

    fn new(outcome: Outcome, reasons: Vec<String>) -> Self {
        Self { outcome, reasons }
    }
}
