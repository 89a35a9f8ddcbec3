//! Copies of events, wherever in time they claim to be: what `audit_event_ids` tells, and how the events are found by it.
//!
//! The table may name copies that are not there, never the other way round, so that the table of events always decides. Pure.

use crate::access::Caller;
use crate::store::{Relation, TenantSelect};

/// The ids of events.
pub const ID: &str = "r.event_id as event_id";
/// Their keys: when they happened, and their ids.
pub const KEY: &str = "r.occurred_at, r.event_id";
const IS_KEY: &str = "(r.occurred_at, r.event_id)";
const SEVERAL: &str = "group by r.event_id having count() > 1";

/// What is told of all copies of the caller's tenant's events.
pub fn told(caller: &Caller, columns: &'static str) -> TenantSelect {
    TenantSelect::new(caller, Relation::AuditEventIds, columns)
}

/// The events that may have several copies. By their ids alone, which is the order of the table: the engine then groups any number of them in
/// constant memory.
pub fn sent_again(told_ids: TenantSelect) -> TenantSelect {
    told_ids.then(SEVERAL)
}

/// Only events with these keys.
pub fn with_keys(events: TenantSelect, told_keys: TenantSelect) -> TenantSelect {
    events.and_in(IS_KEY, told_keys)
}
