//! Which partial aggregates count, now or as of a moment. The rule itself is in [`horolog_schemas::epochs`]. Pure.

use crate::api::Instant;
use crate::store::{Parameter, Sql, TenantSelect};

/// Rebuilds that were visible at `{as_of:Int64}`, microseconds since 1970.
const THEN: &str = " and visible_at <= fromUnixTimestamp64Micro({as_of:Int64}, 'UTC')";
/// What had arrived by then: `revised_at` is a whole minute, which must be over.
const NOT_LATER: &str = "(r.revised_at = toDateTime(0, 'UTC') or \
    r.revised_at + interval 1 minute <= fromUnixTimestamp64Micro({as_of:Int64}, 'UTC'))";

/// The time for which partial aggregates are selected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Epochs {
    /// Now.
    Now,
    /// At the time of a look at the store that saw no visible rebuild. The aggregates that a newer rebuild replaces are
    /// still in the table.
    Unrebuilt,
    /// As of a moment.
    Then(Instant),
}

/// Only the partial aggregates of `metrics_hourly as r` that count.
pub fn visible(select: TenantSelect, epochs: Epochs) -> TenantSelect {
    match epochs {
        Epochs::Now => select.and(Sql::visible_epochs("r", "")),
        Epochs::Unrebuilt => select.and(Sql::unrebuilt_epochs("r")),
        Epochs::Then(as_of) => select
            .and(NOT_LATER)
            .and(Sql::visible_epochs("r", THEN))
            .bind("as_of", Parameter::Integer(as_of.datetime64_bound())),
    }
}
