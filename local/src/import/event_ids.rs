//! Which events of an import repeat the id of an earlier one.
//!
//! Enters: the events that were sent, in their order. Leaves: whether an earlier one had the id, and whether it said the
//! same. Of the events of one id only one is shown, so an id that names a request or a session hides events. Holds
//! two hashes for each of the first [`COMPARED_MAX`] ids; later ids are compared with those only.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use horolog_schemas::AuditEvent;
use uuid::Uuid;

/// As many ids as a table of 2²² places takes before it grows, in 71 MB.
pub const COMPARED_MAX: usize = 3_670_016;

/// What an event that has the id of an earlier one says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// The same.
    Copy,
    /// Something else.
    Other,
}

/// The ids of the events so far.
#[derive(Debug)]
pub struct EventIds {
    hasher: RandomState,
    /// By the hash of tenant and id, that of the first event.
    events: HashMap<u64, u64>,
    compared_max: usize,
    /// Events whose ids were not remembered.
    pub not_remembered: u64,
}

impl Default for EventIds {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            events: HashMap::new(),
            compared_max: COMPARED_MAX,
            not_remembered: 0,
        }
    }
}

impl EventIds {
    /// Compares an event with the earlier ones, and remembers it.
    pub fn repeat(&mut self, event: &AuditEvent) -> Option<Repeat> {
        // An id is the same in capital letters.
        let uuid = Uuid::parse_str(&event.event_id).unwrap_or_default();
        let id = self.hasher.hash_one((&event.tenant_id, uuid));
        // Text and numbers can always be written as JSON.
        let contents = self.hasher.hash_one(serde_json::to_vec(event).unwrap_or_default());
        if let Some(first) = self.events.get(&id) {
            return Some(if *first == contents {
                Repeat::Copy
            } else {
                Repeat::Other
            });
        }
        if self.events.len() < self.compared_max {
            self.events.insert(id, contents);
        } else {
            self.not_remembered += 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(tenant: &str, id: u128, action: &str) -> AuditEvent {
        AuditEvent {
            tenant_id: tenant.to_owned(),
            event_id: Uuid::from_u128(id).to_string(),
            action: action.to_owned(),
            ..AuditEvent::default()
        }
    }

    #[test]
    fn an_id_that_is_there_again_is_a_copy_or_says_something_else() {
        let mut ids = EventIds::default();
        for (next, repeat) in [
            (event("a", 1, "RequestReceived"), None),
            (event("a", 1, "ResponseComplete"), Some(Repeat::Other)),
            (event("a", 1, "RequestReceived"), Some(Repeat::Copy)),
            (event("a", 2, "RequestReceived"), None),
            (event("b", 1, "ResponseComplete"), None),
        ] {
            assert_eq!(ids.repeat(&next), repeat, "{next:?}");
        }
    }

    #[test]
    fn beyond_the_bound_ids_are_compared_with_those_before_it() {
        let mut ids = EventIds {
            compared_max: 2,
            ..EventIds::default()
        };
        for id in [1, 2, 3, 3] {
            assert_eq!(ids.repeat(&event("a", id, "x")), None);
        }
        assert_eq!(ids.repeat(&event("a", 2, "y")), Some(Repeat::Other));
        assert_eq!(ids.not_remembered, 2);
    }
}
