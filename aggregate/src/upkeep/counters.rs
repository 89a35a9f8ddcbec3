//! Computes the counters of complete hours, and of hours that were revised.
//!
//! In: hours that are due. Out: rows of `counter_hourly` under a new revision, and after them the row of
//! `counter_revisions` that makes the revision count. A job that dies in between leaves rows that nobody reads, and an
//! hour that is still due.

use std::collections::{BTreeMap, BTreeSet};

use clickhouse::Row;
use horolog_stage::incident::Reason;
use serde::Deserialize;

use super::awaited::SamplesByHour;
use super::config::UpkeepConfig;
use super::metrics::UpkeepMetrics;
use super::plan::{Decision, HourCounts, Job, TenantHour, cutoff, jobs};
use super::statements::{NAMES_BYTES_MAX, Statements, UpkeepError};
use crate::key::HOUR_S;

/// This many tenants may fail in a round without stopping the others; if more fail, the server is to blame.
const FAILED_TENANTS_MAX: usize = 3;
/// After this many jobs of a tenant that failed, its others wait for the next turn.
const FAILED_JOBS_MAX: usize = 3;
/// Maximum number of hours of named tenants in one statement.
const NAMED_HOURS_MAX: usize = 200;

/// Computes.
pub struct Counters {
    pub(super) statements: Statements,
    pub(super) config: UpkeepConfig,
    pub(super) metrics: UpkeepMetrics,
    /// The last revision used for each tenant.
    pub(super) last_revisions: BTreeMap<String, u64>,
}

/// A span of hours, of all tenants or of the named ones with their hours.
#[derive(Debug, Default)]
pub struct TenantHours {
    /// Start of the first hour, seconds since 1970.
    pub from: u32,
    /// End of the last hour.
    pub to: u32,
    /// Tenants; empty for all.
    pub tenants: Vec<String>,
    /// By position in `tenants`: the hour.
    pub hours: Vec<u32>,
}

impl TenantHours {
    /// The given hours in parts whose names fit into a statement. A tenant whose name alone is too long is in no part:
    /// nothing can be computed for it.
    pub fn parts<'a>(hours: impl Iterator<Item = (&'a str, u32)>) -> Vec<Self> {
        let (mut parts, mut bytes): (Vec<Self>, usize) = (Vec::new(), 0);
        for (tenant, hour) in hours.filter(|(tenant, _)| tenant.len() <= NAMES_BYTES_MAX) {
            bytes += tenant.len();
            match parts.last_mut() {
                Some(part) if part.hours.len() < NAMED_HOURS_MAX && bytes <= NAMES_BYTES_MAX => part.add(tenant, hour),
                _ => {
                    bytes = tenant.len();
                    parts.push(Self::of(tenant, hour));
                }
            }
        }
        parts
    }

    fn of(tenant: &str, hour: u32) -> Self {
        Self {
            from: hour,
            to: hour + HOUR_S,
            tenants: vec![tenant.to_owned()],
            hours: vec![hour],
        }
    }

    fn add(&mut self, tenant: &str, hour: u32) {
        self.from = self.from.min(hour);
        self.to = self.to.max(hour + HOUR_S);
        self.tenants.push(tenant.to_owned());
        self.hours.push(hour);
    }
}

/// What is left of hours that were to be brought up to date.
#[derive(Debug, Default)]
pub struct Left {
    /// Hours that wait for raw rows.
    pub short: SamplesByHour,
    /// Hours that could not be computed.
    pub failed: Vec<HourCounts>,
    /// Tenants and hours that were.
    pub computed: Vec<TenantHour>,
}

impl Left {
    /// Adds what another part left.
    pub fn add(&mut self, mut other: Self) {
        self.short.append(&mut other.short);
        self.failed.append(&mut other.failed);
        self.computed.append(&mut other.computed);
    }
}

#[derive(Debug, Row, Deserialize)]
struct Stale {
    hour: u32,
}

#[derive(Debug, Row, Deserialize)]
struct LabelSets {
    label_sets: u64,
}

