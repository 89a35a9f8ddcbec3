//! Whether every record of a run is in its place exactly once; without this verdict no figure counts.
//!
//! Enters: what was acknowledged, as a [`Tally`], and what the tables hold for the run's tenants, bucket by bucket.
//! Leaves: an [`Account`]. Only buckets that differ are read in detail, so that a run of a hundred million records is
//! checked in seconds. The comparison is pure; [`Account::take`] queries the tables.

use std::collections::{BTreeMap, BTreeSet};

use horolog_schemas::Kind;
use serde::{Deserialize, Serialize};

use crate::recorder::{Bucket, Counts, Tally, Totals};
use crate::store::{RecordTable, Store};

/// Totals by bucket.
type Buckets = BTreeMap<Bucket, Totals>;

/// Where the records of a run ended up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Acknowledged by the broker.
    pub acknowledged: u64,
    /// Acknowledged records that must be rejected.
    pub bad: u64,
    /// Records the client gave up; they may or may not be in the log.
    pub unknown: u64,
    /// Rows of the run.
    pub stored: u64,
    /// Rejected records of the run.
    pub rejected: u64,
    /// Acknowledged records that are missing from their table.
    pub lost: u64,
    /// Surplus copies of rows.
    pub doubled: u64,
    /// Rows whose record was never acknowledged.
    pub foreign: u64,
    /// Records counted by the hourly aggregates.
    pub aggregated: u64,
    /// Hours of a series that differ from the raw rows.
    pub hours_that_differ: u64,
    /// Acknowledged valid metric samples.
    pub to_aggregate: u64,
}

impl Account {
    /// Queries the tables. No record of the run may be in flight.
    pub async fn take(
        store: &Store,
        tally: &Tally,
        counts: &Counts,
        topic_of: impl Fn(Kind) -> String,
        prefix: &str,
    ) -> clickhouse::error::Result<Self> {
        let mut account = Self {
            acknowledged: counts.acknowledged,
            bad: counts.bad,
            unknown: counts.failed,
            to_aggregate: samples(&tally.good),
            ..Self::default()
        };
        for kind in Kind::ALL {
            let topic = topic_of(kind);
            for (table, expected) in [
                (RecordTable::Rows(kind), &tally.good),
                (RecordTable::Rejected, &tally.bad),
            ] {
                let expected: Buckets = of_kind(expected, kind);
                let found = store.buckets(table, &topic, prefix).await?;
                let found: Buckets = found
                    .into_iter()
                    .map(|rows| {
                        let bucket = Bucket {
                            kind,
                            partition: rows.partition,
                            number: rows.bucket,
                        };
                        let totals = Totals {
                            records: rows.records,
                            hashes: rows.hashes,
                        };
                        (bucket, totals)
                    })
                    .collect();
                let rows: u64 = found.values().map(|totals| totals.records).sum();
                match table {
                    RecordTable::Rows(_) => account.stored += rows,
                    RecordTable::Rejected => account.rejected += rows,
                }
                for bucket in differing(&expected, &found) {
                    let place = (bucket.partition, bucket.number);
                    let different = store.different_in(table, &topic, prefix, place).await?;
                    let [expected, found] = [&expected, &found].map(|buckets| buckets.get(&bucket).copied());
                    account.add(expected.unwrap_or_default(), found.unwrap_or_default(), different);
                }
            }
        }
        let hours = store.hours_of(prefix).await?;
        (account.aggregated, account.hours_that_differ) = (hours.records, hours.different);
        Ok(account)
    }

    /// Adds the faults of a bucket, given the number of distinct records found in it.
    pub fn add(&mut self, expected: Totals, found: Totals, different: u64) {
        self.doubled += found.records.saturating_sub(different);
        let (lost, foreign) = (
            expected.records.saturating_sub(different),
            different.saturating_sub(expected.records),
        );
        // As many distinct records as expected, but not the same ones.
        let swapped = u64::from(expected.records == different && found.records == different);
        self.lost += lost + swapped;
        self.foreign += foreign + swapped;
    }

    /// The sum with the account of another tester.
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            acknowledged: self.acknowledged + other.acknowledged,
            bad: self.bad + other.bad,
            unknown: self.unknown + other.unknown,
            stored: self.stored + other.stored,
            rejected: self.rejected + other.rejected,
            lost: self.lost + other.lost,
            doubled: self.doubled + other.doubled,
            foreign: self.foreign + other.foreign,
            aggregated: self.aggregated + other.aggregated,
            hours_that_differ: self.hours_that_differ + other.hours_that_differ,
            to_aggregate: self.to_aggregate + other.to_aggregate,
        }
    }

    /// Whether every record is in its place exactly once.
    pub fn is_sound(&self) -> bool {
        self.faults().is_empty()
    }

    /// The faults, one per line; empty if every record is in its place exactly once.
    pub fn faults(&self) -> Vec<String> {
        let aggregated = self.to_aggregate..=self.to_aggregate + self.unknown;
        unmet([
            (
                self.lost == 0,
                format!("{} records were acknowledged but are not where they belong", self.lost),
            ),
            (self.doubled == 0, format!("{} rows are stored twice", self.doubled)),
            (
                self.foreign <= self.unknown,
                format!("{} rows belong to records that were never acknowledged", self.foreign),
            ),
            (
                // A record that is there in place of a lost one hides it. If all are there, none is in place of another.
                self.foreign == 0 || self.foreign >= self.unknown,
                format!(
                    "up to {} lost records cannot be told from those of unknown fate",
                    self.unknown.saturating_sub(self.foreign)
                ),
            ),
            (
                aggregated.contains(&self.aggregated),
                format!("the hours count {} records of {}", self.aggregated, self.to_aggregate),
            ),
            (
                self.hours_that_differ == 0,
                format!("{} hours of a series differ from the raw rows", self.hours_that_differ),
            ),
        ])
    }
}

