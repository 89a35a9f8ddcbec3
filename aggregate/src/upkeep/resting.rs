//! Hours that were computed again a short time ago, and are not yet computed once more.
//!
//! Each computation is a copy of the hour that is kept, so an hour into which samples keep falling late is not computed
//! at each round. Other hours do not wait for it. In: hours, and the time. Out: for how long each has rested. Pure.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::plan::TenantHour;

/// Hours of tenants that rest.
#[derive(Debug)]
pub struct Resting {
    interval: Duration,
    since: HashMap<TenantHour, Instant>,
}

impl Resting {
    /// None; each rests for `interval`.
    pub fn new(interval: Duration) -> Self {
        Self {
            interval,
            since: HashMap::new(),
        }
    }

    /// These were computed now.
    pub fn add(&mut self, computed: Vec<TenantHour>, now: Instant) {
        self.since.extend(computed.into_iter().map(|hour| (hour, now)));
    }

    /// Lets go of those that have rested.
    pub fn wake(&mut self, now: Instant) {
        self.since.retain(|_, since| now.duration_since(*since) < self.interval);
    }

    /// For how long an hour has rested, if it does.
    pub fn age(&self, tenant: &str, hour: u32, now: Instant) -> Option<Duration> {
        let since = self.since.get(&(tenant.to_owned(), hour))?;
        Some(now.duration_since(*since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_rests_by_itself_and_not_for_ever() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut resting = Resting::new(300 * second);
        resting.add(vec![("a".to_owned(), 0)], start);
        resting.add(vec![("b".to_owned(), 0)], start + 10 * second);
        let now = start + 299 * second;
        resting.wake(now);
        assert_eq!(resting.age("a", 0, now), Some(299 * second));
        assert_eq!((resting.age("a", 3_600, now), resting.age("c", 0, now)), (None, None));
        resting.wake(now + second);
        assert_eq!(resting.age("a", 0, now + second), None);
        assert_eq!(resting.age("b", 0, now + second), Some(290 * second));
    }
}
