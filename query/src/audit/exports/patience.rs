//! How long an export waits for what is temporarily unavailable: a store or a bucket, or memory of the server.
//!
//! Enters: errors, with the export's progress. Leaves: how long to pause before the next attempt, or that it has waited
//! long enough. Guarantees: progress resets the wait; waiting for the store does not count as waiting for memory, nor
//! the other way round; an attempt that takes hours does not use up the attempts after it. Pure.

use std::time::{Duration, Instant};

use super::error::ExportError;

/// The first pause between attempts.
pub const RETRY_AFTER: Duration = Duration::from_secs(2);
/// Pauses double up to this.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);
/// How long to wait for the server's memory: others free it sooner than a store comes back, and an export that never
/// fits would keep others from their turn.
const MEMORY_PATIENCE: Duration = Duration::from_secs(600);

/// Minimum number of attempts, however long they take.
const TRIES_MIN: u32 = 4;

/// What an export has waited for since its last progress.
#[derive(Debug)]
pub struct Patience {
    of_store: Duration,
    steps: usize,
    for_store: Waited,
    for_memory: Waited,
    last_error: Option<Instant>,
    pause: Duration,
}

/// The wait for one thing.
#[derive(Debug, Default)]
struct Waited {
    time: Duration,
    errors: u32,
}

impl Patience {
    /// With this patience for a store or a bucket.
    pub fn new(of_store: Duration) -> Self {
        Self {
            of_store,
            steps: 0,
            for_store: Waited::default(),
            for_memory: Waited::default(),
            last_error: None,
            pause: RETRY_AFTER,
        }
    }

    /// How long to pause after an error at this step of the export; `None` if waiting does not help, or has not for
    /// long enough.
    pub fn after(&mut self, error: &ExportError, steps: usize, now: Instant) -> Option<Duration> {
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
        waited.errors += 1;
        if let Some(last) = self.last_error.replace(now) {
            waited.time += now.duration_since(last);
        }
        if waited.time >= bound && (waited.errors >= TRIES_MIN || bound.is_zero()) {
            return None;
        }
        let pause = self.pause;
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

    /// The pauses after the same error again and again, if each attempt takes this long. Seconds.
    fn pauses(
        patience: &mut Patience,
        error: &ExportError,
        steps: usize,
        now: &mut Instant,
        takes: Duration,
    ) -> Vec<u64> {
        let pauses = std::iter::from_fn(|| {
            let pause = patience.after(error, steps, *now)?;
            *now += pause + takes;
            Some(pause.as_secs())
        });
        pauses.collect()
    }

    #[test]
    fn pauses_get_longer_and_come_to_as_much_as_is_waited_for() {
        let (mut patience, mut now) = (Patience::new(2 * MINUTE), Instant::now());
        let pauses = pauses(&mut patience, &away(), 0, &mut now, Duration::ZERO);
        assert_eq!(pauses, [2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(patience.after(&away(), 0, now), None);
    }

    #[test]
    fn an_export_whose_tries_take_hours_has_some_and_then_leaves_its_place() {
        let (mut patience, mut now) = (Patience::new(60 * MINUTE), Instant::now());
        let tries = pauses(&mut patience, &memory(), 0, &mut now, 180 * MINUTE);
        assert_eq!(tries, [2, 4, 8]);
    }

    #[test]
    fn the_store_and_the_memory_of_the_server_are_waited_for_apart() {
        let (mut patience, mut now) = (Patience::new(60 * MINUTE), Instant::now());
        let for_memory = pauses(&mut patience, &memory(), 0, &mut now, Duration::ZERO);
        assert_eq!(for_memory.iter().sum::<u64>(), 600, "ten minutes");
        let for_store = pauses(&mut patience, &away(), 0, &mut now, Duration::ZERO);
        assert_eq!(for_store, [30; 120], "an hour; the ten minutes are no part of it");
        assert_eq!(patience.after(&memory(), 0, now), None);
    }

    #[test]
    fn an_export_that_comes_further_is_waited_for_anew() {
        let (mut patience, mut now) = (Patience::new(MINUTE), Instant::now());
        for steps in [0, 1, 3] {
            let pauses = pauses(&mut patience, &memory(), steps, &mut now, Duration::ZERO);
            assert_eq!(pauses, [2, 4, 8, 16, 30]);
        }
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
