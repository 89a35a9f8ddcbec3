//! Refused requests: counted, and recorded at most once a minute per address.
//!
//! Enters: an address. Leaves: how many requests from it to record: the first one immediately, those that follow it
//! together, a minute later or when the service stops. Guarantees: none goes unrecorded for lack of a later one;
//! flooding the service with wrong keys does not flood the audit log; memory is bounded, and an address is forgotten
//! after a quiet minute.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

const INTERVAL: Duration = Duration::from_secs(60);
/// How often to check what is due.
pub const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// Addresses that are remembered; any beyond that are counted as one.
const ADDRESSES_MAX: usize = 1_000;

struct Seen {
    since: Instant,
    unrecorded: u64,
}

/// Counts of refused requests by address.
#[derive(Clone, Default)]
pub struct Failures(Arc<Mutex<HashMap<Option<IpAddr>, Seen>>>);

impl Failures {
    /// Counts one. Returns whether to record it now; otherwise it becomes [`Self::due`] later.
    pub fn note(&self, from: IpAddr, now: Instant) -> bool {
        let mut table = self.0.lock();
        let is_known = table.contains_key(&Some(from)) || table.len() < ADDRESSES_MAX;
        match table.entry(is_known.then_some(from)) {
            Entry::Vacant(entry) => {
                entry.insert(Seen {
                    since: now,
                    unrecorded: 0,
                });
                true
            }
            Entry::Occupied(mut entry) => {
                entry.get_mut().unrecorded += 1;
                false
            }
        }
    }

    /// What is to be recorded now: counts since the last record, by address; no address for those beyond the bound.
    pub fn due(&self, now: Instant) -> Vec<(Option<IpAddr>, u64)> {
        let mut due = Vec::new();
        self.0.lock().retain(|address, seen| {
            if now.duration_since(seen.since) < INTERVAL {
                return true;
            }
            let unrecorded = std::mem::take(&mut seen.unrecorded);
            if unrecorded > 0 {
                due.push((*address, unrecorded));
                seen.since = now;
            }
            unrecorded > 0
        });
        due
    }

    /// Everything not yet recorded, for when the service stops.
    pub fn rest(&self) -> Vec<(Option<IpAddr>, u64)> {
        let all = std::mem::take(&mut *self.0.lock()).into_iter();
        let counts = all.map(|(address, seen)| (address, seen.unrecorded));
        counts.filter(|(_, unrecorded)| *unrecorded > 0).collect()
    }

    /// Takes back a count that was due and could not be recorded.
    pub fn keep(&self, address: Option<IpAddr>, unrecorded: u64) {
        let mut table = self.0.lock();
        let address = address.filter(|_| table.contains_key(&address));
        if let Some(seen) = table.get_mut(&address) {
            seen.unrecorded += unrecorded;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn address(last: u8) -> IpAddr {
        Ipv4Addr::new(10, 0, 0, last).into()
    }

    #[test]
    fn the_first_is_recorded_at_once_and_the_others_together_though_none_follows() {
        let (failures, start) = (Failures::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let noted = [(1, 0), (1, 1), (1, 59), (2, 59)].map(|(last, seconds)| failures.note(address(last), at(seconds)));
        assert_eq!(noted, [true, false, false, true]);
        assert_eq!(failures.due(at(59)), []);
        assert_eq!(failures.due(at(60)), [(Some(address(1)), 2)]);
        assert!(!failures.note(address(1), at(61)), "once a minute");
        failures.keep(Some(address(1)), 2);
        assert_eq!(failures.due(at(119)), []);
        assert_eq!(failures.due(at(120)), [(Some(address(1)), 3)]);
        assert!(!failures.note(address(1), at(121)));
        assert_eq!(failures.rest(), [(Some(address(1)), 1)]);
    }

    #[test]
    fn many_addresses_are_recorded_as_one_until_they_are_quiet() {
        let (failures, start) = (Failures::default(), Instant::now());
        let recorded = |from: u32, now| {
            let addresses = (from..from + 5_000).map(|address| Ipv4Addr::from(address).into());
            addresses.filter(|&address| failures.note(address, now)).count()
        };
        assert_eq!(recorded(0, start), ADDRESSES_MAX + 1);
        assert_eq!(recorded(0, start), 0);
        let due = failures.due(start + INTERVAL);
        assert_eq!(due.len(), ADDRESSES_MAX + 1);
        assert_eq!(
            due.iter().map(|(_, count)| count).sum::<u64>(),
            10_000 - ADDRESSES_MAX as u64 - 1
        );
        assert_eq!(failures.due(start + 2 * INTERVAL), []);
        assert!(failures.0.lock().is_empty());
        assert_eq!(
            recorded(10_000, start + 2 * INTERVAL),
            ADDRESSES_MAX + 1,
            "there is room again"
        );
    }
}
