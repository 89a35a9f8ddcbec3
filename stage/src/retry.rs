//! Waiting between attempts: exponential, with full jitter, for as long as it takes.
//!
//! Full jitter as in <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>.

use std::time::Duration;

/// First upper bound of a wait.
const FIRST: Duration = Duration::from_millis(100);
/// Last upper bound of a wait.
const LAST: Duration = Duration::from_secs(10);

/// The waits of one series of attempts.
#[derive(Debug)]
pub struct Backoff {
    bound: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { bound: FIRST }
    }
}

impl Backoff {
    /// How long to wait before the next attempt: at least half of the first bound, at most the current bound.
    pub fn next_wait(&mut self) -> Duration {
        let wait = self.bound.mul_f64(rand::random_range(0.0..1.0)).max(FIRST / 2);
        self.bound = LAST.min(self.bound * 2);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_stay_bounded() {
        let mut backoff = Backoff::default();
        for _ in 0..100 {
            let wait = backoff.next_wait();
            assert!(wait >= FIRST / 2 && wait <= LAST, "{wait:?}");
        }
        assert_eq!(backoff.bound, LAST);
    }
}
