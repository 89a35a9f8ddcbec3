//! The settings that every stage has: when a batch is closed, how it is delivered, when an hour is complete.

use std::ops::RangeInclusive;

use horolog_schemas::BATCH_BYTES_MAX;
use serde::{Deserialize, Serialize};

use crate::config::ConfigError;

/// Half of what can be decoded at once: a batch, with the record that fills it, stays well below.
const BYTES_MAX: u64 = BATCH_BYTES_MAX as u64 / 2;
/// A paused writer is shut out after so long, and the servers must remember tokens for longer.
const LEASE_S: RangeInclusive<u64> = 1..=3_600;
/// The broker considers a member dead that does not poll for five minutes.
const DRAIN_DEADLINE_S_MAX: u64 = 240;
/// All stages, by their names in the ledger.
const STAGES: [&str; 2] = ["ingest", "aggregate"];

/// `[batch]`: when a batch is closed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BatchConfig {
    /// Maximum number of records in a batch.
    pub rows_max: usize,
    /// Maximum memory of a batch's records.
    pub bytes_max: usize,
    /// Maximum age of a batch's first record, ms. 0: 250 ms for each partition held of the topic that had a record in
    /// the last 10 s, at least 500 ms and at most 10 s, so that a member makes at most four inserts per second and
    /// table.
    pub age_max_ms: u64,
}

impl Default for BatchConfig {
    fn default() -> Self {
        Self {
            rows_max: 262_144,
            bytes_max: 64 << 20,
            age_max_ms: 0,
        }
    }
}

impl BatchConfig {
    /// Refuses what no batch can be made with.
    pub fn check(&self) -> Result<(), ConfigError> {
        require("batch.rows_max", self.rows_max as u64, 1..=u64::from(u32::MAX))?;
        require("batch.bytes_max", self.bytes_max as u64, 1..=BYTES_MAX)
    }
}

/// `[delivery]`: how batches are delivered.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeliveryConfig {
    /// Batches per topic that are prepared and inserted at a time.
    pub concurrency: usize,
    /// Memory of records that are not stored yet, over all partitions; beyond it, fetching is paused.
    pub buffer_bytes_max: usize,
    /// Life of a lease, seconds; at most the one that the tables were migrated with (`tables.lease_seconds` of
    /// `horolog-migrate`).
    pub lease_s: u64,
    /// How long batches in progress are waited for on shutdown and when partitions are revoked, seconds.
    pub drain_deadline_s: u64,
}

impl Default for DeliveryConfig {
    fn default() -> Self {
        Self {
            concurrency: 3,
            buffer_bytes_max: 160 << 20,
            lease_s: 60,
            drain_deadline_s: 20,
        }
    }
}

impl DeliveryConfig {
    /// Refuses values with which nothing could be delivered.
    pub fn check(&self) -> Result<(), ConfigError> {
        require("delivery.concurrency", self.concurrency as u64, 1..=1_024)?;
        require("delivery.buffer_bytes_max", self.buffer_bytes_max as u64, 1..=u64::MAX)?;
        require("delivery.lease_s", self.lease_s, LEASE_S)?;
        require(
            "delivery.drain_deadline_s",
            self.drain_deadline_s,
            0..=DRAIN_DEADLINE_S_MAX,
        )
    }

    /// A stage that believes in a longer lease than the tables do would be refused until it happens to renew it.
    pub fn check_lease(&self, of_tables_s: u64) -> Result<(), ConfigError> {
        if self.lease_s <= of_tables_s {
            return Ok(());
        }
        let reason = format!(
            "{} is more than the lease of {of_tables_s} s that the tables were created with",
            self.lease_s
        );
        Err(ConfigError::invalid("delivery.lease_s", reason))
    }
}

fn require(setting: &str, value: u64, bounds: RangeInclusive<u64>) -> Result<(), ConfigError> {
    if bounds.contains(&value) {
        return Ok(());
    }
    let reason = format!("{value} is not between {} and {}", bounds.start(), bounds.end());
    Err(ConfigError::invalid(setting, reason))
}

