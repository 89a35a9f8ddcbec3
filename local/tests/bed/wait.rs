//! Waiting for a condition, with a deadline and a name for what is waited for.

use std::time::{Duration, Instant};

/// How often the condition is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Returns when the condition holds; panics with `what` when it does not within the deadline.
#[track_caller]
pub fn wait_until(deadline: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + deadline;
    while !condition() {
        assert!(Instant::now() < end, "not within {deadline:?}: {what}");
        std::thread::sleep(LOOK_INTERVAL);
    }
}
