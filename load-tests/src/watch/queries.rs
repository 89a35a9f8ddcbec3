//! Queries the API while records flow, open loop on a Poisson schedule: a latency counts from the time at which the
//! query was meant to be sent.
//!
//! Queries hourly metrics of the run's own tenants, and audit events if the run has any. An error or a timeout counts
//! as a failed query, and so does one that was due and never sent, because too many others were still in flight when the
//! run was over: without it, the slowest API would have the fewest latencies.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Url;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::Sender;
use tokio::sync::watch::Receiver;

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
    /// Tenants and metrics whose hours to query.
    pub metrics: Vec<(String, String)>,
    /// Tenants whose audit events to query.
    pub events: Vec<String>,
    /// The beginning of the run.
    pub begun: Instant,
}

impl Queries {
    /// Sends queries until the schedule ends or the run is over.
    pub async fn run(self, events: Sender<Event>, mut over: Receiver<bool>) {
        let http = match http::builder().timeout(ANSWER_DEADLINE).build() {
            Ok(http) => http,
            Err(_) => return,
        };
        let places = Arc::new(Semaphore::new(UNDER_WAY_MAX));
        let paths = self.paths();
        if paths.is_empty() {
            return;
        }
        for (number, intended) in self.arrivals.enumerate() {
            let place = async {
                tokio::time::sleep_until((self.begun + intended).into()).await;
                Arc::clone(&places).acquire_owned().await
            };
            let place = tokio::select! {
                place = place => Some(place),
                _ = over.wait_for(|over| *over) => None,
            };
            let Some(place) = place else {
                if intended > self.begun.elapsed() {
                    return;
                }
                // It was due, and is not sent any more.
                let latency = None;
                let _ = events.send(Event::Answered { intended, latency }).await;
                continue;
            };
            let Ok(place) = place else { return };
            let mut request = http.get(paths[number % paths.len()].clone());
            if let Some(key) = &self.address.key {
                request = request.bearer_auth(key);
            }
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

    fn paths(&self) -> Vec<Url> {
        let url = &self.address.url;
        let hours = self.metrics.iter().map(|(tenant, metric)| {
            let parameters = [
                ("tenant_id", tenant.as_str()),
                ("metric_name", metric),
                ("limit", "100"),
            ];
            Url::parse_with_params(&format!("{url}/v1/metrics/hourly"), parameters)
        });
        let events = self.events.iter();
        let audit = events.map(|tenant| {
            let parameters = [("tenant_id", tenant.as_str()), ("limit", "50")];
            Url::parse_with_params(&format!("{url}/v1/audit/events"), parameters)
        });
        hours.chain(audit).flatten().collect()
    }
}

/// Whether the whole response arrived and was not an error.
async fn answer(request: reqwest::RequestBuilder) -> bool {
    let Ok(response) = request.send().await.and_then(reqwest::Response::error_for_status) else {
        return false;
    };
    response.bytes().await.is_ok()
}
