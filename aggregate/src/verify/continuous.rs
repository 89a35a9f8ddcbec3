//! Verification in the running stage: verifies the newest complete hours again and again, and reports differences
//! loudly.
//!
//! The member of the group that does the upkeep does it. A round begins at the first of the newest hours that was not
//! equal yet or for which the ledger counts another number of records since. Hours that differ, or for which records
//! keep arriving, are compared again even when they are no longer among the newest ([`DifferingHours`]). If hours become
//! complete faster than they are compared, as after a partition that stood still, it continues where it was. Never
//! repairs: an operator decides what to rebuild.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use horolog_stage::config::ConfigError;
use horolog_stage::incident::{Incident, Reason};
use horolog_stage::metrics::{TopicLabel, registered};
use horolog_stage::store::Store;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use serde::{Deserialize, Serialize};

use super::complete_hours_end_of;
use super::differing::DifferingHours;
use super::finding::{CHECKS, Finding};
use super::verifier::{MOVING, Outcome, Verifier};
use crate::broker::Broker;
use crate::config::Config;
use crate::key::HOUR_S;
use crate::ledger;
use crate::scope::Scope;
use crate::tool_error::ToolError;
use crate::upkeep::{Duty, Statements, TaskProgress};

/// Differences of a round that are logged individually.
const TOLD_MAX: usize = 20;
/// Maximum number of hours that a round compares when it has to catch up.
const HOURS_A_ROUND: u32 = 24;
/// Hours that became complete longer ago are left to the command.
const BACK_MAX_S: u32 = 31 * 24 * HOUR_S;
/// The name of the task in `upkeep_progress`.
const TASK: &str = "verification";

/// `[verify]`: verification in the running stage.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VerifyConfig {
    /// How often the newest complete hours are verified, seconds. 0: never.
    pub interval_s: u64,
    /// The number of newest hours to verify.
    pub hours: u32,
    /// How long to wait for ingest, seconds.
    pub wait_s: u64,
}

impl Default for VerifyConfig {
    fn default() -> Self {
        Self {
            interval_s: 300,
            hours: 3,
            wait_s: 30,
        }
    }
}

/// The label of one comparison.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CheckLabel {
    check: &'static str,
}

#[derive(Debug, Clone)]
struct Metrics {
    hours: Counter,
    differences: Family<CheckLabel, Gauge>,
    not_compared: Counter,
    failures: Counter,
    last_hour: Family<TopicLabel, Gauge>,
    last_seconds: Gauge<f64, std::sync::atomic::AtomicU64>,
}

impl Metrics {
    fn register(registry: &mut Registry) -> Self {
        let r = registry.sub_registry_with_prefix("horolog_verify");
        Self {
            hours: registered(
                r,
                "hours",
                "Hours that were compared and are equal; one without any record is",
            ),
            differences: registered(
                r,
                "differences",
                "What differs as of the last verification of each hour, by what was compared: anything but 0 is an alarm",
            ),
            not_compared: registered(r, "hours_not_compared", "Hours that could not be compared"),
            failures: registered(r, "failures", "Verifications that ended early"),
            last_hour: registered(
                r,
                "last_hour_timestamp_seconds",
                "End of the newest hour that was compared and is equal, be it one without any record",
            ),
            last_seconds: registered(r, "last_duration_seconds", "Duration of the last verification"),
        }
    }

    /// Reports nothing more of what another process verifies now.
    fn leave_to_others(&self) {
        self.differences.clear();
        self.last_hour.clear();
    }
}

/// The task.
pub struct ContinuousVerification {
    verifier: Verifier,
    /// For the progress of the task.
    statements: Statements,
    config: VerifyConfig,
    duty: Duty,
    metrics: Metrics,
    /// The ledger's counts for hours that were equal.
    equal: BTreeMap<u32, u64>,
    /// Hours that differ or for which records keep arriving.
    differing: DifferingHours,
    /// When they may be compared again.
    again_at: Instant,
    /// What was logged already, without sums.
    told: BTreeSet<String>,
}

impl ContinuousVerification {
    /// As configured; does not connect.
    pub fn new(config: &Config, duty: Duty, registry: &mut Registry) -> Result<Self, ToolError> {
        if config.verify.hours == 0 {
            return Err(ToolError::Config(ConfigError::invalid(
                "verify.hours",
                "must be at least 1; verify.interval_s = 0 turns the verification off",
            )));
        }
        Ok(Self {
            verifier: Verifier {
                store: Store::new(&config.clickhouse)?,
                broker: Some(Arc::new(Broker::new(&config.kafka, &config.source.group)?)),
                topic: config.source.metrics_topic.clone(),
                patience: Duration::from_secs(config.verify.wait_s),
            },
            statements: Statements::new(&config.clickhouse, &config.upkeep, &config.source.metrics_topic)?,
            config: config.verify.clone(),
            duty,
            metrics: Metrics::register(registry),
            equal: BTreeMap::new(),
            differing: DifferingHours::default(),
            again_at: Instant::now(),
            told: BTreeSet::new(),
        })
    }

