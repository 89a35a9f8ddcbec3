//! How long an export waits for what is not there now and may be soon: a store or a bucket that is away, memory of the server.
//!
//! Enters: errors, with how far the export has come, and when. Leaves: how long to pause before the next try, or that it was waited
//! for long enough. Guarantees: whoever comes further begins to wait anew; what was waited for one thing does not count for the other. Pure.

use std::time::{Duration, Instant};

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
    /// For what was away, and for memory.
    waited: [Duration; 2],
    /// Which of them it waits for, and since when.
    waiting: Option<(usize, Instant)>,
    pause: Duration,
}

impl Patience {
    /// One that waits so long for a store or a bucket.
    pub fn new(of_store: Duration) -> Self {
        Self {
            of_store,
            steps: 0,
            waited: [Duration::ZERO; 2],
            waiting: None,
            pause: RETRY_AFTER,
        }
    }

    /// How long to pause after an error, so many steps into the export; `None` where waiting does not help, or did not for long enough.
    pub fn after(&mut self, error: &ExportError, steps: usize, now: Instant) -> Option<Duration> {
        error.passing()?;
        if steps > self.steps {
            *self = Self {
                steps,
                ..Self::new(self.of_store)
            };
        }
        let thing = usize::from(error.is_of_server_memory());
        if let Some((before, since)) = self.waiting.replace((thing, now)) {
            self.waited[before] += now.duration_since(since);
        }
        let waits_on = self.waited[thing] < [self.of_store, self.of_store.min(MEMORY_PATIENCE)][thing];
        let pause = self.pause;
        self.pause = (pause * 2).min(RETRY_AFTER_MAX);
        waits_on.then_some(pause)
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

    #[test]
    fn the_store_and_the_memory_of_the_server_are_waited_for_apart() {
        let (mut patience, begun) = (Patience::new(60 * MINUTE), Instant::now());
        let mut waits = |error: ExportError, minute: u32| patience.after(&error, 0, begun + minute * MINUTE).is_some();
        assert!(waits(memory(), 0));
        assert!(waits(away(), 9));
        assert!(waits(away(), 60), "51 minutes");
        assert!(waits(memory(), 68), "9 minutes; those of the store are none of them");
        assert!(!waits(memory(), 69), "10 minutes");
        assert!(waits(away(), 70), "59 minutes");
        assert!(!waits(away(), 71), "an hour");
    }

    #[test]
    fn an_export_that_comes_further_is_waited_for_anew() {
        let (mut patience, begun) = (Patience::new(60 * MINUTE), Instant::now());
        let mut pause = |steps: usize, minute: u32| {
            let pause = patience.after(&memory(), steps, begun + minute * MINUTE);
            pause.map(|pause| pause.as_secs())
        };
        let pauses = [0, 1, 2, 3, 4, 5].map(|minute| pause(1, minute));
        assert_eq!(pauses, [2, 4, 8, 16, 30, 30].map(Some));
        assert_eq!(pause(2, 60), Some(2));
        assert_eq!(pause(2, 70), None);
    }

    #[test]
    fn what_does_not_pass_is_not_waited_for() {
        let refused = ExportError::from(classified("Code: 241. DB::Exception: Query memory limit exceeded"));
        for error in [refused, ExportError::Stopped] {
            assert_eq!(Patience::new(60 * MINUTE).after(&error, 0, Instant::now()), None);
        }
        assert_eq!(Patience::new(Duration::ZERO).after(&away(), 0, Instant::now()), None);
    }
}
