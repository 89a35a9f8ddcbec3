//! How many rows an export will read, by month and partition, counted in advance.
//!
//! Enters: spec and snapshot. Leaves: the months to write, and the counts that each must match. If a month's stream
//! brings other numbers, the export fails: the store gave two different answers.

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use super::snapshot::Snapshot;
use crate::access::Caller;
use crate::audit::filter::Conditions;
use crate::audit::months;
use crate::store::{Parameter, Relation, TenantSelect};

const COUNTS: &str =
    "toYYYYMM(r.occurred_at) as month, r.log_epoch as log_epoch, r.kafka_partition as partition, count() as rows";
const BY_MONTH_AND_PARTITION: &str =
    "group by month, r.log_epoch, r.kafka_partition order by month, r.log_epoch, r.kafka_partition";
const IN_MONTH: &str = "r.occurred_at >= fromUnixTimestamp64Micro({month_from:Int64}, 'UTC') and \
    r.occurred_at < fromUnixTimestamp64Micro({month_to:Int64}, 'UTC')";

/// Rows of a month and partition that match the filter, copies of events included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct Count {
    /// Month, such as `202601`.
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
    let [from, to] = months::bounds(month);
    select
        .and(IN_MONTH)
        .bind("month_from", Parameter::Integer(from))
        .bind("month_to", Parameter::Integer(to))
}
