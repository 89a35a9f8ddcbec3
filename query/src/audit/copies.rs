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
const SEVERAL: &str = "order by r.event_id limit 1 offset 1 by r.event_id";
/// Where a copy is, in the order in which the first one is the event.
const PLACE: &str =
    "(r.occurred_at, r.event_id, toString(r.kafka_topic), r.log_epoch, r.kafka_partition, r.kafka_offset)";
const RANKED: &str = "r.occurred_at as occurred_at, r.event_id as event_id, toString(r.kafka_topic) as topic, \
    r.log_epoch as log_epoch, r.kafka_partition as partition, r.kafka_offset as offset, \
    rank() over (partition by r.event_id order by toString(r.kafka_topic), r.log_epoch, r.kafka_partition, r.kafka_offset) as place";

/// Of so many rows that match, each id is looked up; of more, all ids of the tenant are read, in their order. For 50,000 of 10,000,000 the two
/// take the same time, and what is looked up is held in memory.
pub const LOOKED_UP_MAX: u32 = 50_000;

/// What is told of all copies of the caller's tenant's events.
pub fn told(caller: &Caller, columns: &'static str) -> TenantSelect {
    TenantSelect::new(caller, Relation::AuditEventIds, columns)
}

/// The events that may have several copies: those of which there is a second row. By their ids alone, which is the order of the table: the engine
/// then merges the parts and compares neighbours, in constant memory and a third of the time that grouping in order takes.
pub fn sent_again(told_ids: TenantSelect) -> TenantSelect {
    told_ids.then(SEVERAL)
}

/// Only events with these keys.
pub fn with_keys(events: TenantSelect, told_keys: TenantSelect) -> TenantSelect {
    events.and_in(IS_KEY, told_keys)
}

/// Only the copies of events that are not their first. `told_keys` are of all copies of the events that may have several.
pub fn only_later(events: TenantSelect, caller: &Caller, told_keys: TenantSelect) -> TenantSelect {
    let all = TenantSelect::new(caller, Relation::AuditLogs, RANKED);
    let ranked = with_keys(all, told_keys).outer(
        None,
        "i.occurred_at, i.event_id, i.topic, i.log_epoch, i.partition, i.offset",
    );
    events.and_in(PLACE, ranked.then("where i.place > 1"))
}
