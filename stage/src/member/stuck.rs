//! Partitions that get nothing though their logs have more: what is tried, and when an operator should know. No I/O, no
//! clock.
//!
//! Such a partition is resolved anew, then tried with a new client, then reported. A new client helps if librdkafka
//! keeps what it knew of a topic that was recreated before anything was read of it; neither the ledger nor the log can
//! tell such a topic from the first one. A new client is tried once per offset: it does not help with a batch that
//! cannot be decompressed, and it takes all other partitions along.

use std::collections::BTreeMap;

use crate::assignment::Slot;

/// Fruitless looks before the client is suspected.
const LOOKS_MAX: u32 = 2;

/// What is known of those partitions.
#[derive(Debug, Default)]
pub struct Stuck(BTreeMap<Slot, Found>);

#[derive(Debug, Clone, Copy)]
struct Found {
    /// The offset that should come next.
    offset: i64,
    /// How often this client has shown that.
    looks: u32,
    /// Whether the previous client did not get it either.
    is_another_client: bool,
}

impl Stuck {
    /// Notes that nothing arrives from `offset` on. Returns whether a new client should try.
    pub fn note(&mut self, slot: Slot, offset: i64) -> bool {
        let new = Found {
            offset,
            looks: 0,
            is_another_client: false,
        };
        let found = self.0.entry(slot).or_insert(new);
        if found.offset != offset {
            *found = new;
        }
        found.looks += 1;
        !found.is_another_client && found.looks >= LOOKS_MAX
    }

    /// The partition has reached `next`, in a log that ends at `log_end`.
    pub fn has_come_to(&mut self, slot: Slot, next: i64, log_end: i64) {
        let is_stuck = |found: &Found| next <= found.offset && found.offset < log_end;
        self.0.retain(|&other, found| other != slot || is_stuck(found));
    }

    /// The partition has all that its log has.
    pub fn forget(&mut self, slot: Slot) {
        self.0.remove(&slot);
    }

    /// The state for a new client to start with.
    pub fn with_another_client(mut self) -> Self {
        for found in self.0.values_mut() {
            (found.looks, found.is_another_client) = (0, true);
        }
        self
    }

    /// The partitions that a new client did not help, and the offsets that do not arrive.
    pub fn hopeless(&self) -> impl Iterator<Item = (Slot, i64)> {
        let is_hopeless = |found: &Found| found.is_another_client && found.looks > 0;
        let hopeless = self.0.iter().filter(move |(_, found)| is_hopeless(found));
        hopeless.map(|(&slot, found)| (slot, found.offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOT: Slot = (0, 3);
    const OTHER: Slot = (0, 4);

    #[test]
    fn a_new_client_tries_once_and_then_somebody_should_know() {
        let mut stuck = Stuck::default();
        assert!(!stuck.note(SLOT, 7), "the same client looks anew first");
        assert!(!stuck.note(OTHER, 1));
        assert!(stuck.note(SLOT, 7));
        assert_eq!(stuck.hopeless().next(), None);
        let mut stuck = stuck.with_another_client();
        assert_eq!(stuck.hopeless().next(), None, "it has not tried yet");
        for _ in 0..5 {
            assert!(!stuck.note(SLOT, 7), "a third client would not help either");
        }
        assert!(!stuck.note(OTHER, 1), "it came along to the new client");
        assert_eq!(stuck.hopeless().collect::<Vec<_>>(), [(SLOT, 7), (OTHER, 1)]);
    }

    #[test]
    fn another_offset_is_another_matter() {
        let mut stuck = Stuck::default();
        stuck.note(SLOT, 7);
        assert!(!stuck.note(SLOT, 8));
        assert!(stuck.note(SLOT, 8));
        let mut stuck = stuck.with_another_client();
        stuck.note(SLOT, 8);
        stuck.has_come_to(OTHER, 20, 100);
        stuck.has_come_to(SLOT, 8, 100);
        assert_eq!(stuck.hopeless().next(), Some((SLOT, 8)), "it stands where it stood");
        stuck.has_come_to(SLOT, 9, 100);
        assert_eq!(stuck.hopeless().next(), None);
        assert!(!stuck.note(SLOT, 9));
        assert!(stuck.note(SLOT, 9), "the new client has an offset of its own");
        stuck.note(OTHER, 1);
        let mut stuck = stuck.with_another_client();
        stuck.note(OTHER, 1);
        stuck.forget(OTHER);
        assert_eq!(stuck.hopeless().next(), None, "behind it were markers alone");
    }
}
