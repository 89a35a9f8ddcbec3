//! Waiting for a condition, with a deadline and a name for what is waited for.

use std::time::{Duration, Instant};

/// How often the condition is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Returns when the condition holds; panics with `what` when it does not within the deadline. The condition is checked
/// once more after the deadline, so that a stalled machine does not fail the test.
#[track_caller]
pub fn wait_until(deadline: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + deadline;
    loop {
        let is_over = Instant::now() >= end;
        if condition() {
            return;
        }
        assert!(!is_over, "not within {deadline:?}: {what}");
        std::thread::sleep(LOOK_INTERVAL);
    }
}