impl Counters {
    /// Brings hours up to date, in jobs of at most `rows_max` raw samples or one hour. For hours in `lost` no more raw
    /// rows will come; tenants in `not_now` are not computed. Adds what cannot be done now to `left`.
    pub async fn bring_up_to_date(
        &mut self,
        of: &TenantHours,
        lost: &SamplesByHour,
        not_now: &BTreeSet<String>,
        rows_max: u64,
        left: &mut Left,
    ) -> Result<(), UpkeepError> {
        let mut due = Vec::new();
        for counts in self.counts(of).await? {
            match counts.decide(lost.get(&counts.key()).copied()) {
                Decision::Nothing => {}
                // The tenant's name is too long for a statement, so nothing can be computed.
                _ if counts.name_is_too_long() => left.failed.push(counts),
                Decision::Compute => due.push(counts),
                Decision::Expired(hourly_samples) => {
                    let known = HourCounts {
                        hourly_samples,
                        ..counts
                    };
                    self.expire(&known).await?;
                }
                Decision::Wait => drop(left.short.insert(counts.key(), counts.hourly_samples)),
            }
        }
        let mut failed: BTreeMap<String, usize> = BTreeMap::new();
        for job in jobs(due, rows_max) {
            let jobs_failed = failed.get(&job.tenant_id).copied().unwrap_or_default();
            if !not_now.contains(&job.tenant_id) && jobs_failed < FAILED_JOBS_MAX {
                let Err(error) = self.compute_with_followers(&job).await else {
                    left.computed.extend(job.hours.iter().map(HourCounts::key));
                    continue;
                };
                if jobs_failed == 0 && failed.len() == FAILED_TENANTS_MAX {
                    return Err(error);
                }
                tracing::warn!(tenant = job.tenant_id, from = job.from(), %error, "the counters of a tenant cannot be computed, trying again");
                self.metrics.failures.inc();
                failed.insert(job.tenant_id.clone(), jobs_failed + 1);
            }
            left.failed.extend(job.hours);
        }
        Ok(())
    }

    async fn counts(&self, of: &TenantHours) -> Result<Vec<HourCounts>, UpkeepError> {
        let query = self
            .statements
            .query(include_str!("due_hours.sql"))
            .param("from", of.from)
            .param("to", of.to)
            .param("tenants", &of.tenants)
            .param("hours", &of.hours);
        self.statements.rows("count the samples of hours", query).await
    }

    /// Computes a job, then the later hours that continue from a sample of it that is no longer its last one. Only then
    /// is the job settled: until then it is due again.
    async fn compute_with_followers(&mut self, job: &Job) -> Result<(), UpkeepError> {
        let revision = self.insert(job).await?;
        let unsettled = job.hours.iter().map(|_| 0).collect();
        self.publish(job, revision, unsettled).await?;
        let query = self.statements.about(include_str!("stale_hours.sql"), job);
        let stale: Vec<Stale> = self.statements.rows("look for hours that follow", query).await?;
        for following in TenantHours::parts(stale.iter().map(|stale| (job.tenant_id.as_str(), stale.hour))) {
            // An hour that lacks raw rows stays as it is: it is due on its own account, or the rows are gone.
            let followers = self.counts(&following).await?.into_iter();
            let followers = followers
                .filter(|hour| hour.raw_samples >= hour.hourly_samples)
                .collect();
            for follower in jobs(followers, self.config.slice_rows_max) {
                let revision = self.insert(&follower).await?;
                // An hour with new samples of its own stays due: other hours may follow it in turn.
                self.settle(&follower, revision, |hour| hour.known_samples).await?;
            }
        }
        self.settle(job, revision, |hour| hour.hourly_samples).await
    }

    /// Publishes a revision as the decision for hours with these numbers of samples.
    async fn settle(&self, job: &Job, revision: u64, samples: fn(&HourCounts) -> u64) -> Result<(), UpkeepError> {
        self.publish(job, revision, job.hours.iter().map(samples).collect())
            .await?;
        let query = self.statements.about(include_str!("report_resets.sql"), job);
        let query = self.statements.incidents(query, Reason::CounterResetTwice);
        let query = query.param("revision", revision);
        self.statements.execute("report resets", query).await?;
        let revised = job.hours.iter().filter(|hour| hour.known_samples > 0).count() as u64;
        self.metrics.hours.inc_by(job.hours.len() as u64);
        self.metrics.revised_hours.inc_by(revised);
        tracing::debug!(
            tenant = job.tenant_id,
            from = job.from(),
            to = job.to(),
            rows = job.rows(),
            revised,
            "computed counters"
        );
        Ok(())
    }

    /// Inserts the rows of a new revision, slice by slice; returns its number.
    async fn insert(&mut self, job: &Job) -> Result<u64, UpkeepError> {
        let revision = self.next_revision(job).await?;
        let cutoff = self.cutoff(job).await?;
        let slices = job.rows().div_ceil(self.config.slice_rows_max).max(1);
        for slice in 0..slices {
            let token = format!(
                "counters/{}/{}/{}/{revision}/{slices}/{slice}",
                self.statements.topic,
                job.tenant_id,
                job.from()
            );
            let query = self
                .statements
                .about(include_str!("insert_hours.sql"), job)
                .param("revision", revision)
                .param("cutoff", cutoff)
                .param("slices", slices)
                .param("slice", slice)
                .with_setting("insert_deduplication_token", token);
            self.statements.execute("compute counters", query).await?;
        }
        Ok(revision)
    }

