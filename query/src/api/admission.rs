//! How many requests are answered at the same time: in total, per tenant, and per caller.
//!
//! Enters: who asks. Leaves: a place, held until it is dropped, also when the caller disconnects. Guarantees: a caller
//! that sends many requests at once leaves room for others, since only requests within the caller's own share wait for
//! a place of their tenant, which has half of all places however many keys it creates, and only requests within that
//! share wait for a common one. Requests wait first come, first served, for a bounded time and in a bounded queue, and
//! leave it when the caller disconnects. Downloads, which take as long as their readers and hold a file open each, have
//! separate places, as many per caller and per tenant.

use std::num::NonZeroU32;
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
    requests: Shares,
    downloads: Shares,
    waiting: Places<String>,
    wait_max: Duration,
}

/// The places of tenants, and of their callers.
#[derive(Debug, Clone)]
struct Shares {
    tenants: Places<String>,
    callers: Places<String>,
}

/// A place, held until it is dropped.
#[derive(Debug)]
pub struct Admitted {
    _of_all: Place,
    _own: [Place; 2],
}

impl Admission {
    /// As configured.
    pub fn new(limits: &LimitsConfig) -> Self {
        Self {
            all: Arc::new(Semaphore::new(limits.concurrent_requests_max)),
            requests: Shares::new(limits),
            downloads: Shares::new(limits),
            waiting: Places::new(limits.waiting_requests_per_caller_max),
            wait_max: Duration::from_millis(limits.admission_wait_ms_max),
        }
    }

    /// A place for a caller of a tenant, whose key may allow fewer than the default, or advice to try again.
    pub async fn admit(&self, tenant: &str, caller: &str, own_max: Option<NonZeroU32>) -> Result<Admitted, Problem> {
        let deadline = Instant::now() + self.wait_max;
        let too_many = Problem::Busy("too many requests with this key are waiting for an answer");
        let _waiting = self.waiting.try_take(caller.to_owned()).ok_or(too_many)?;
        let own = self.requests.take(tenant, caller, own_max, deadline).await?;
        let all = timeout_at(deadline, Arc::clone(&self.all).acquire_owned()).await;
        let Ok(Ok(of_all)) = all else {
            return Err(Problem::Busy("too many requests at once"));
        };
        Ok(Admitted {
            _of_all: of_all,
            _own: own,
        })
    }

    /// The same for a download.
    pub async fn admit_download(
        &self,
        tenant: &str,
        caller: &str,
        own_max: Option<NonZeroU32>,
    ) -> Result<[Place; 2], Problem> {
        let deadline = Instant::now() + self.wait_max;
        self.downloads.take(tenant, caller, own_max, deadline).await
    }
}

impl Shares {
    fn new(limits: &LimitsConfig) -> Self {
        Self {
            tenants: Places::new((limits.concurrent_requests_max / 2).max(1)),
            callers: Places::new(limits.concurrent_requests_per_caller_max),
        }
    }

    /// A place of the caller, then one of the tenant.
    async fn take(
        &self,
        tenant: &str,
        caller: &str,
        own_max: Option<NonZeroU32>,
        deadline: Instant,
    ) -> Result<[Place; 2], Problem> {
        let (places, taken) = self.of_caller(own_max);
        let own = timeout_at(deadline, self.callers.take_of(caller.to_owned(), places)).await;
        let Ok(Ok(of_caller)) = own else {
            return Err(Problem::Busy(taken));
        };
        let tenant = timeout_at(deadline, self.tenants.take(tenant.to_owned())).await;
        let Ok(Ok(of_tenant)) = tenant else {
            return Err(Problem::Busy("too many requests of this tenant at once"));
        };
        Ok([of_caller, of_tenant])
    }

