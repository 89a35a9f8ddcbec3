//! How long to wait before a dead process is started again: twice as long each time, with jitter, up to a bound.

use std::time::Duration;

const FIRST_MS: u64 = 500;
const LONGEST_MS: u64 = 30_000;
/// A process that was ready for this long is healthy: its next failure counts as the first.
pub(super) const HEALTHY_AFTER: Duration = Duration::from_secs(60);

/// The pause after this many failures in a row (1 is the first). `random` is in `[0, 1)` and shortens it by up to half,
/// so that processes that died together do not come back together.
pub(super) fn pause(failures: u32, random: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let longest = Duration::from_millis((FIRST_MS << doublings).min(LONGEST_MS));
    longest.mul_f64(1.0 - random.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn is_never_zero_and_never_beyond_the_bound(failures in 0u32.., random in 0.0f64..1.0) {
            let pause = pause(failures, random);
            prop_assert!(pause >= Duration::from_millis(FIRST_MS / 2));
            prop_assert!(pause <= Duration::from_millis(LONGEST_MS));
        }

        #[test]
        fn grows_with_the_failures(failures in 1u32..20, random in 0.0f64..1.0) {
            prop_assert!(pause(failures, random) <= pause(failures + 1, random));
        }
    }
}
