//! Copies of events, whatever time they claim: what `audit_event_ids` records, and how it is used to find the events.
//!
//! The table may name copies that do not exist, but never lacks one that does, so the table of events always decides.
//! Pure.

use crate::access::Caller;
use crate::store::{Relation, Sql, TenantSelect};

/// The ids of events.
pub const ID: &str = "r.event_id as event_id";
/// Their keys: time and id.
pub const KEY: &str = "r.occurred_at, r.event_id";
const IS_KEY: &str = "(r.occurred_at, r.event_id)";
const SEVERAL: &str = "order by r.event_id limit 1 offset 1 by r.event_id";
/// The coordinates of a copy.
pub const COORDINATES: &str = "(toString(r.kafka_topic), r.log_epoch, r.kafka_partition, r.kafka_offset)";
/// The order of copies, of which the first is the event: as they were stored, because whoever sends one chooses its time,
/// its partition and the timestamp of its record, but not that. Those of one moment are in the order of their coordinates.
pub const ORDER: &str = "(r.inserted_at, toString(r.kafka_topic), r.log_epoch, r.kafka_partition, r.kafka_offset)";
const PLACE: &str =
    "(r.occurred_at, r.event_id, toString(r.kafka_topic), r.log_epoch, r.kafka_partition, r.kafka_offset)";
const WITH_FIRST: [&str; 5] = [
    "r.occurred_at as occurred_at, r.event_id as event_id, ",
    COORDINATES,
    " as coordinates, argMin(coordinates, ",
    ORDER,
    ") over (partition by event_id) as first_coordinates",
];
const LATER: &str = "i.occurred_at, i.event_id, i.coordinates.1, i.coordinates.2, i.coordinates.3, i.coordinates.4";

/// If at most this many rows match, each id is looked up; if more, all ids of the tenant are read in order. For 50,000
/// of 10,000,000 both take the same time, and the ids looked up are held in memory.
pub const LOOKED_UP_MAX: u32 = 50_000;

/// What `audit_event_ids` records of all copies of the tenant's events.
pub fn told(caller: &Caller, columns: &'static str) -> TenantSelect {
    TenantSelect::new(caller, Relation::AuditEventIds, columns)
}

/// Events that may have several copies: ids with more than one row. Grouping by id alone follows the order of the
/// table: the engine merges the parts and compares neighbours, in constant memory and a third of the time of grouping
/// in order.
pub fn sent_again(told_ids: TenantSelect) -> TenantSelect {
    told_ids.then(SEVERAL)
}

/// Only events with these keys.
pub fn with_keys(events: TenantSelect, told_keys: TenantSelect) -> TenantSelect {
    events.and_in(IS_KEY, told_keys)
}

/// Only copies of events that are not the first. `told_keys` are the keys of all copies of the events that may have
/// several.
pub fn only_later(events: TenantSelect, caller: &Caller, told_keys: TenantSelect) -> TenantSelect {
    let all = TenantSelect::new(caller, Relation::AuditLogs, Sql::concat(WITH_FIRST));
    let compared = with_keys(all, told_keys).outer(LATER);
    events.and_in(PLACE, compared.then("where i.coordinates != i.first_coordinates"))
}
