//! One verification: which hours can be compared just now, and what differs in them.
//!
//! Correct while records keep arriving: everything is compared as of one cut, up to which the hours hold the records.
//! An hour that a batch behind the cut has touched by the end is compared again with a new cut; one that keeps changing
//! is reported as not compared. Differences are only reported for hours that did not change.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Months, Utc};
use horolog_stage::range::PartitionId;
use horolog_stage::store::Store;

use super::finding::Finding;
use super::totals::{self, Total};
use super::{keys, offsets};
use crate::block::HOURLY_TABLE;
use crate::broker::Broker;
use crate::cut::Cut;
use crate::hour_runs::hour_runs;
use crate::key::HOUR_S;
use crate::ledger;
use crate::retention::has_expired;
use crate::scope::Scope;
use crate::tool_error::ToolError;

/// Why an hour that kept changing was not compared.
pub(super) const MOVING: &str = "records keep arriving for it";
/// How often an hour that changes is compared again.
const ROUNDS_MAX: usize = 4;
/// Time between two checks of what is awaited.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// Time between two looks at how far ingest is, each of which reads its ledger.
const INGEST_INTERVAL: Duration = Duration::from_secs(2);
/// How long a batch that was begun may take to be stored.
const BEGUN_DEADLINE: Duration = Duration::from_secs(15);
/// How often offsets of differing hours are looked up, the first ones, at most twice an hour.
const LOOK_UPS_MAX: usize = 40;
/// Raw rows that the engine compares at a time, unless a single hour has more.
const RUN_ROWS_MAX: u64 = 5_000_000;
const DAY_S: i64 = 86_400;

/// What verifies.
#[derive(Clone)]
pub struct Verifier {
    /// The tables.
    pub store: Store,
    /// The log; `None` to leave it out.
    pub broker: Option<Arc<Broker>>,
    /// The topic of metric samples.
    pub topic: String,
    /// How long to wait for ingest.
    pub patience: Duration,
}

/// The outcome of a verification.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What differs.
    pub findings: Vec<Finding>,
    /// Hours that were compared with their raw rows.
    pub hours: BTreeSet<u32>,
    /// Hours some of whose raw rows have expired, or were never there, compared with the ledger alone.
    pub hours_by_ledger: BTreeSet<u32>,
    /// Hours that could not be compared, and why.
    pub not_compared: BTreeMap<u32, &'static str>,
    /// What else could not be compared.
    pub failures: Vec<String>,
}

impl Verifier {
    /// Compares everything there is to compare.
    pub async fn verify(&self, scope: &Scope) -> Result<Outcome, ToolError> {
        let mut outcome = Outcome::default();
        let cut = ledger::aggregated(&ledger::progress(&self.store).await?);
        outcome
            .findings
            .extend(offsets::contiguous(&self.store, &cut.topics()).await?);
        if let Some(broker) = &self.broker {
            match offsets::against_log(&self.store, broker, &self.topic).await {
                Ok(findings) => outcome.findings.extend(findings),
                Err(error) => outcome.failures.push(format!("the log: {error}")),
            }
        }
        self.hours(scope, &mut outcome).await?;
        Ok(outcome)
    }

    /// Compares hours.
    pub async fn hours(&self, scope: &Scope, outcome: &mut Outcome) -> Result<(), ToolError> {
        let kept = self.kept().await?;
        let mut scope = scope.clone();
        let mut skip = BTreeSet::new();
        let mut again: Option<BTreeSet<u32>> = None;
        for _ in 0..ROUNDS_MAX {
            let progress = ledger::progress(&self.store).await?;
            let gone = ledger::gone(&self.store, &progress, &self.topic).await?;
            let cut = ledger::aggregated_or_gone(&self.store, &progress, &gone).await?;
            let behind = self.hours_ingest_lacks(&scope, &cut.without(&gone)).await?;
            let totals = totals::read(&self.store, &scope, &cut).await?;
            let unread = match totals.values().any(|total| total.raw < total.ledger) {
                true => ledger::unread_by_ingest(&self.store, &scope, &cut).await?,
                false => BTreeMap::new(),
            };
            let missing = Missing {
                kept: &kept,
                behind,
                unread,
            };
            if let Some(again) = &again {
                skip = totals.keys().copied().filter(|hour| !again.contains(hour)).collect();
            }
            let round = self.round(&scope, &cut, &totals, &skip, &missing).await?;
            let moved = self.moved(&scope, &cut, &gone).await?;
            let looked_at = totals.keys().copied().filter(|hour| !skip.contains(hour));
            let Some(moved) = moved else {
                let reason = "a batch was begun but is not stored: is the aggregate stage running?";
                outcome.not_compared.extend(looked_at.map(|hour| (hour, reason)));
                return Ok(());
            };
            outcome.take(round, &moved);
            let moving: BTreeSet<u32> = looked_at.filter(|hour| moved.contains(hour)).collect();
            let (Some(first), Some(last)) = (moving.first(), moving.last()) else {
                return Ok(());
            };
            scope = scope.in_hours(*first, last + HOUR_S);
            again = Some(moving);
        }
        for hour in again.unwrap_or_default() {
            outcome.not_compared.insert(hour, MOVING);
        }
        Ok(())
    }

