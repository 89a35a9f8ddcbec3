//! `[retention]`: how long each kind of data is kept, as TTL clauses.
//!
//! Enters: the configuration. Leaves: the TTL of every table that has one, as `horolog-migrate up` sets it. Guarantees:
//! nothing below a legal floor is ever set; recompression and the move to cold storage do not depend on deletion.
//! Tables drop whole parts (`ttl_only_drop_parts`), so data outlives its age by at most its partition: a day of raw
//! metrics, a year of the ids of audit events, a month of everything else. Never does: access a server.

use serde::{Deserialize, Serialize};

/// Age at which parts are recompressed: by then late records have arrived, and queries mostly look at newer data.
const RECOMPRESS_DAYS: u32 = 7;
/// Age at which audit events move to the volume `cold`.
const COLD_DAYS: u32 = 90;
/// The ids of audit events, and the ledger that proves the events complete, are kept this much longer than the events:
/// a month for the events' partition, and time for the engine to delete it. An export of events that the ledger no
/// longer covers could not be verified.
const BEHIND_EVENTS_DAYS: u32 = 62;
/// Minimum retention of hourly aggregates, and retention of rejected metric samples.
const HOURLY_MONTHS_MIN: u32 = 13;
/// Daily roll-ups are kept this much shorter than hours: a month for their partition, and time for the engine to delete
/// it. A roll-up is verified against the counts of its hours, which must therefore all be there.
const ROLLUPS_MONTHS_LESS: u32 = 2;
/// Audit events are kept at least 24 months, which may include one February of 29 days.
const AUDIT_DAYS_MIN: u32 = 731;
/// Maximum retention, 50 years in days and in months. ClickHouse computes a TTL in 32-bit seconds, which end in
/// February 2106: a later expiry would wrap around to 1970 and delete the rows at once
/// (<https://github.com/ClickHouse/ClickHouse/issues/101763>).
const DAYS_MAX: u32 = 18_250;
const MONTHS_MAX: u32 = 600;

/// `[retention]`: deletion by age.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Raw metric samples. Days.
    pub metrics_days: u32,
    /// Hourly aggregates; at least 13. Months.
    pub hourly_months: u32,
    /// Audit events, also rejected ones; at least 731. The ledger is kept 62 days longer. Days.
    pub audit_days: u32,
    /// Never delete by age, for historical data. Recompression still applies.
    pub keep_all: bool,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            metrics_days: 30,
            hourly_months: 25,
            audit_days: 2_555,
            keep_all: false,
        }
    }
}

/// Why a retention setting is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RetentionError {
    /// Below its floor.
    #[error("{setting} = {value} is below its minimum of {floor}")]
    BelowFloor {
        /// The setting to change.
        setting: &'static str,
        /// Its value.
        value: u32,
        /// The floor.
        floor: u32,
    },
    /// Beyond what ClickHouse can compute.
    #[error(
        "{setting} = {value} is above its maximum of {ceiling} (50 years); to delete nothing by age, set retention.keep_all"
    )]
    AboveCeiling {
        /// The setting to change.
        setting: &'static str,
        /// Its value.
        value: u32,
        /// The ceiling.
        ceiling: u32,
    },
}

/// The TTL that a table should have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableTtl {
    /// The table.
    pub table: &'static str,
    /// The text after `ttl`; `None` for no TTL.
    pub ttl: Option<String>,
}

impl Retention {
    /// Refuses values below a floor or above a ceiling.
    pub fn validate(&self) -> Result<(), RetentionError> {
        for (setting, value, floor, ceiling) in [
            ("retention.metrics_days", self.metrics_days, 1, DAYS_MAX),
            (
                "retention.hourly_months",
                self.hourly_months,
                HOURLY_MONTHS_MIN,
                MONTHS_MAX,
            ),
            ("retention.audit_days", self.audit_days, AUDIT_DAYS_MIN, DAYS_MAX),
        ] {
            if value < floor {
                return Err(RetentionError::BelowFloor { setting, value, floor });
            }
            if value > ceiling {
                return Err(RetentionError::AboveCeiling {
                    setting,
                    value,
                    ceiling,
                });
            }
        }
        Ok(())
    }