    /// Revisions are named by the server's time and rise even if that was set back. Each attempt has its own: rows left
    /// by a failed one would otherwise count with those of the next.
    async fn next_revision(&mut self, job: &Job) -> Result<u64, UpkeepError> {
        let query = self.statements.about(include_str!("next_revision.sql"), job);
        let next: Option<u64> = self.statements.first("read the newest revision", query).await?;
        // Rows of an attempt without an answer may be stored after the tables were asked.
        let last = self.last_revisions.get(&job.tenant_id);
        let revision = next.unwrap_or_default().max(last.map_or(0, |last| last + 1));
        self.last_revisions.insert(job.tenant_id.clone(), revision);
        Ok(revision)
    }

    /// The cutoff for series. Label sets are counted only if there can be too many of them.
    async fn cutoff(&self, job: &Job) -> Result<u64, UpkeepError> {
        let label_sets_max = self.config.label_sets_max;
        if job.rows() <= label_sets_max {
            return Ok(u64::MAX);
        }
        let sql = "select toUInt64(uniqCombined64(${series_id})) as label_sets from metrics as m \
                   where m.tenant_id = {tenant:String} and m.kafka_topic = {topic:String} and m.metric_type = 'counter' \
                   and m.time >= toDateTime64({from:UInt32}, 6, 'UTC') and m.time < toDateTime64({to:UInt32}, 6, 'UTC')";
        let query = self.statements.about(sql, job);
        let found: Option<LabelSets> = self.statements.first("count label sets", query).await?;
        let label_sets = found.map_or(0, |found| found.label_sets);
        let overflowed = label_sets.saturating_sub(label_sets_max);
        if overflowed > 0 {
            self.metrics.overflowed.inc_by(overflowed);
            tracing::warn!(
                tenant = job.tenant_id,
                label_sets,
                label_sets_max,
                "more label sets than upkeep.label_sets_max: those beyond are added up in one series each metric, service, team and unit"
            );
        }
        Ok(cutoff(label_sets, label_sets_max))
    }

    /// Makes a revision count, together with the numbers of samples that the hours had in `metrics_hourly`.
    async fn publish(&self, job: &Job, revision: u64, hourly: Vec<u64>) -> Result<(), UpkeepError> {
        let hours: Vec<u32> = job.hours.iter().map(|hour| hour.hour).collect();
        let query = self
            .statements
            .about(include_str!("publish_hours.sql"), job)
            .param("revision", revision)
            .param("hours", hours)
            .param("hourly", hourly);
        self.statements.execute("publish counters", query).await
    }

    /// Leaves an hour as it was, and reports it.
    async fn expire(&self, hour: &HourCounts) -> Result<(), UpkeepError> {
        let job = Job {
            tenant_id: hour.tenant_id.clone(),
            hours: vec![hour.clone()],
        };
        for (what, sql) in [
            ("report missing raw rows", include_str!("report_expired.sql")),
            ("leave an hour as it is", include_str!("expire_hours.sql")),
        ] {
            let query = self
                .statements
                .incidents(self.statements.about(sql, &job), Reason::RawExpired);
            let query = query
                .param("hourly_samples", hour.hourly_samples)
                .param("raw_samples", hour.raw_samples);
            self.statements.execute(what, query).await?;
        }
        self.metrics.expired_hours.inc();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_hours_are_cut_by_the_length_of_their_names_and_by_their_number() {
        let [short, long, too_long] = [10, NAMES_BYTES_MAX, NAMES_BYTES_MAX + 1].map(|bytes| "n".repeat(bytes));
        let hours = [
            (&short, 3),
            (&short, 1),
            (&long, 2),
            (&too_long, 2),
            (&short, 2),
            (&short, 5),
        ];
        let parts = TenantHours::parts(hours.into_iter().map(|(tenant, hour)| (tenant.as_str(), hour * HOUR_S)));
        let told: Vec<_> = parts
            .iter()
            .map(|part| {
                (
                    part.from / HOUR_S,
                    part.to / HOUR_S,
                    part.tenants.len(),
                    part.hours.len(),
                )
            })
            .collect();
        assert_eq!(told, [(1, 4, 2, 2), (2, 3, 1, 1), (2, 6, 2, 2)]);

        let many = (0..NAMED_HOURS_MAX as u32 + 1).map(|hour| ("a", hour * HOUR_S));
        let parts: Vec<usize> = TenantHours::parts(many).iter().map(|part| part.hours.len()).collect();
        assert_eq!(parts, [NAMED_HOURS_MAX, 1]);
        assert!(TenantHours::parts(std::iter::empty()).is_empty());
    }
}
