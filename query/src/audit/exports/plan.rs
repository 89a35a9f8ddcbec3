//! How many rows an export will meet, by month and partition, counted before the first is read.
//!
//! Enters: spec and snapshot. Leaves: the months to write, and the counts that each of them must come to. A month whose
//! stream brings other numbers fails the export: the store was asked twice and did not say the same.

use chrono::{NaiveDate, TimeZone, Utc};
use clickhouse::Row;
use serde::{Deserialize, Serialize};

use super::snapshot::Snapshot;
use crate::access::Caller;
use crate::audit::filter::Conditions;
use crate::store::{Parameter, Relation, TenantSelect};

const COUNTS: &str =
    "toYYYYMM(r.occurred_at) as month, r.log_epoch as log_epoch, r.kafka_partition as partition, count() as rows";
const BY_MONTH_AND_PARTITION: &str =
    "group by month, r.log_epoch, r.kafka_partition order by month, r.log_epoch, r.kafka_partition";
const IN_MONTH: &str = "r.occurred_at >= fromUnixTimestamp64Micro({month_from:Int64}, 'UTC') and \
    r.occurred_at < fromUnixTimestamp64Micro({month_to:Int64}, 'UTC')";

/// Rows of a month and partition that the filter lets through, copies of an event each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct Count {
    /// As `202601`.
    pub month: u32,
    /// Life of the log.
    pub log_epoch: u32,
    /// The partition.
    pub partition: i32,
    /// Rows.
    pub rows: u64,
}

/// The statement whose rows are [`Count`]s.
pub fn select(caller: &Caller, filter: &Conditions, snapshot: &Snapshot) -> TenantSelect {
    let select = TenantSelect::new(caller, Relation::AuditLogs, COUNTS);
    filter.apply(snapshot.apply(select)).then(BY_MONTH_AND_PARTITION)
}

/// Only rows of a month.
pub fn in_month(select: TenantSelect, month: u32) -> TenantSelect {
    let [from, to] = bounds(month);
    select
        .and(IN_MONTH)
        .bind("month_from", Parameter::Integer(from))
        .bind("month_to", Parameter::Integer(to))
}

/// First microsecond of a month and of the next.
pub fn bounds(month: u32) -> [i64; 2] {
    let (year, number) = (i32::try_from(month / 100).unwrap_or(1970), month % 100);
    let next = if number == 12 {
        (year + 1, 1)
    } else {
        (year, number + 1)
    };
    [(year, number), next].map(|(year, month)| {
        let first = NaiveDate::from_ymd_opt(year, month, 1).and_then(|date| date.and_hms_opt(0, 0, 0));
        first.map_or(0, |first| Utc.from_utc_datetime(&first).timestamp_micros())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_ends_where_the_next_begins() {
        assert_eq!(bounds(202512)[1], bounds(202601)[0]);
        assert_eq!(bounds(202601)[0], 1_767_225_600_000_000);
        assert_eq!(bounds(202402)[1] - bounds(202402)[0], 29 * 86_400 * 1_000_000);
    }
}
