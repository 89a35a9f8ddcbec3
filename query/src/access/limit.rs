//! How many requests a caller may send in an hour.
//!
//! Enters: who sends one. Leaves: how many are left, or how long to wait. A token bucket that holds an hour's worth and
//! refills evenly (GCRA, by `governor`). Each process counts for itself: behind a load balancer the limit is multiplied
//! by the number of processes.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use parking_lot::Mutex;

use crate::access::{Identity, Principal};
use crate::api::Problem;

/// The caller's quota. This header and the next follow the IETF draft "RateLimit header fields for HTTP".
pub const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// What is left of the quota.
pub const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

const HOUR_S: u32 = 3_600;
/// Callers that are remembered. Those idle for an hour are evicted first, because their buckets are full; then the
/// longest idle.
const CALLERS_MAX: usize = 10_000;

type Limiter = RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>;

struct Bucket {
    limiter: Limiter,
    requests_per_hour: u32,
    used: Instant,
}

/// The buckets of all callers.
#[derive(Clone, Default)]
pub struct Limits(Arc<Mutex<HashMap<Identity, Bucket>>>);

/// What is left after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    limit: u32,
    remaining: u32,
    /// Seconds until the bucket is full again.
    full_in_s: u32,
}

impl Limits {
    /// Takes one request from the caller's bucket.
    pub fn take(&self, principal: &Principal) -> Result<Left, Problem> {
        let facts = principal.facts();
        let mut buckets = self.0.lock();
        if buckets.len() >= CALLERS_MAX && !buckets.contains_key(&facts.identity) {
            buckets.retain(|_, bucket| bucket.used.elapsed() < Duration::from_secs(HOUR_S.into()));
            if buckets.len() >= CALLERS_MAX {
                let longest = buckets.iter().min_by_key(|(_, bucket)| bucket.used);
                let longest = longest.map(|(identity, _)| identity.clone());
                longest.and_then(|identity| buckets.remove(&identity));
            }
        }
        let fresh = || Bucket {
            limiter: limiter(facts.requests_per_hour),
            requests_per_hour: facts.requests_per_hour,
            used: Instant::now(),
        };
        let bucket = buckets.entry(facts.identity.clone()).or_insert_with(fresh);
        if bucket.requests_per_hour != facts.requests_per_hour {
            *bucket = fresh();
        }
        bucket.used = Instant::now();
        match bucket.limiter.check() {
            Ok(state) => Ok(Left::new(facts.requests_per_hour, state.remaining_burst_capacity())),
            Err(until) => {
                let wait = until.wait_time_from(DefaultClock::default().now());
                Err(Problem::TooManyRequests {
                    limit: facts.requests_per_hour,
                    retry_after_s: wait.as_secs() + 1,
                })
            }
        }
    }
}

impl Left {
    /// For a request that was refused.
    pub fn none(limit: u32) -> Self {
        Self::new(limit, 0)
    }

    fn new(limit: u32, remaining: u32) -> Self {
        let missing = u64::from(limit.saturating_sub(remaining));
        let full_in_s = (missing * u64::from(HOUR_S)).div_ceil(u64::from(limit.max(1)));
        Self {
            limit,
            remaining,
            full_in_s: u32::try_from(full_in_s).unwrap_or(HOUR_S),
        }
    }

    /// Writes the headers.
    pub fn write(&self, headers: &mut HeaderMap) {
        let policy = format!("\"hour\";q={};w={HOUR_S}", self.limit);
        let left = format!("\"hour\";r={};t={}", self.remaining, self.full_in_s);
        for (name, value) in [(RATE_LIMIT_POLICY, policy), (RATE_LIMIT, left)] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
    }
}

fn limiter(requests_per_hour: u32) -> Limiter {
    let quota = Quota::per_hour(NonZeroU32::new(requests_per_hour).unwrap_or(NonZeroU32::MIN));
    RateLimiter::direct(quota).with_middleware()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Role, TenantGrant};

    #[test]
    fn a_bucket_is_emptied_by_its_own_caller_alone() {
        let limits = Limits::default();
        let callers = ["red", "blue"].map(|name| Principal::named(name, Role::Analyst, TenantGrant::Any, 3));
        for remaining in [2, 1, 0] {
            assert_eq!(limits.take(&callers[0]).unwrap().remaining, remaining);
        }
        let refused = limits.take(&callers[0]).unwrap_err();
        assert!(
            matches!(
                refused,
                Problem::TooManyRequests {
                    limit: 3,
                    retry_after_s: 1..=1_201
                }
            ),
            "{refused:?}"
        );
        assert_eq!(limits.take(&callers[1]).unwrap().remaining, 2);
    }

    #[test]
    fn the_headers_say_what_is_left() {
        let mut headers = HeaderMap::new();
        Left::new(1_000, 990).write(&mut headers);
        assert_eq!(headers["ratelimit-policy"], "\"hour\";q=1000;w=3600");
        assert_eq!(headers["ratelimit"], "\"hour\";r=990;t=36");
    }
}
