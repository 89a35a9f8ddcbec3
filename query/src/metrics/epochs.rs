//! Which partial aggregates count, now or as of a moment. The rule itself is [`horolog_schemas::epochs`]'. Pure.

use crate::api::Instant;
use crate::store::{Parameter, Sql, TenantSelect};

/// Rebuilds that were visible at `{as_of:Int64}`, microseconds since 1970.
const THEN: &str = " and visible_at <= fromUnixTimestamp64Micro({as_of:Int64}, 'UTC')";
/// What had not come late after that.
const NOT_LATER: &str = "r.revised_at <= fromUnixTimestamp64Micro({as_of:Int64}, 'UTC')";

/// Only the partial aggregates of `metrics_hourly as r` that count, or that counted at a moment.
pub fn visible(select: TenantSelect, as_of: Option<Instant>) -> TenantSelect {
    match as_of {
        None => select.and(Sql::visible_epochs("r", "")),
        Some(as_of) => select
            .and(NOT_LATER)
            .and(Sql::visible_epochs("r", THEN))
            .bind("as_of", Parameter::Integer(as_of.datetime64_bound())),
    }
}