/// The faults whose condition is not met.
pub fn unmet<const N: usize>(conditions: [(bool, String); N]) -> Vec<String> {
    let unmet = conditions.into_iter().filter(|(met, _)| !met);
    unmet.map(|(_, fault)| fault).collect()
}

fn samples(buckets: &Buckets) -> u64 {
    let samples = buckets.iter().filter(|(bucket, _)| bucket.kind == Kind::MetricSample);
    samples.map(|(_, totals)| totals.records).sum()
}

fn of_kind(buckets: &Buckets, kind: Kind) -> Buckets {
    let of_kind = buckets.iter().filter(|(bucket, _)| bucket.kind == kind);
    of_kind.map(|(bucket, totals)| (*bucket, *totals)).collect()
}

/// Buckets whose records differ.
pub fn differing(expected: &Buckets, found: &Buckets) -> Vec<Bucket> {
    let all: BTreeSet<&Bucket> = expected.keys().chain(found.keys()).collect();
    let differ = all.into_iter().filter(|bucket| {
        expected.get(bucket).copied().unwrap_or_default() != found.get(bucket).copied().unwrap_or_default()
    });
    differ.copied().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const PLACE: Bucket = Bucket {
        kind: Kind::MetricSample,
        partition: 0,
        number: 0,
    };

    fn totals(offsets: &[i64]) -> Totals {
        let mut totals = Totals::default();
        for &offset in offsets {
            totals.add(offset);
        }
        totals
    }

    /// The account for these acknowledged offsets and the rows found, computed as in `take`.
    fn account(acknowledged: &[i64], rows: &[i64]) -> Account {
        let mut account = Account::default();
        let [expected, found] = [acknowledged, rows].map(totals);
        if !differing(&BTreeMap::from([(PLACE, expected)]), &BTreeMap::from([(PLACE, found)])).is_empty() {
            let different = rows.iter().collect::<BTreeSet<_>>().len() as u64;
            account.add(expected, found, different);
        }
        account
    }

    fn wrong(account: &Account) -> (u64, u64, u64) {
        (account.lost, account.doubled, account.foreign)
    }

    #[test]
    fn a_lost_and_a_doubled_record_do_not_hide_each_other() {
        assert_eq!(wrong(&account(&[1, 2, 3], &[3, 2, 1])), (0, 0, 0));
        assert_eq!(wrong(&account(&[1, 2, 3], &[1, 2])), (1, 0, 0));
        assert_eq!(wrong(&account(&[1, 2, 3], &[1, 2, 2, 3])), (0, 1, 0));
        assert_eq!(wrong(&account(&[1, 2, 3], &[1, 2, 2])), (1, 1, 0));
        assert_eq!(wrong(&account(&[1, 2, 3], &[1, 2, 4])), (1, 0, 1));
        assert_eq!(wrong(&account(&[1, 2, 3], &[1, 2, 3, 4])), (0, 0, 1));
        assert_eq!(wrong(&account(&[], &[4, 4])), (0, 1, 1));
    }

    proptest! {
        #[test]
        fn any_one_change_is_a_fault(offsets in prop::collection::btree_set(0i64..60_000, 1..200), at in any::<prop::sample::Index>(), lose: bool) {
            let acknowledged: Vec<i64> = offsets.into_iter().collect();
            let mut rows = acknowledged.clone();
            let index = at.index(rows.len());
            if lose { rows.remove(index); } else { rows.push(rows[index]); }
            prop_assert!(account(&acknowledged, &acknowledged).faults().is_empty());
            prop_assert_eq!(account(&acknowledged, &rows).faults().len(), 1);
        }
    }

    #[test]
    fn a_record_of_unknown_fate_may_be_there() {
        let there = Account {
            unknown: 1,
            foreign: 1,
            to_aggregate: 5,
            aggregated: 6,
            ..Account::default()
        };
        assert_eq!(there.faults(), Vec::<String>::new());
        assert_eq!(Account { unknown: 0, ..there }.faults().len(), 2);
    }

    #[test]
    fn a_lost_record_does_not_hide_behind_those_of_unknown_fate() {
        // Acknowledged: 1, 2, 3; given up, but in the log: 4, 5. Record 3 is lost.
        let account = Account {
            unknown: 2,
            ..account(&[1, 2, 3], &[1, 2, 4, 5])
        };
        assert_eq!(wrong(&account), (0, 0, 1));
        assert_eq!(account.faults().len(), 1);
    }

    #[test]
    fn hours_that_count_wrong_are_a_fault() {
        let account = Account {
            to_aggregate: 5,
            aggregated: 4,
            hours_that_differ: 1,
            ..Account::default()
        };
        assert!(account.faults()[0].contains("count 4 records of 5"));
        assert!(account.faults()[1].contains("1 hours"));
    }
}
