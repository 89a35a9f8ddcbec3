//! The lease of a batch: when the broker last confirmed that the partition is ours.
//!
//! The polling thread renews it with each commit that the broker accepts; the delivery writes it into every row and
//! stops inserting when it is about to expire. It holds the time *before* the commit was sent, so a process that was
//! paused at any point wakes up with an old lease.
//!
//! What a batch froze in its intent (the watermark, its time) is by the clock of that moment. If that was ahead and has
//! been set back since, the tables would take the rows under a lease of the right clock, so the lease is then no use:
//! nothing of such a batch is ever stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use crate::clock::now_ms;

/// How far a clock may be behind an earlier moment of its own and count as slewed; further back it was set.
pub const CLOCK_SET_BACK_MS: i64 = 1_000;

/// Shared between the polling thread and the delivery of one batch.
#[derive(Debug, Clone)]
pub struct Lease(Arc<State>);

#[derive(Debug)]
struct State {
    /// The earliest confirmation that counts, ms since 1970.
    not_before_ms: i64,
    confirmed_ms: AtomicI64,
    revoked: AtomicBool,
}

impl Lease {
    /// A lease that was confirmed by a commit sent at `sent_ms`. It counts from `not_before_ms` on, when the batch was
    /// frozen, less what clocks may differ.
    pub fn new(sent_ms: i64, not_before_ms: i64) -> Self {
        Self(Arc::new(State {
            not_before_ms,
            confirmed_ms: AtomicI64::new(sent_ms),
            revoked: AtomicBool::new(false),
        }))
    }

    /// A commit sent at `sent_ms` was accepted. The last one counts, even if the clock was set back since the one
    /// before.
    pub fn renew(&self, sent_ms: i64) {
        if sent_ms >= self.0.not_before_ms {
            self.0.confirmed_ms.store(sent_ms, Ordering::Release);
        }
    }

    /// The partition is not ours any more.
    pub fn revoke(&self) {
        self.0.revoked.store(true, Ordering::Release);
    }

    /// Whether the partition was taken away.
    pub fn is_revoked(&self) -> bool {
        self.0.revoked.load(Ordering::Acquire)
    }

    /// When the broker last confirmed us, ms since 1970.
    pub fn confirmed_ms(&self) -> i64 {
        self.0.confirmed_ms.load(Ordering::Acquire)
    }

    /// Whether at least half of its life is left, so that an insert begun now is accepted.
    pub fn is_fresh(&self, life: Duration) -> bool {
        self.counts() && self.age_ms(now_ms()) < life.as_millis() as u64 / 2
    }

    /// Whether it was confirmed by the clock that the batch was frozen by, or a later one.
    pub fn counts(&self) -> bool {
        self.confirmed_ms() >= self.0.not_before_ms
    }

    /// Distance of its time from `now_ms`, ms: a clock that was set back ages it just as one that moved on.
    pub fn age_ms(&self, now_ms: i64) -> u64 {
        now_ms.abs_diff(self.confirmed_ms())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Duration = Duration::from_secs(60);

    #[test]
    fn a_lease_is_no_use_to_a_batch_that_was_frozen_by_a_clock_that_has_been_set_back_since() {
        let now_ms = now_ms();
        let ahead_ms = now_ms + 5 * 3_600_000;
        let frozen_ahead = Lease::new(ahead_ms, ahead_ms);
        frozen_ahead.renew(now_ms);
        assert_eq!(frozen_ahead.confirmed_ms(), ahead_ms, "the tables refuse that");
        let accepted_later = Lease::new(now_ms, ahead_ms);
        accepted_later.renew(now_ms);
        assert!(!accepted_later.is_fresh(LIFE));
        assert!(Lease::new(now_ms, now_ms).is_fresh(LIFE));
    }
}