/// Two stages in one group would divide the partitions, and each would miss what the other reads. So a group's name
/// must contain the name of its stage and of no other, and no name is valid for two stages.
pub fn check_group(group: &str, stage: &str) -> Result<(), ConfigError> {
    let named: Vec<&str> = STAGES.into_iter().filter(|name| group.contains(name)).collect();
    if named == [stage] {
        return Ok(());
    }
    let reason = format!(
        "{group:?} must contain \"{stage}\" and the name of no other stage: stages in one group would each miss what \
         the others read"
    );
    Err(ConfigError::invalid("source.group", reason))
}

/// `[completeness]`: when an hour is complete.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CompletenessConfig {
    /// How far records may be out of order, seconds: the watermark stays this far behind the newest record. A record
    /// whose hour ended at or before the watermark is late: it is added all the same, counted, and a revision of its
    /// hour.
    pub allowed_lateness_s: u64,
    /// A partition without a new record for this long, with all of it stored, is complete up to now, less the allowed
    /// lateness, seconds. 0: as soon as all of it is stored.
    pub idle_after_s: u64,
    /// A record's clock is ahead if its time is further ahead of its Kafka timestamp than this, or its Kafka timestamp
    /// further ahead of its neighbours' or of our clock, seconds. The record is counted, and does not move the
    /// watermark.
    pub max_clock_skew_s: u64,
    /// A partition that is further behind our clock than the allowed lateness by more than this is named in the log and
    /// in metrics, because it holds completeness back. Seconds.
    pub stalled_after_s: u64,
}

impl Default for CompletenessConfig {
    fn default() -> Self {
        Self {
            allowed_lateness_s: 120,
            idle_after_s: 5,
            max_clock_skew_s: 60,
            stalled_after_s: 600,
        }
    }
}

impl CompletenessConfig {
    /// Milliseconds of [`Self::allowed_lateness_s`].
    pub fn allowed_lateness_ms(&self) -> i64 {
        milliseconds(self.allowed_lateness_s)
    }

    /// Milliseconds of [`Self::max_clock_skew_s`].
    pub fn max_clock_skew_ms(&self) -> i64 {
        milliseconds(self.max_clock_skew_s)
    }

    /// Milliseconds of [`Self::stalled_after_s`].
    pub fn stalled_after_ms(&self) -> i64 {
        milliseconds(self.stalled_after_s)
    }
}

/// A century is for ever, and leaves room to add times up.
const SECONDS_MAX: u64 = 100 * 366 * 86_400;

fn milliseconds(seconds: u64) -> i64 {
    seconds.min(SECONDS_MAX) as i64 * 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_of_a_group_serves_two_stages() {
        for group in [
            "horolog-ingest",
            "horolog-aggregate",
            "team.ingest.2",
            "horolog",
            "",
            "ingest-aggregate",
        ] {
            let allowed = STAGES.iter().filter(|stage| check_group(group, stage).is_ok()).count();
            assert!(allowed <= 1, "{group}");
        }
        assert!(check_group("horolog-ingest", "ingest").is_ok());
        assert!(check_group("horolog-aggregate", "aggregate").is_ok());
        let refused = check_group("horolog-ingest", "aggregate").unwrap_err().to_string();
        assert!(
            refused.starts_with("source.group: \"horolog-ingest\" must contain \"aggregate\""),
            "{refused}"
        );
    }

    #[test]
    fn a_value_with_which_nothing_would_ever_happen_is_refused_by_name() {
        let refused = |delivery: DeliveryConfig| delivery.check().unwrap_err().to_string();
        let default = DeliveryConfig::default;
        assert!(default().check().is_ok());
        assert!(BatchConfig::default().check().is_ok());
        assert_eq!(
            refused(DeliveryConfig {
                lease_s: 0,
                ..default()
            }),
            "delivery.lease_s: 0 is not between 1 and 3600"
        );
        assert!(default().check_lease(default().lease_s).is_ok());
        assert!(default().check_lease(default().lease_s - 1).is_err());
        assert!(
            refused(DeliveryConfig {
                buffer_bytes_max: 0,
                ..default()
            })
            .starts_with("delivery.buffer_bytes_max")
        );
        assert!(
            refused(DeliveryConfig {
                concurrency: 0,
                ..default()
            })
            .starts_with("delivery.concurrency")
        );
        let rows_max = BatchConfig {
            rows_max: 0,
            ..BatchConfig::default()
        };
        assert!(rows_max.check().unwrap_err().to_string().starts_with("batch.rows_max"));
    }
}