    /// The TTLs of all tables whose data ages.
    pub fn ttls(&self, has_cold_volume: bool) -> Vec<TableTtl> {
        let days = |column: &str, days: u32| format!("toDateTime({column}) + toIntervalDay({days})");
        let months = |time: &str, months: u32| format!("{time} + toIntervalMonth({months})");
        let recompress = |column: &str| format!("{} recompress codec(ZSTD(9))", days(column, RECOMPRESS_DAYS));
        let cold = has_cold_volume.then(|| format!("{} to volume 'cold'", days("occurred_at", COLD_DAYS)));
        let events = std::iter::once(recompress("occurred_at")).chain(cold).collect();
        // Each kind has its own retention; a kind unknown to this release gets the longest. Counted from arrival,
        // because the time that a rejected record claims, in Kafka too, may be what is wrong with it.
        let rejected = format!(
            "if(kind = 'metric_sample', addMonths(toDateTime(inserted_at), {HOURLY_MONTHS_MIN}), \
             addDays(toDateTime(inserted_at), {}))",
            self.audit_days
        );
        let behind_events = self.audit_days.saturating_add(BEHIND_EVENTS_DAYS);
        let rolled_up = self.hourly_months.saturating_sub(ROLLUPS_MONTHS_LESS);
        let of_hours = self.hourly_months;
        // For each table: what happens to its rows before they are deleted, and when they are deleted.
        [
            ("metrics", vec![recompress("time")], days("time", self.metrics_days)),
            ("audit_logs", events, days("occurred_at", self.audit_days)),
            // Must outlive the last event: parts with events are deleted only when their whole month has expired.
            ("audit_event_ids", vec![], days("occurred_at", behind_events)),
            ("rejected_records", vec![recompress("inserted_at")], rejected),
            (
                "batch_ledger",
                vec![recompress("inserted_at")],
                days("inserted_at", behind_events),
            ),
            ("replayed_records", vec![], days("inserted_at", self.audit_days)),
            ("metrics_hourly", vec![], months("hour", of_hours)),
            ("daily_rollups", vec![], months("hour", rolled_up)),
            ("hourly_totals", vec![], months("hour", rolled_up)),
            ("daily_totals", vec![], months("hour", rolled_up)),
            ("counter_hourly", vec![], months("hour", of_hours)),
            ("counter_revisions", vec![], months("hour", of_hours)),
            ("hour_revisions", vec![], months("hour", of_hours)),
            ("incidents", vec![], months("toDateTime(inserted_at)", of_hours)),
        ]
        .into_iter()
        .map(|(table, mut rules, deletion)| {
            if !self.keep_all {
                rules.push(deletion);
            }
            let ttl = (!rules.is_empty()).then(|| rules.join(", "));
            TableTtl { table, ttl }
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalog::{MIGRATIONS, Migration, objects};
    use super::*;

    /// Tables from which nothing is deleted by age: they are small, and their rows stay valid until replaced.
    const KEPT_FOR_EVER: [&str; 9] = [
        "access_keys",
        "access_subjects",
        "audit_exports",
        "partition_progress",
        "rebuild_parts",
        "rebuilds",
        "service_objectives",
        "service_signals",
        "upkeep_progress",
    ];

    fn ttl(retention: &Retention, has_cold_volume: bool, table: &str) -> Option<String> {
        let ttls = retention.ttls(has_cold_volume);
        ttls.into_iter().find(|ttl| ttl.table == table).unwrap().ttl
    }

    #[test]
    fn of_each_table_it_is_said_how_long_it_is_kept() {
        let ttls = Retention::default().ttls(false).into_iter();
        let mut said: Vec<&str> = ttls.map(|ttl| ttl.table).chain(KEPT_FOR_EVER).collect();
        said.sort_unstable();
        let makes_table = |migration: &&Migration| migration.up()[0].starts_with("create table ");
        assert_eq!(said, Vec::from_iter(objects(MIGRATIONS.iter().filter(makes_table))));
    }

    #[test]
    fn the_defaults_are_above_every_floor() {
        assert_eq!(Retention::default().validate(), Ok(()));
    }

    #[test]
    fn what_is_out_of_bounds_is_refused_with_setting_and_bound() {
        for (retention, message) in [
            (
                Retention {
                    hourly_months: 12,
                    ..Retention::default()
                },
                "retention.hourly_months = 12 is below its minimum of 13",
            ),
            (
                Retention {
                    audit_days: 730,
                    ..Retention::default()
                },
                "retention.audit_days = 730 is below its minimum of 731",
            ),
            (
                Retention {
                    metrics_days: 0,
                    ..Retention::default()
                },
                "retention.metrics_days = 0 is below its minimum of 1",
            ),
            (
                Retention {
                    audit_days: 18_251,
                    ..Retention::default()
                },
                "retention.audit_days = 18251 is above its maximum of 18250 (50 years); to delete nothing by age, set \
                 retention.keep_all",
            ),
            (
                Retention {
                    hourly_months: 601,
                    ..Retention::default()
                },
                "retention.hourly_months = 601 is above its maximum of 600 (50 years); to delete nothing by age, set \
                 retention.keep_all",
            ),
        ] {
            assert_eq!(retention.validate().unwrap_err().to_string(), message);
        }
        assert!(
            Retention {
                hourly_months: 13,
                audit_days: 731,
                ..Retention::default()
            }
            .validate()
            .is_ok()
        );
    }

    #[test]
    fn keep_all_stops_deletion_and_nothing_else() {
        let retention = Retention {
            keep_all: true,
            ..Retention::default()
        };
        assert_eq!(
            ttl(&retention, true, "audit_logs").unwrap(),
            "toDateTime(occurred_at) + toIntervalDay(7) recompress codec(ZSTD(9)), \
             toDateTime(occurred_at) + toIntervalDay(90) to volume 'cold'"
        );
        assert_eq!(
            ttl(&retention, true, "metrics").unwrap(),
            "toDateTime(time) + toIntervalDay(7) recompress codec(ZSTD(9))"
        );
        assert_eq!(ttl(&retention, true, "metrics_hourly"), None);
    }

    #[test]
    fn what_vouches_for_events_is_kept_longer_than_they_are() {
        for table in ["audit_event_ids", "batch_ledger"] {
            let behind = ttl(&Retention::default(), false, table).unwrap();
            assert!(behind.ends_with("toIntervalDay(2617)"), "{table}: {behind}");
        }
    }

    #[test]
    fn nothing_moves_where_there_is_no_cold_volume() {
        let audit = ttl(&Retention::default(), false, "audit_logs").unwrap();
        assert!(!audit.contains("volume"), "{audit}");
        assert!(audit.ends_with("toIntervalDay(2555)"), "{audit}");
    }
}
