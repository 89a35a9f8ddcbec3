//! The lease of a batch: when the broker last confirmed that the partition is ours.
//!
//! The polling thread renews it with each commit that the broker accepts; the delivery writes it into every row and
//! stops inserting when it is about to expire. It holds the time *before* the commit was sent, so a process that was
//! paused at any point wakes up with an old lease.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use crate::clock::now_ms;

/// Shared between the polling thread and the delivery of one batch.
#[derive(Debug, Clone)]
pub struct Lease(Arc<State>);

#[derive(Debug)]
struct State {
    confirmed_ms: AtomicI64,
    revoked: AtomicBool,
}

impl Lease {
    /// A lease that was confirmed by a commit sent at `sent_ms`.
    pub fn new(sent_ms: i64) -> Self {
        Self(Arc::new(State {
            confirmed_ms: AtomicI64::new(sent_ms),
            revoked: AtomicBool::new(false),
        }))
    }

    /// A commit sent at `sent_ms` was accepted. The last one counts, even if the clock was set back since the one
    /// before.
    pub fn renew(&self, sent_ms: i64) {
        self.0.confirmed_ms.store(sent_ms, Ordering::Release);
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
        self.age_ms(now_ms()) < life.as_millis() as u64 / 2
    }

    /// Distance of its time from `now_ms`, ms: a clock that was set back ages it just as one that moved on.
    pub fn age_ms(&self, now_ms: i64) -> u64 {
        now_ms.abs_diff(self.confirmed_ms())
    }
}