    /// How many places a caller has, and the message when all are taken.
    fn of_caller(&self, own_max: Option<NonZeroU32>) -> (usize, &'static str) {
        let of_each = self.callers.each_max();
        match own_max.map(|own| own.get() as usize) {
            Some(own) if own < of_each => (
                own,
                "more requests at once than limits.concurrent_requests_max of this key allows",
            ),
            _ => (of_each, "too many requests with this key at once"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt;

    use super::*;

    fn admission(admission_wait_ms_max: u64) -> Admission {
        Admission::new(&LimitsConfig {
            concurrent_requests_max: 4,
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
        let held = [
            admission.admit("a", "a", None).await.unwrap(),
            admission.admit("a", "a", None).await.unwrap(),
        ];
        assert!(reason(admission.admit("a", "a", None).await).contains("this key"));
        let others = [
            admission.admit("b", "b", None).await.unwrap(),
            admission.admit("b", "b", None).await.unwrap(),
        ];
        assert_eq!(
            reason(admission.admit("c", "c", None).await),
            "too many requests at once"
        );
        drop(held);
        assert!(admission.admit("a", "a", None).await.is_ok());
        drop(others);
    }

    #[tokio::test]
    async fn one_tenant_cannot_take_all_places_with_many_keys() {
        let admission = Admission::new(&LimitsConfig {
            concurrent_requests_max: 5,
            concurrent_requests_per_caller_max: 1,
            admission_wait_ms_max: 0,
            ..LimitsConfig::default()
        });
        let one = admission.admit("red", "a", None).await.unwrap();
        let two = admission.admit("red", "b", None).await.unwrap();
        assert!(reason(admission.admit("red", "c", None).await).contains("this tenant"));
        assert!(admission.admit("blue", "d", None).await.is_ok());
        drop(one);
        assert!(admission.admit("red", "c", None).await.is_ok());
        drop(two);
    }

    #[tokio::test]
    async fn downloads_take_no_place_of_requests_and_each_caller_has_so_many() {
        let admission = admission(0);
        let one = admission.admit_download("a", "a", NonZeroU32::new(1)).await.unwrap();
        let own_max = NonZeroU32::new(1);
        let refused = admission.admit_download("a", "a", own_max).await.unwrap_err();
        assert!(matches!(refused, Problem::Busy(reason) if reason.contains("of this key")));
        assert!(admission.admit("a", "a", NonZeroU32::new(1)).await.is_ok());
        drop(one);
        assert!(admission.admit_download("a", "a", NonZeroU32::new(1)).await.is_ok());
    }

    #[tokio::test]
    async fn one_tenant_has_so_many_downloads_however_many_keys_it_makes() {
        let admission = admission(0);
        let one = admission.admit_download("red", "a", None).await.unwrap();
        let two = admission.admit_download("red", "b", None).await.unwrap();
        let refused = admission.admit_download("red", "c", None).await.unwrap_err();
        assert!(matches!(refused, Problem::Busy(reason) if reason.contains("this tenant")));
        assert!(admission.admit_download("blue", "d", None).await.is_ok());
        drop(one);
        assert!(admission.admit_download("red", "c", None).await.is_ok());
        drop(two);
    }

    #[tokio::test]
    async fn who_finds_no_place_waits_for_one_unless_many_do() {
        let admission = admission(3_600_000);
        let held = [
            admission.admit("a", "a", None).await.unwrap(),
            admission.admit("a", "a", None).await.unwrap(),
        ];
        let mut waiting = [
            Box::pin(admission.admit("a", "a", None)),
            Box::pin(admission.admit("a", "a", None)),
        ];
        for place in &mut waiting {
            assert!(place.now_or_never().is_none());
        }
        assert!(reason(admission.admit("a", "a", None).await).contains("wait"));
        let mut other = pin!(admission.admit("b", "b", None));
        let others = other.as_mut().now_or_never().unwrap().unwrap();
        drop(held);
        let [first, second] = waiting;
        let first = first.now_or_never().unwrap().unwrap();
        drop(others);
        assert!(second.now_or_never().is_some());
        drop(first);
    }

    #[tokio::test]
    async fn a_key_may_have_fewer_places_than_others_and_never_more() {
        let admission = admission(0);
        for (own_max, places) in [(1, 1), (2, 2), (9, 2)] {
            let own_max = NonZeroU32::new(own_max);
            let mut held = Vec::new();
            for _ in 0..places {
                held.push(admission.admit("a", "a", own_max).await.unwrap());
            }
            let reason = reason(admission.admit("a", "a", own_max).await);
            assert_eq!(
                reason.contains("limits.concurrent_requests_max of this key"),
                places == 1,
                "{reason}"
            );
            assert!(admission.admit("b", "b", None).await.is_ok());
        }
    }
}
