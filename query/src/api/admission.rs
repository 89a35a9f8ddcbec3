//! How many requests are answered at the same time: together, and for one caller.
//!
//! Enters: who asks. Leaves: a place, held until it is dropped, also when the caller goes away. Guarantees: a caller who asks for everything
//! at once leaves room for others, since only requests within the caller's own share wait for a common place. Who finds no place waits in
//! the order of asking, for a bounded time and with a bounded number of others; who goes away leaves the queue.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::api::Problem;
use crate::api::places::{Place, Places};
use crate::config::LimitsConfig;

/// Places for requests.
#[derive(Debug, Clone)]
pub struct Admission {
    all: Arc<Semaphore>,
    callers: Places<String>,
    waiting: Places<String>,
    wait_max: Duration,
}

/// A place, held until it is dropped.
#[derive(Debug)]
pub struct Admitted {
    _of_all: Place,
    _of_caller: Place,
}

impl Admission {
    /// As configured.
    pub fn new(limits: &LimitsConfig) -> Self {
        Self {
            all: Arc::new(Semaphore::new(limits.concurrent_requests_max)),
            callers: Places::new(limits.concurrent_requests_per_caller_max),
            waiting: Places::new(limits.waiting_requests_per_caller_max),
            wait_max: Duration::from_millis(limits.admission_wait_ms_max),
        }
    }

    /// A place for a caller, or the advice to come back.
    pub async fn admit(&self, caller: &str) -> Result<Admitted, Problem> {
        let deadline = Instant::now() + self.wait_max;
        let too_many = Problem::Busy("too many requests wait for an answer with this key");
        let _waiting = self.waiting.try_take(caller.to_owned()).ok_or(too_many)?;
        let own = timeout_at(deadline, self.callers.take(caller.to_owned())).await;
        let Ok(Ok(of_caller)) = own else {
            return Err(Problem::Busy("too many requests at once with this key"));
        };
        let all = timeout_at(deadline, Arc::clone(&self.all).acquire_owned()).await;
        let Ok(Ok(of_all)) = all else {
            return Err(Problem::Busy("too many requests at once"));
        };
        Ok(Admitted {
            _of_all: of_all,
            _of_caller: of_caller,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt;

    use super::*;

    fn admission(admission_wait_ms_max: u64) -> Admission {
        Admission::new(&LimitsConfig {
            concurrent_requests_max: 3,
            concurrent_requests_per_caller_max: 2,
            waiting_requests_per_caller_max: 2,
            admission_wait_ms_max,
            ..LimitsConfig::default()
        })
    }

    fn reason(refused: Result<Admitted, Problem>) -> &'static str {
        match refused {
            Err(Problem::Busy(reason)) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn one_caller_cannot_take_all_places_and_a_place_comes_back() {
        let admission = admission(0);
        let held = [admission.admit("a").await.unwrap(), admission.admit("a").await.unwrap()];
        assert!(reason(admission.admit("a").await).contains("this key"));
        let other = admission.admit("b").await.unwrap();
        assert_eq!(reason(admission.admit("c").await), "too many requests at once");
        drop(held);
        assert!(admission.admit("a").await.is_ok());
        drop(other);
    }

    #[tokio::test]
    async fn who_finds_no_place_waits_for_one_unless_many_do() {
        let admission = admission(3_600_000);
        let held = [admission.admit("a").await.unwrap(), admission.admit("a").await.unwrap()];
        let mut waiting = [Box::pin(admission.admit("a")), Box::pin(admission.admit("a"))];
        for place in &mut waiting {
            assert!(place.now_or_never().is_none());
        }
        assert!(reason(admission.admit("a").await).contains("wait"));
        let mut other = pin!(admission.admit("b"));
        let others = other.as_mut().now_or_never().unwrap().unwrap();
        drop(held);
        let [first, second] = waiting;
        let first = first.now_or_never().unwrap().unwrap();
        drop(others);
        assert!(second.now_or_never().is_some());
        drop(first);
    }
}