    /// Verifies periodically, for ever. What fails is tried again the next time.
    pub async fn run(mut self) {
        if self.config.interval_s == 0 {
            return;
        }
        let mut ticks = tokio::time::interval(Duration::from_secs(self.config.interval_s));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if !self.duty.is_ours() {
                self.metrics.leave_to_others();
                continue;
            }
            if let Err(error) = self.round().await {
                self.metrics.failures.inc();
                tracing::warn!(%error, "the verification stopped early, trying again at the next wake-up");
            }
        }
    }

    async fn round(&mut self) -> Result<(), ToolError> {
        let begun = Instant::now();
        let progress = ledger::progress(&self.verifier.store).await?;
        let Some(end) = complete_hours_end_of(&progress, &self.verifier.topic) else {
            return Ok(());
        };
        let begins = end.saturating_sub(self.config.hours.saturating_mul(HOUR_S));
        let mut compared = TaskProgress::read(&self.statements, TASK).await?;
        let oldest = end.saturating_sub(BACK_MAX_S).min(begins);
        let from = match compared.through {
            0 => begins,
            through => through.clamp(oldest, begins),
        };
        let end = end.min(from.saturating_add(HOUR_S.saturating_mul(HOURS_A_ROUND.max(self.config.hours))));
        let newest = Scope::all(from, end);
        let cut = ledger::aggregated(&progress);
        let counts = ledger::hour_counts(&self.verifier.store, &newest, &cut).await?;
        let due = (newest.from..newest.to)
            .step_by(HOUR_S as usize)
            .find(|hour| !self.is_equal(*hour, &counts));
        let scope = newest.in_hours(due.unwrap_or(end), end);
        let outcome = self.verifier.verify(&scope).await?;
        self.differing.take(&scope, &outcome);
        self.take_equal(newest.from, &scope, &outcome, &counts);
        self.metrics.last_seconds.set(begun.elapsed().as_secs_f64());
        self.tell(&outcome).await;
        let through = through(&outcome, end);
        if compared.through < through {
            compared.through = through;
            compared.save(&self.statements, TASK).await?;
        }
        self.look_again(oldest, newest.from).await
    }

    /// Remembers which of the hours just looked at are equal. An hour without any records is equal.
    fn take_equal(&mut self, from: u32, looked_at: &Scope, outcome: &Outcome, counts: &BTreeMap<u32, u64>) {
        let differing = &self.differing;
        self.equal.retain(|hour, _| *hour >= from && !differing.has_hour(*hour));
        for hour in (looked_at.from..looked_at.to).step_by(HOUR_S as usize) {
            if !outcome.not_compared.contains_key(&hour) && !differing.has_hour(hour) {
                self.equal.insert(hour, counts.get(&hour).copied().unwrap_or(0));
                self.metrics.hours.inc();
            }
        }
        if let Some(newest) = self.equal.keys().next_back() {
            let label = TopicLabel::of(&self.verifier.topic);
            self.metrics
                .last_hour
                .get_or_create(&label)
                .set(i64::from(newest + HOUR_S));
        }
    }

    /// Compares the differing hours from `oldest` to before `newest` again, using about a tenth of the time at most,
    /// since each is read as a whole. The next round reports the result.
    async fn look_again(&mut self, oldest: u32, newest: u32) -> Result<(), ToolError> {
        self.differing.forget(oldest, newest);
        let begun = Instant::now();
        if begun < self.again_at {
            return Ok(());
        }
        // Ingest has just been waited for.
        let verifier = Verifier {
            patience: Duration::ZERO,
            ..self.verifier.clone()
        };
        let mut ended = Ok(());
        for (from, to) in self.differing.spans_before(newest) {
            let (scope, mut outcome) = (Scope::all(from, to), Outcome::default());
            match verifier.hours(&scope, &mut outcome).await {
                Ok(()) => self.differing.take(&scope, &outcome),
                Err(error) => ended = Err(error),
            }
        }
        self.again_at = Instant::now() + 10 * begun.elapsed();
        ended
    }

    fn is_equal(&self, hour: u32, counts: &BTreeMap<u32, u64>) -> bool {
        self.equal.get(&hour).copied() == Some(counts.get(&hour).copied().unwrap_or(0))
    }

    /// Sets the metrics; logs and records what was not reported before.
    async fn tell(&mut self, outcome: &Outcome) {
        let of_no_hour = outcome.findings.iter().filter(|finding| finding.hour().is_none());
        let findings: Vec<&Finding> = of_no_hour.chain(self.differing.findings()).collect();
        for check in CHECKS {
            let found = findings.iter().filter(|finding| finding.check() == check).count();
            self.metrics
                .differences
                .get_or_create(&CheckLabel { check })
                .set(found as i64);
        }
        self.metrics.not_compared.inc_by(outcome.not_compared.len() as u64);
        for failure in &outcome.failures {
            tracing::warn!(failure, "not verified");
        }
        let words: BTreeSet<String> = findings
            .iter()
            .map(|finding| finding.without_sums().to_string())
            .collect();
        self.told.retain(|what| words.contains(what));
        for finding in findings.iter().take(TOLD_MAX) {
            if !self.told.insert(finding.without_sums().to_string()) {
                continue;
            }
            let what = finding.to_string();
            tracing::error!(
                check = finding.check(),
                what,
                "the hours, the raw rows, the ledger and the log do not agree"
            );
            let incident = Incident::of_hour("aggregate", Reason::HoursDiffer, finding.hour().unwrap_or(0), what);
            incident.record(&self.verifier.store).await;
        }
    }
}

/// Up to where hours need not be verified again, or are kept to be compared again.
fn through(outcome: &Outcome, end: u32) -> u32 {
    let mut left = outcome.not_compared.iter().filter(|(_, why)| **why != MOVING);
    left.next().map_or(end, |(hour, _)| *hour)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_for_which_records_keep_arriving_holds_nothing_back() {
        let not_compared = |hours: &[(u32, &'static str)]| Outcome {
            not_compared: hours.iter().copied().collect(),
            ..Outcome::default()
        };
        assert_eq!(through(&not_compared(&[(1, MOVING), (2, MOVING)]), 9), 9);
        assert_eq!(through(&not_compared(&[(1, MOVING), (2, "ingest is behind")]), 9), 2);
    }
}
