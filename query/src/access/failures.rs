//! Requests that were not let in: counted, and recorded at most once a minute and address.
//!
//! Enters: an address. Leaves: how many requests of it to record now, or nothing. Guarantees: whoever floods the service with
//! wrong keys cannot flood the audit log with it, and memory has a bound.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_secs(60);
/// Addresses that are remembered; of more at once, all others count as one.
const ADDRESSES_MAX: usize = 1_000;

struct Seen {
    since: Instant,
    unrecorded: u64,
}

/// Who was not let in.
#[derive(Clone, Default)]
pub struct Failures(Arc<Mutex<HashMap<Option<IpAddr>, Seen>>>);

impl Failures {
    /// Notes one. `Some` when it is time to record: so many since the last time, this one included.
    pub fn note(&self, from: IpAddr, now: Instant) -> Option<u64> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= ADDRESSES_MAX {
            seen.retain(|_, seen| now.duration_since(seen.since) < INTERVAL || seen.unrecorded > 0);
        }
        let is_known = seen.contains_key(&Some(from)) || seen.len() < ADDRESSES_MAX;
        let address = is_known.then_some(from);
        match seen.get_mut(&address) {
            Some(seen) if now.duration_since(seen.since) < INTERVAL => {
                seen.unrecorded += 1;
                None
            }
            Some(seen) => {
                seen.since = now;
                Some(std::mem::take(&mut seen.unrecorded) + 1)
            }
            None => {
                seen.insert(
                    address,
                    Seen {
                        since: now,
                        unrecorded: 0,
                    },
                );
                Some(1)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn the_first_is_recorded_at_once_and_the_others_together() {
        let (failures, start) = (Failures::default(), Instant::now());
        let note = |last: u8, seconds| {
            failures.note(
                Ipv4Addr::new(10, 0, 0, last).into(),
                start + Duration::from_secs(seconds),
            )
        };
        assert_eq!(
            [note(1, 0), note(1, 1), note(1, 59), note(2, 59)],
            [Some(1), None, None, Some(1)]
        );
        assert_eq!([note(1, 60), note(1, 61)], [Some(3), None]);
    }

    #[test]
    fn many_addresses_are_recorded_as_one() {
        let (failures, start) = (Failures::default(), Instant::now());
        let recorded = (0..5_000u32).filter_map(|address| failures.note(Ipv4Addr::from(address).into(), start));
        assert_eq!(recorded.count(), ADDRESSES_MAX + 1);
        assert!(failures.0.lock().unwrap().len() <= ADDRESSES_MAX + 1);
    }
}
