//! Whether every record is stored and aggregated exactly once; without this verdict no figure counts.
//!
//! Enters: how many records were acknowledged, and the tables once nothing is in flight any more. Leaves: a
//! [`WholeAccount`]. It compares three independent sources: the log's offsets among the raw rows, the ledger, and the
//! counts and sums of the hours.

use serde::Serialize;

use crate::books::unmet;
use crate::store::Store;

/// Where the records ended up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct WholeAccount {
    /// Acknowledged by the broker.
    pub sent: u64,
    /// Raw rows.
    pub stored: u64,
    /// Distinct records among them.
    pub different: u64,
    /// Rows in `rejected_records`; every record of a measurement is valid.
    pub rejected: u64,
    /// Records in the hourly aggregates.
    pub aggregated: u64,
    /// Hours of a series that differ from the raw rows.
    pub hours_that_differ: u64,
    /// Records in the ledger of ingest.
    pub ingest_ledger: u64,
    /// Records in the ledger of aggregate.
    pub aggregate_ledger: u64,
}

impl WholeAccount {
    /// Queries the tables. No record may be in flight.
    pub async fn take(store: &Store, sent: u64) -> clickhouse::error::Result<Self> {
        let hours = store.hours_of("").await?;
        Ok(Self {
            sent,
            stored: store.stored().await?,
            different: store.different().await?,
            rejected: store.rejected().await?,
            aggregated: hours.records,
            hours_that_differ: hours.different,
            ingest_ledger: store.in_ledger("ingest").await?,
            aggregate_ledger: store.in_ledger("aggregate").await?,
        })
    }

    /// The faults, one per line; empty if every record is in its place exactly once.
    pub fn faults(&self) -> Vec<String> {
        let Self {
            sent,
            stored,
            different,
            ..
        } = *self;
        let in_ledger = |stage, records| {
            (
                records == sent,
                format!("the ledger of {stage} counts {records} records of {sent}"),
            )
        };
        unmet([
            (
                different >= sent,
                format!("{} records are not stored", sent.saturating_sub(different)),
            ),
            (
                different <= sent,
                format!(
                    "{} records are stored that were not sent",
                    different.saturating_sub(sent)
                ),
            ),
            (
                stored == different,
                format!("{} rows are stored twice", stored.saturating_sub(different)),
            ),
            (
                self.rejected == 0,
                format!("{} good records are rejected", self.rejected),
            ),
            (
                self.aggregated == sent,
                format!("the hours count {} records of {sent}", self.aggregated),
            ),
            (
                self.hours_that_differ == 0,
                format!("{} hours differ from the raw rows", self.hours_that_differ),
            ),
            in_ledger("ingest", self.ingest_ledger),
            in_ledger("aggregate", self.aggregate_ledger),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> WholeAccount {
        WholeAccount {
            sent: 10,
            stored: 10,
            different: 10,
            rejected: 0,
            aggregated: 10,
            hours_that_differ: 0,
            ingest_ledger: 10,
            aggregate_ledger: 10,
        }
    }

    #[test]
    fn a_sound_account_has_no_fault() {
        assert_eq!(sound().faults(), Vec::<String>::new());
    }

    #[test]
    fn a_lost_and_a_doubled_record_do_not_hide_each_other() {
        let account = WholeAccount {
            different: 9,
            ..sound()
        };
        assert_eq!(
            account.faults(),
            ["1 records are not stored", "1 rows are stored twice"]
        );
    }

    #[test]
    fn each_fault_is_said() {
        let faults = |account: WholeAccount| account.faults().join(", ");
        assert!(faults(WholeAccount { rejected: 1, ..sound() }).contains("rejected"));
        assert!(
            faults(WholeAccount {
                aggregated: 11,
                ..sound()
            })
            .contains("count 11 records of 10")
        );
        assert!(
            faults(WholeAccount {
                hours_that_differ: 2,
                ..sound()
            })
            .contains("2 hours differ")
        );
        assert!(
            faults(WholeAccount {
                ingest_ledger: 9,
                ..sound()
            })
            .contains("ledger of ingest")
        );
        assert!(
            faults(WholeAccount {
                aggregate_ledger: 12,
                ..sound()
            })
            .contains("ledger of aggregate")
        );
        assert!(
            faults(WholeAccount {
                stored: 11,
                different: 11,
                ..sound()
            })
            .contains("were not sent")
        );
    }
}
