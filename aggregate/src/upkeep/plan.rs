//! Which hours of which tenants must be computed, from counts alone.
//!
//! In: what the tables hold of each tenant and hour. Out: a decision for each hour; hours combined to jobs. An hour is
//! due if `metrics_hourly` has another number of samples than when it was last decided on, so work that was done twice,
//! or left unfinished, corrects itself. Pure.

use clickhouse::Row;
use serde::Deserialize;

use super::statements::NAMES_BYTES_MAX;
use crate::key::HOUR_S;

/// A tenant, and the start of an hour, seconds since 1970.
pub type TenantHour = (String, u32);

/// What is known of an hour of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct HourCounts {
    /// The tenant.
    pub tenant_id: String,
    /// Start of the hour, seconds since 1970.
    pub hour: u32,
    /// Samples of counters in `metrics_hourly`.
    pub hourly_samples: u64,
    /// Those in raw rows.
    pub raw_samples: u64,
    /// What `hourly_samples` was when the hour was last decided on; 0 if it never was.
    pub known_samples: u64,
}

/// What to do with an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It is as it was.
    Nothing,
    /// Compute it.
    Compute,
    /// Raw rows will come.
    Wait,
    /// Raw rows are missing and will not come. Decides on the hour as of this many aggregated samples; later ones are
    /// decided on separately.
    Expired(u64),
}

impl HourCounts {
    /// Which hour it is.
    pub fn key(&self) -> TenantHour {
        (self.tenant_id.clone(), self.hour)
    }

    /// Whether the tenant's name is too long for a statement.
    pub fn name_is_too_long(&self) -> bool {
        self.tenant_id.len() > NAMES_BYTES_MAX
    }

    /// What to do. `lost`: the number of samples that had been aggregated when the hour was found short, if no more raw
    /// rows of those will come.
    pub fn decide(&self, lost: Option<u64>) -> Decision {
        if self.hourly_samples == self.known_samples {
            Decision::Nothing
        } else if self.raw_samples >= self.hourly_samples {
            Decision::Compute
        } else if self.raw_samples < self.known_samples {
            // Even of what was decided on, raw rows are gone: nothing that is waited for makes the hour whole.
            Decision::Expired(self.hourly_samples)
        } else {
            match lost {
                Some(aggregated) if self.raw_samples < aggregated => Decision::Expired(aggregated),
                _ => Decision::Wait,
            }
        }
    }
}

/// Consecutive hours of one tenant that are computed together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The tenant.
    pub tenant_id: String,
    /// The hours, in order.
    pub hours: Vec<HourCounts>,
}

impl Job {
    /// Start of the first hour, seconds since 1970.
    pub fn from(&self) -> u32 {
        self.hours.first().map_or(0, |hour| hour.hour)
    }

    /// End of the last hour, seconds since 1970.
    pub fn to(&self) -> u32 {
        self.hours.last().map_or(0, |hour| hour.hour + HOUR_S)
    }

    /// Raw samples in it.
    pub fn rows(&self) -> u64 {
        self.hours.iter().map(|hour| hour.raw_samples).sum()
    }
}

/// Combines adjacent hours of a tenant, as long as they have at most `rows_max` raw samples. `hours` are sorted by
/// tenant and hour. Order is kept: an hour continues from the samples of the hour before.
pub fn jobs(hours: Vec<HourCounts>, rows_max: u64) -> Vec<Job> {
    let mut jobs: Vec<Job> = Vec::new();
    for hour in hours {
        match jobs.last_mut() {
            Some(job)
                if job.tenant_id == hour.tenant_id
                    && job.to() == hour.hour
                    && job.rows() + hour.raw_samples <= rows_max =>
            {
                job.hours.push(hour);
            }
            _ => jobs.push(Job {
                tenant_id: hour.tenant_id.clone(),
                hours: vec![hour],
            }),
        }
    }
    jobs
}

/// The largest series identifier that gets a row of its own, so that about `label_sets_max` of `label_sets` do:
/// identifiers are evenly spread hashes. A series stays on its side of the cutoff while the number of series stays the
/// same.
pub fn cutoff(label_sets: u64, label_sets_max: u64) -> u64 {
    if label_sets <= label_sets_max {
        return u64::MAX;
    }
    let share = (u128::from(u64::MAX) * u128::from(label_sets_max)) / u128::from(label_sets);
    share as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour(tenant: &str, number: u32, raw_samples: u64) -> HourCounts {
        HourCounts {
            tenant_id: tenant.to_owned(),
            hour: number * HOUR_S,
            hourly_samples: 10,
            raw_samples,
            known_samples: 0,
        }
    }

    #[test]
    fn an_hour_waits_for_its_raw_rows_and_gives_up_when_they_are_gone() {
        assert_eq!(hour("a", 1, 10).decide(None), Decision::Compute);
        assert_eq!(hour("a", 1, 12).decide(None), Decision::Compute);
        assert_eq!(hour("a", 1, 9).decide(None), Decision::Wait);
        assert_eq!(hour("a", 1, 8).decide(Some(8)), Decision::Wait, "the others came later");
        assert_eq!(hour("a", 1, 7).decide(Some(8)), Decision::Expired(8));
        let known = HourCounts {
            known_samples: 10,
            ..hour("a", 1, 9)
        };
        assert_eq!(known.decide(Some(10)), Decision::Nothing);
        let late = HourCounts {
            known_samples: 8,
            ..hour("a", 1, 7)
        };
        assert_eq!(
            late.decide(None),
            Decision::Expired(10),
            "its raw rows have been deleted"
        );
    }

    #[test]
    fn neighbouring_hours_of_a_tenant_are_one_job() {
        let hours = vec![
            hour("a", 1, 4),
            hour("a", 2, 4),
            hour("a", 3, 4),
            hour("a", 5, 1),
            hour("b", 6, 50),
            hour("b", 7, 1),
        ];
        let spans: Vec<(String, u32, u32)> = jobs(hours, 9)
            .iter()
            .map(|job| (job.tenant_id.clone(), job.from() / HOUR_S, job.to() / HOUR_S))
            .collect();
        let expected = [("a", 1, 3), ("a", 3, 4), ("a", 5, 6), ("b", 6, 7), ("b", 7, 8)];
        assert_eq!(spans, expected.map(|(tenant, from, to)| (tenant.to_owned(), from, to)));
    }

    #[test]
    fn the_limit_on_label_sets_is_a_share_of_all_hashes() {
        assert_eq!(cutoff(10, 10), u64::MAX);
        assert_eq!(cutoff(40, 10), u64::MAX / 4);
    }
}