    /// Compares the known hours once, except those to skip.
    async fn round(
        &self,
        scope: &Scope,
        cut: &Cut,
        totals: &BTreeMap<u32, Total>,
        skip: &BTreeSet<u32>,
        missing: &Missing<'_>,
    ) -> Result<Outcome, ToolError> {
        let now = Utc::now();
        let mut outcome = Outcome::default();
        let mut with_raw = BTreeMap::new();
        let mut look_ups = 0..LOOK_UPS_MAX;
        for (&hour, &total) in totals.iter().filter(|(hour, _)| !skip.contains(hour)) {
            if total.hours < total.ledger && missing.kept.has_expired(hour, now) {
                outcome.not_compared.insert(hour, "its aggregates have expired");
                continue;
            }
            if (total.hours, total.late) != (total.ledger, total.ledger_late) {
                let offsets = match look_ups.next() {
                    Some(_) => looked_up(totals::hour_culprits(&self.store, hour, cut).await),
                    None => Vec::new(),
                };
                outcome.findings.push(total.hour_against_ledger(hour, offsets));
            }
            if missing.behind.contains(&hour) {
                outcome
                    .not_compared
                    .insert(hour, "ingest has not stored all of its raw rows: is it running?");
            } else if total.raw < total.ledger && missing.accounts_for(hour, total.ledger - total.raw, now) {
                outcome.hours_by_ledger.insert(hour);
            } else {
                if total.raw != total.ledger {
                    let (offsets, doubled) = match look_ups.next() {
                        Some(_) => looked_up(totals::raw_culprits(&self.store, hour, cut).await),
                        None => Default::default(),
                    };
                    outcome.findings.push(total.raw_against_ledger(hour, offsets));
                    if !doubled.is_empty() {
                        outcome.findings.push(Finding::RawDoubled { hour, offsets: doubled });
                    }
                }
                outcome.hours.insert(hour);
                with_raw.insert(hour, total.raw.max(total.hours));
            }
        }
        for run in runs(totals, &with_raw) {
            let hours = scope.in_hours(run.start, run.end);
            outcome.findings.extend(keys::compare(&self.store, &hours, cut).await?);
        }
        Ok(outcome)
    }

    /// Hours that batches behind the cut have touched; `None` while a begun one is not stored.
    async fn moved(
        &self,
        scope: &Scope,
        cut: &Cut,
        gone: &BTreeSet<PartitionId>,
    ) -> Result<Option<BTreeSet<u32>>, ToolError> {
        let deadline = Instant::now() + BEGUN_DEADLINE;
        let mut begun = ledger::begun_since(&self.store, cut, gone).await?;
        while !begun.is_empty() {
            if Instant::now() > deadline {
                return Ok(None);
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
            let now = ledger::begun_since(&self.store, cut, gone).await?;
            begun.retain(|batch| now.contains(batch));
        }
        Ok(Some(ledger::hours_since(&self.store, scope, cut).await?))
    }

    /// Hours of batches before `waited` that are aggregated but not yet among the raw rows.
    async fn hours_ingest_lacks(&self, scope: &Scope, waited: &Cut) -> Result<BTreeSet<u32>, ToolError> {
        let deadline = Instant::now() + self.patience;
        loop {
            let stored = ledger::stored_ends(&self.store, "ingest").await?;
            if waited.behind(&stored).next().is_none() {
                return Ok(BTreeSet::new());
            }
            if Instant::now() > deadline {
                let mut reached = Cut::default();
                for (log, end) in waited.iter() {
                    if let Some(at) = stored.get(log) {
                        reached.set(log.clone(), end.min(*at));
                    }
                }
                return ledger::hours_between(&self.store, scope, &reached, waited).await;
            }
            tokio::time::sleep(INGEST_INTERVAL).await;
        }
    }

    /// For how long the tables keep what is compared.
    async fn kept(&self) -> Result<Kept, ToolError> {
        Ok(Kept {
            raw_days: self.raw_days().await?,
            hours_months: self.store.months_kept(HOURLY_TABLE).await?,
        })
    }

    /// After how many days the table deletes raw rows; `None` if never.
    pub(super) async fn raw_days(&self) -> Result<Option<u32>, ToolError> {
        Ok(self.store.days_kept("metrics").await?)
    }
}

/// Where a difference is, or nothing if that cannot be looked up: it is told all the same.
pub(super) fn looked_up<T: Default>(asked: Result<T, ToolError>) -> T {
    asked.unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot look up the offsets of a difference");
        T::default()
    })
}

