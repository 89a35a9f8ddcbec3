//! Queries the API while records flow, open loop on a Poisson schedule: a latency counts from the time at which the
//! query was meant to be sent.
//!
//! Queries hourly metrics of the run's own tenants, and audit events if the run has any. An error or a timeout counts
//! as a failed query.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::sync::mpsc::Sender;

use crate::http;
use crate::recorder::Event;
use crate::schedule::Arrivals;
use crate::target::QueryAddress;

/// Maximum queries in flight. Further ones wait, and their latency includes the wait.
const UNDER_WAY_MAX: usize = 64;
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// What to query.
pub struct Queries {
    /// The query API.
    pub address: QueryAddress,
    /// The schedule.
    pub arrivals: Arrivals,
    /// Prefix of the run's tenants.
    pub prefix: String,
    /// Number of tenants.
    pub tenants: usize,
    /// Whether to query audit events.
    pub audit: bool,
    /// The beginning of the run.
    pub begun: Instant,
}

impl Queries {
    /// Sends queries until the schedule ends.
    pub async fn run(self, events: Sender<Event>) {
        let http = match http::builder().timeout(ANSWER_DEADLINE).build() {
            Ok(http) => http,
            Err(_) => return,
        };
        let places = Arc::new(Semaphore::new(UNDER_WAY_MAX));
        let paths: Vec<String> = self.paths();
        for (number, intended) in self.arrivals.enumerate() {
            tokio::time::sleep_until((self.begun + intended).into()).await;
            let mut request = http.get(&paths[number % paths.len()]);
            if let Some(key) = &self.address.key {
                request = request.bearer_auth(key);
            }
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            let (events, begun) = (events.clone(), self.begun);
            tokio::spawn(async move {
                let answered = answer(request).await;
                let latency = answered.then(|| begun.elapsed().saturating_sub(intended));
                drop(place);
                // The receiver is gone once the run is over.
                let _ = events.send(Event::Answered { intended, latency }).await;
            });
        }
    }

    fn paths(&self) -> Vec<String> {
        let url = &self.address.url;
        let hours = (0..self.tenants.min(100)).map(|tenant| {
            format!(
                "{url}/v1/metrics/hourly?tenant_id={}-{tenant}&metric_name=cpu_utilization&limit=100",
                self.prefix
            )
        });
        let audit = (0..self.tenants.min(100))
            .filter(|_| self.audit)
            .map(|tenant| format!("{url}/v1/audit/events?tenant_id={}-{tenant}&limit=50", self.prefix));
        hours.chain(audit).collect()
    }
}

/// Whether the whole response arrived and was not an error.
async fn answer(request: reqwest::RequestBuilder) -> bool {
    let Ok(response) = request.send().await.and_then(reqwest::Response::error_for_status) else {
        return false;
    };
    response.bytes().await.is_ok()
}
