//! Hours of tenants whose counters could not be computed: too many label sets for the memory, a statement that takes
//! too long.
//!
//! In: what failed when hours were brought up to date. Out: rows of `counter_revisions` that say so (revision 0 of 0
//! samples), so that the next member finds these hours and no reader takes them for complete; and one tenant per round
//! to try again, in turns. Other tenants wait for none of it. Hours of a tenant whose name is too long for a statement
//! are marked and never tried again, so they are counted and not kept.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use super::plan::{HourCounts, TenantHour};
use super::statements::{NAMES_BYTES_MAX, Statements, UpkeepError};

/// How often the tables are asked: another member that overlaps with this one may mark an hour after it was computed.
const ASKED_EVERY: Duration = Duration::from_secs(600);

/// Hours that could not be computed.
#[derive(Debug, Default)]
pub struct Failed {
    /// Tenants and hours.
    hours: BTreeSet<TenantHour>,
    /// When the tables were asked, if they were.
    asked_at: Option<Instant>,
    /// Number of hours of tenants whose names are too long for a statement.
    unnameable: usize,
    last_tried: String,
}

/// A row of `counter_revisions`. Inserted as a row, because the tenant's name may be too long for a parameter of a
/// statement.
#[derive(Debug, Row, Serialize)]
struct Mark {
    tenant_id: String,
    hour: u32,
    kafka_topic: String,
    decided_at: i64,
    revision: u64,
    outcome: i8,
    hourly_samples: u64,
    raw_samples: u64,
    series: u64,
    overflow_series: u64,
    inserted_at: i64,
}

/// The outcome of any decision except leaving an hour as it is.
const COMPUTED: i8 = 1;

impl Mark {
    fn of(hour: &HourCounts, topic: &str, counted_ms: i64, now_ms: i64) -> Self {
        Self {
            tenant_id: hour.tenant_id.clone(),
            hour: hour.hour,
            kafka_topic: topic.to_owned(),
            decided_at: counted_ms,
            revision: 0,
            outcome: COMPUTED,
            hourly_samples: 0,
            raw_samples: 0,
            series: 0,
            overflow_series: 0,
            inserted_at: now_ms,
        }
    }
}

#[derive(Debug, Row, Deserialize)]
struct Undecided {
    tenant_id: String,
    hour: u32,
}

impl Failed {
    /// Reads what the tables say, unless that was done a short time ago.
    pub async fn find(&mut self, statements: &Statements) -> Result<(), UpkeepError> {
        if self.asked_at.is_some_and(|asked_at| asked_at.elapsed() < ASKED_EVERY) {
            return Ok(());
        }
        // A name that is too long for a statement is read as an empty one, which no tenant has.
        let query = "select if(length(r.tenant_id) <= {bytes:UInt64}, r.tenant_id, '') as tenant_id, toUInt32(r.hour) as hour \
                     from counter_revisions as r where r.kafka_topic = {topic:String} \
                     group by r.tenant_id, r.hour having argMax(r.hourly_samples, r.decided_at) = 0";
        let query = statements.query(query).param("bytes", NAMES_BYTES_MAX);
        let mut found: Vec<Undecided> = statements.rows("read the hours that failed", query).await?;
        let all = found.len();
        found.retain(|hour| !hour.tenant_id.is_empty());
        self.unnameable = all - found.len();
        let hours = found.into_iter().map(|hour| (hour.tenant_id, hour.hour));
        self.hours.extend(hours);
        self.asked_at = Some(Instant::now());
        Ok(())
    }

    /// Another member does the upkeep now.
    pub fn forget(&mut self) {
        (self.hours, self.asked_at, self.unnameable) = (BTreeSet::new(), None, 0);
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.hours.len() + self.unnameable
    }

    /// Whose hours they are.
    pub fn tenants(&self) -> BTreeSet<String> {
        self.hours.iter().map(|(tenant, _)| tenant.clone()).collect()
    }

    /// Adds some, and marks in the tables those that were never decided on. The marks are dated by when the hours were
    /// counted: what another member has decided since, while this one slept, stands.
    pub async fn add(
        &mut self,
        failed: &[HourCounts],
        counted_ms: i64,
        statements: &Statements,
    ) -> Result<(), UpkeepError> {
        let is_new = |hour: &&HourCounts| hour.known_samples == 0 && !self.hours.contains(&hour.key());
        let new: Vec<&HourCounts> = failed.iter().filter(is_new).collect();
        if !new.is_empty() {
            // Not by this host's clock: the next decision is dated by the server's, and the newest of both counts.
            let now_ms = statements.now_ms().await?;
            let marks: Vec<Mark> = new
                .iter()
                .map(|hour| Mark::of(hour, &statements.topic, counted_ms, now_ms))
                .collect();
            statements
                .insert("leave hours that failed", "counter_revisions", &marks)
                .await?;
        }
        self.unnameable += new.iter().filter(|hour| hour.name_is_too_long()).count();
        let tried_again = failed.iter().filter(|hour| !hour.name_is_too_long());
        self.hours.extend(tried_again.map(HourCounts::key));
        Ok(())
    }

    /// The hours of the next tenant to be tried again.
    pub fn next(&mut self) -> BTreeSet<TenantHour> {
        let tenants = self.tenants();
        let next = tenants.iter().find(|tenant| **tenant > self.last_tried);
        let Some(tenant) = next.or(tenants.first()) else {
            return BTreeSet::new();
        };
        self.last_tried.clone_from(tenant);
        self.hours.iter().filter(|(of, _)| of == tenant).cloned().collect()
    }

    /// Those hours were tried again; some are left.
    pub fn tried(&mut self, hours: &BTreeSet<TenantHour>, left: impl IntoIterator<Item = TenantHour>) {
        self.hours.retain(|hour| !hours.contains(hour));
        self.hours.extend(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour(tenant: &str, hour: u32) -> TenantHour {
        (tenant.to_owned(), hour)
    }

    #[test]
    fn tenants_take_turns_until_nothing_of_them_is_left() {
        let hours = [hour("a", 1), hour("a", 2), hour("b", 1)];
        let mut failed = Failed {
            hours: hours.into_iter().collect(),
            ..Failed::default()
        };
        let of_a = failed.next();
        assert_eq!(of_a, BTreeSet::from([hour("a", 1), hour("a", 2)]));
        failed.tried(&of_a, [hour("a", 2)]);
        let of_b = failed.next();
        assert_eq!(of_b, BTreeSet::from([hour("b", 1)]));
        failed.tried(&of_b, []);
        assert_eq!(failed.next(), BTreeSet::from([hour("a", 2)]));
        assert_eq!(
            (failed.count(), failed.tenants()),
            (1, BTreeSet::from(["a".to_owned()]))
        );
        failed.forget();
        assert!(failed.next().is_empty());
    }
}
