//! How many bytes of answers are in memory until clients have read them: in total, and per tenant.
//!
//! Enters: the body of an answer, as sent. Leaves: the same bytes, which hold one place per KiB until they are dropped;
//! or advice to try again. A request's own place ends with its handler, so without these a caller that asks fast and
//! reads slowly could keep any number of answers in memory. Guarantees: one tenant has at most half of the places;
//! answers without places wait first come, first served, for a bounded time and with a bounded number of bytes: as many
//! again, half of them of one tenant; small answers are never held back.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::api::Problem;
use crate::api::places::{Place, Places};
use crate::config::LimitsConfig;

/// Smaller answers need no places: they are bounded by the number of connections and of streams per connection.
const COUNTED_BYTES_MIN: usize = 32 << 10;
/// Bytes per place.
const PLACE_BYTES: usize = 1 << 10;

/// Places for answers being sent, and for answers that wait for those.
#[derive(Debug, Clone)]
pub struct Outgoing {
    sent: Shares,
    waiting: Shares,
    wait_max: Duration,
}

/// Places of which a tenant has at most half.
#[derive(Debug, Clone)]
struct Shares {
    all: Arc<Semaphore>,
    tenants: Places<String>,
}

/// Bytes with their places.
struct Held {
    bytes: Bytes,
    _places: [Place; 2],
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Outgoing {
    /// As configured.
    pub fn new(limits: &LimitsConfig) -> Self {
        // At least one for each tenant.
        let places = (limits.answers_bytes_max / PLACE_BYTES).max(2);
        Self {
            sent: Shares::new(places),
            waiting: Shares::new(places),
            wait_max: Duration::from_millis(limits.admission_wait_ms_max),
        }
    }

    /// An answer to a caller of a tenant, with its places.
    pub async fn hold(&self, tenant: &str, bytes: Bytes) -> Result<Bytes, Problem> {
        if bytes.len() < COUNTED_BYTES_MIN {
            return Ok(bytes);
        }
        let deadline = Instant::now() + self.wait_max;
        // An answer larger than the share takes all of it; otherwise it could never be sent.
        let places = bytes.len().div_ceil(PLACE_BYTES).min(self.sent.tenants.each_max());
        let places = u32::try_from(places).unwrap_or(u32::MAX);
        // An answer that waits is in memory, too.
        let waits = self.waiting.try_take(tenant, places);
        let _waits = waits.ok_or(Problem::Busy("too many answers are waiting to be sent"))?;
        Ok(Bytes::from_owner(Held {
            bytes,
            _places: self.sent.take(tenant, places, deadline).await?,
        }))
    }
}

impl Shares {
    fn new(places: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(places)),
            tenants: Places::new(places / 2),
        }
    }

    /// This many places of a tenant and of all, if they are free now.
    fn try_take(&self, tenant: &str, places: u32) -> Option<[Place; 2]> {
        let of_tenant = self.tenants.try_take_many(tenant.to_owned(), places)?;
        let of_all = Arc::clone(&self.all).try_acquire_many_owned(places).ok()?;
        Some([of_tenant, of_all])
    }

    /// The same, waiting for them until the deadline; then advice to try again.
    async fn take(&self, tenant: &str, places: u32, deadline: Instant) -> Result<[Place; 2], Problem> {
        let own = timeout_at(deadline, self.tenants.take_many(tenant.to_owned(), places)).await;
        let Ok(Ok(of_tenant)) = own else {
            return Err(Problem::Busy("too many answers to this tenant are waiting to be read"));
        };
        let all = timeout_at(deadline, Arc::clone(&self.all).acquire_many_owned(places)).await;
        let Ok(Ok(of_all)) = all else {
            return Err(Problem::Busy("too many answers are waiting to be read"));
        };
        Ok([of_tenant, of_all])
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const LARGE: usize = 2 << 20;

    fn outgoing(admission_wait_ms_max: u64) -> Outgoing {
        Outgoing::new(&LimitsConfig {
            answers_bytes_max: 8 << 20,
            admission_wait_ms_max,
            ..LimitsConfig::default()
        })
    }

    async fn hold(outgoing: &Outgoing, tenant: &str, bytes: usize) -> Result<Bytes, Problem> {
        outgoing.hold(tenant, vec![7_u8; bytes].into()).await
    }

    #[tokio::test]
    async fn a_tenant_has_half_of_the_places_until_its_answers_are_read() {
        let outgoing = outgoing(0);
        let one = hold(&outgoing, "a", LARGE).await.unwrap();
        assert!(one == vec![7_u8; LARGE]);
        let part = hold(&outgoing, "a", LARGE).await.unwrap().slice(..1);
        assert!(
            hold(&outgoing, "a", LARGE).await.is_err(),
            "a part is as good as all of it"
        );
        drop(part);
        assert!(hold(&outgoing, "a", LARGE).await.is_ok());
    }

    #[tokio::test]
    async fn all_tenants_together_have_so_many_places() {
        let outgoing = outgoing(0);
        let mut held = Vec::new();
        for tenant in ["a", "a", "b", "b"] {
            held.push(hold(&outgoing, tenant, LARGE).await.unwrap());
        }
        assert!(hold(&outgoing, "c", LARGE).await.is_err());
        assert!(
            hold(&outgoing, "c", COUNTED_BYTES_MIN - 1).await.is_ok(),
            "a small one leaves"
        );
        held.clear();
        assert!(hold(&outgoing, "c", LARGE).await.is_ok());
    }

    #[tokio::test]
    async fn an_answer_larger_than_a_share_leaves_when_all_of_it_is_free() {
        let outgoing = outgoing(0);
        let small = hold(&outgoing, "a", COUNTED_BYTES_MIN).await.unwrap();
        assert!(hold(&outgoing, "a", 3 * LARGE).await.is_err());
        drop(small);
        assert!(hold(&outgoing, "a", 3 * LARGE).await.is_ok());
    }

    #[tokio::test]
    async fn what_waits_is_bounded_too_and_a_tenant_has_half_of_that() {
        let outgoing = outgoing(3_600_000);
        let mut held = Vec::new();
        for tenant in ["a", "a", "b", "b"] {
            held.push(hold(&outgoing, tenant, LARGE).await.unwrap());
        }
        let mut waiting = ["a", "a", "b", "b"].map(|tenant| Box::pin(hold(&outgoing, tenant, LARGE)));
        for (number, one) in waiting.iter_mut().enumerate() {
            assert!(one.now_or_never().is_none());
            let more = hold(&outgoing, "a", LARGE).now_or_never();
            assert_eq!(more.is_some_and(|more| more.is_err()), number > 0, "two of it wait");
        }
        assert!(hold(&outgoing, "c", LARGE).await.is_err(), "as many bytes wait as may");
        held.clear();
        for one in waiting {
            assert!(one.await.is_ok());
        }
    }
}
