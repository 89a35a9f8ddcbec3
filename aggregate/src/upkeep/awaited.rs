//! Raw rows that are still to come: hours that had fewer of them than `metrics_hourly` counts, and how far ingest must
//! get before they can be there.
//!
//! In: hours that are short. Out: those that will stay short, once ingest has passed everything that had been
//! aggregated when they were looked at. That mark does not move meanwhile: ingest passes it sooner or later, even if it
//! and the aggregate stage take turns at being ahead.

use std::collections::BTreeMap;

use horolog_stage::completeness::partition_count;

use super::plan::TenantHour;
use super::statements::{End, Statements, UpkeepError};

/// Number of samples that had been aggregated, by tenant and hour.
pub type SamplesByHour = BTreeMap<TenantHour, u64>;

/// Hours that wait for raw rows; empty to begin with.
#[derive(Debug, Default)]
pub struct Awaited {
    samples: SamplesByHour,
    /// The ends of the aggregates at that time, by partition. A batch is in the ledger, as begun, before any of its
    /// aggregates is stored.
    ends: BTreeMap<i32, End>,
}

impl Awaited {
    /// The hours that will stay short, once ingest has passed the mark; empty before. Call it before counting their raw
    /// rows again.
    pub async fn lost(&mut self, statements: &Statements) -> Result<SamplesByHour, UpkeepError> {
        if self.samples.is_empty() || !is_passed_by_ingest(&self.ends, statements).await? {
            return Ok(SamplesByHour::new());
        }
        Ok(std::mem::take(&mut self.samples))
    }

    /// Sets a mark for hours that were found short, unless one is set.
    pub async fn wait_for(&mut self, short: SamplesByHour, statements: &Statements) -> Result<(), UpkeepError> {
        if self.samples.is_empty() && !short.is_empty() {
            self.ends = statements.ends("aggregate").await?;
            self.samples = short;
        }
        Ok(())
    }
}

/// Whether there may be aggregates whose raw rows are still to come.
pub async fn ingest_is_behind(statements: &Statements) -> Result<bool, UpkeepError> {
    let aggregated = statements.ends("aggregate").await?;
    Ok(!is_passed_by_ingest(&aggregated, statements).await?)
}

/// Whether ingest has stored all that had been aggregated.
async fn is_passed_by_ingest(aggregated: &BTreeMap<i32, End>, statements: &Statements) -> Result<bool, UpkeepError> {
    let partitions = partition_count(&statements.progress().await?);
    Ok(is_passed(aggregated, &statements.ends("ingest").await?, partitions))
}

/// The same of the partitions that the topic has now: it may have had more before it was recreated.
fn is_passed(aggregated: &BTreeMap<i32, End>, stored: &BTreeMap<i32, End>, partitions: i32) -> bool {
    let has_passed = |(partition, end)| stored.get(partition).is_some_and(|stored| stored >= end);
    aggregated.range(..partitions).all(has_passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_passed_by_every_partition_and_by_a_later_life_of_its_log() {
        let ends = |ends: &[(i32, End)]| ends.iter().copied().collect::<BTreeMap<_, _>>();
        let mark = ends(&[(0, (1, 100)), (1, (2, 5))]);
        for (stored, passed) in [
            (&[(0, (1, 100)), (1, (2, 5))][..], true),
            (&[(0, (1, 99)), (1, (2, 5))], false),
            (&[(0, (2, 0)), (1, (2, 6))], true),
            (&[(0, (1, 100)), (1, (1, 900))], false),
            (&[(0, (1, 100))], false),
        ] {
            assert_eq!(is_passed(&mark, &ends(stored), 2), passed, "{stored:?}");
        }
        assert!(
            is_passed(&mark, &ends(&[(0, (2, 0))]), 1),
            "the topic has no partition 1 any more"
        );
        assert!(is_passed(&ends(&[]), &ends(&[]), 2));
    }
}