/// Runs of hours to compare with their raw rows, each by one statement. A run ends before an hour that is known and not
/// compared; it continues across hours that no source knows, which cannot differ: years of daily samples are a few
/// runs.
fn runs(totals: &BTreeMap<u32, Total>, with_raw: &BTreeMap<u32, u64>) -> Vec<Range<u32>> {
    let left_out = totals.keys().copied().filter(|hour| !with_raw.contains_key(hour));
    hour_runs(with_raw, &left_out.collect(), RUN_ROWS_MAX)
}

/// Why an hour may have fewer raw rows than records.
struct Missing<'a> {
    kept: &'a Kept,
    /// Hours of which ingest has not stored all that is aggregated.
    behind: BTreeSet<u32>,
    /// Records by hour, at most, that Kafka deleted before ingest read them.
    unread: BTreeMap<u32, u64>,
}

impl Missing<'_> {
    /// Whether so many raw rows of an hour may be gone for good.
    fn accounts_for(&self, hour: u32, rows: u64, now: DateTime<Utc>) -> bool {
        self.kept.has_lost_raw_rows(hour, now) || self.unread.get(&hour).is_some_and(|unread| rows <= *unread)
    }
}

/// How long the tables keep what is compared; `None` if nothing is deleted by age.
#[derive(Debug)]
struct Kept {
    raw_days: Option<u32>,
    hours_months: Option<u32>,
}

impl Kept {
    /// Whether raw rows of an hour may have been deleted by now, even if only its first ones.
    fn has_lost_raw_rows(&self, hour: u32, now: DateTime<Utc>) -> bool {
        self.raw_days
            .is_some_and(|days| i64::from(hour) + i64::from(days) * DAY_S < now.timestamp())
    }

    /// Whether its aggregates may have been.
    fn has_expired(&self, hour: u32, now: DateTime<Utc>) -> bool {
        self.hours_months
            .is_some_and(|months| has_expired(hour, Months::new(months), now))
    }
}

impl Outcome {
    /// Takes what a round found for the hours that did not change.
    fn take(&mut self, round: Self, moved: &BTreeSet<u32>) {
        let still = |hour: &u32| !moved.contains(hour);
        self.findings.extend(
            round
                .findings
                .into_iter()
                .filter(|finding| finding.hour().is_none_or(|hour| still(&hour))),
        );
        self.hours.extend(round.hours.into_iter().filter(still));
        self.hours_by_ledger
            .extend(round.hours_by_ledger.into_iter().filter(still));
        self.not_compared
            .extend(round.not_compared.into_iter().filter(|(hour, _)| still(hour)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn years_of_one_sample_a_day_are_one_run() {
        const DAYS: u32 = 25 * 365;
        let noon = |day: u32| (day * 24 + 12) * HOUR_S;
        let totals = (0..DAYS).map(|day| (noon(day), Total::default())).collect();
        let with_raw = (0..DAYS).map(|day| (noon(day), 1)).collect();
        let all = noon(0)..noon(DAYS - 1) + HOUR_S;
        assert_eq!(runs(&totals, &with_raw), [all]);
    }

    #[test]
    fn hours_that_are_known_and_not_compared_are_in_no_run() {
        let totals = [0, 2, 5, 6, 9].map(|hour| (hour * HOUR_S, Total::default())).into();
        let with_raw = [0, 2, 6, 9].map(|hour| (hour * HOUR_S, 1)).into();
        assert_eq!(runs(&totals, &with_raw), [0..3 * HOUR_S, 6 * HOUR_S..10 * HOUR_S]);
    }

    #[test]
    fn an_hour_may_have_lost_rows_as_soon_as_its_first_ones_are_too_old() {
        let kept = Kept {
            raw_days: Some(30),
            hours_months: Some(25),
        };
        let hour: u32 = 1_767_225_600; // 2026-01-01
        let at = |time: &str| time.parse::<DateTime<Utc>>().unwrap();
        assert!(!kept.has_lost_raw_rows(hour, at("2026-01-31T00:00:00Z")));
        assert!(kept.has_lost_raw_rows(hour, at("2026-01-31T00:00:01Z")));
        assert!(!kept.has_expired(hour, at("2028-02-01T00:00:00Z")));
        assert!(kept.has_expired(hour, at("2028-02-01T00:00:01Z")));
        let for_ever = Kept {
            raw_days: None,
            hours_months: None,
        };
        let late = at("2100-01-01T00:00:00Z");
        assert!(!for_ever.has_lost_raw_rows(hour, late) && !for_ever.has_expired(hour, late));
    }

    #[test]
    fn a_run_has_a_bound_of_rows() {
        let totals = [0, 2, 5].map(|hour| (hour * HOUR_S, Total::default())).into();
        let with_raw = [0, 2, 5].map(|hour| (hour * HOUR_S, RUN_ROWS_MAX / 2)).into();
        assert_eq!(runs(&totals, &with_raw), [0..3 * HOUR_S, 5 * HOUR_S..6 * HOUR_S]);
    }
}
