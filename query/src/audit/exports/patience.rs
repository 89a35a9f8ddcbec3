//! How long an export waits for what is not there now and may be soon: a store or a bucket that is away, memory of the server.
//!
//! Enters: errors, with how far the export has come. Leaves: how long to pause before the next try, or that it was waited for long enough.
//! Guarantees: whoever comes further begins to wait anew; what was waited for one thing does not count for the other. Only pauses count: what a try
//! takes, which may be hours, is work. Pure.

use std::time::Duration;

use super::error::ExportError;

/// Between two tries, at first.
pub const RETRY_AFTER: Duration = Duration::from_secs(2);
/// The pauses double up to here.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);
/// How long the server's memory is waited for: others give it back sooner than a store comes back, and an export that never fits keeps those of others from their turn.
const MEMORY_PATIENCE: Duration = Duration::from_secs(600);

/// What an export has waited for since it last came further.
#[derive(Debug)]
pub struct Patience {
    of_store: Duration,
    steps: usize,
    for_store: Duration,
    for_memory: Duration,
    pause: Duration,
}

impl Patience {
    /// One that waits so long for a store or a bucket.
    pub fn new(of_store: Duration) -> Self {
        Self {
            of_store,
            steps: 0,
            for_store: Duration::ZERO,
            for_memory: Duration::ZERO,
            pause: RETRY_AFTER,
        }
    }

    /// How long to pause after an error, so many steps into the export; `None` where waiting does not help, or did not for long enough.
    pub fn after(&mut self, error: &ExportError, steps: usize) -> Option<Duration> {
        error.passing()?;
        if steps > self.steps {
            *self = Self {
                steps,
                ..Self::new(self.of_store)
            };
        }
        let (waited, bound) = match error.is_of_server_memory() {
            true => (&mut self.for_memory, self.of_store.min(MEMORY_PATIENCE)),
            false => (&mut self.for_store, self.of_store),
        };
        if *waited >= bound {
            return None;
        }
        let pause = self.pause;
        *waited += pause;
        self.pause = (pause * 2).min(RETRY_AFTER_MAX);
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::classified;

    const MINUTE: Duration = Duration::from_secs(60);

    fn away() -> ExportError {
        classified("Code: 60. DB::Exception: Table horolog.audit_logs does not exist").into()
    }

    fn memory() -> ExportError {
        classified("Code: 241. DB::Exception: (total) memory limit exceeded").into()
    }

    /// The pauses after one error again and again. Seconds.
    fn pauses(patience: &mut Patience, error: &ExportError, steps: usize) -> Vec<u64> {
        let pauses = std::iter::from_fn(|| patience.after(error, steps));
        pauses.map(|pause| pause.as_secs()).collect()
    }

    #[test]
    fn pauses_get_longer_and_come_to_as_much_as_is_waited_for() {
        let mut patience = Patience::new(2 * MINUTE);
        assert_eq!(pauses(&mut patience, &away(), 0), [2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(patience.after(&away(), 0), None);
    }

    #[test]
    fn the_store_and_the_memory_of_the_server_are_waited_for_apart() {
        let mut patience = Patience::new(60 * MINUTE);
        assert_eq!(
            pauses(&mut patience, &memory(), 0).iter().sum::<u64>(),
            600,
            "ten minutes"
        );
        assert_eq!(
            pauses(&mut patience, &away(), 0),
            [30; 120],
            "an hour; the ten minutes are no part of it"
        );
        assert_eq!(patience.after(&memory(), 0), None);
    }

    #[test]
    fn an_export_that_comes_further_is_waited_for_anew() {
        let mut patience = Patience::new(MINUTE);
        for steps in [0, 1, 3] {
            assert_eq!(pauses(&mut patience, &memory(), steps), [2, 4, 8, 16, 30]);
        }
    }

    #[test]
    fn what_does_not_pass_is_not_waited_for() {
        let refused = ExportError::from(classified("Code: 241. DB::Exception: Query memory limit exceeded"));
        for error in [refused, ExportError::Stopped] {
            assert_eq!(Patience::new(60 * MINUTE).after(&error, 0), None);
        }
        assert_eq!(Patience::new(Duration::ZERO).after(&away(), 0), None);
    }
}
