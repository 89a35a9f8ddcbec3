//! What applies to every request: an id, metrics, a log line, and problems in one format.
//!
//! Enters: a request, with `x-request-id` or without. Leaves: the response with the same id in its header. The query
//! string is never logged, because filters contain personal data.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tracing::Instrument;

use crate::access::limit::{RATE_LIMIT, RATE_LIMIT_POLICY};
use crate::api::Problem;
use crate::api::request_id::{REQUEST_ID_HEADER, RequestId};

/// Upper bounds of the latency histogram. Seconds.
const LATENCY_BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// Headers that are kept when a problem replaces a response: the allowed methods, the size of a file, and the caller's
/// rate limit.
const BESIDE_PROBLEMS: [HeaderName; 4] = [header::ALLOW, header::CONTENT_RANGE, RATE_LIMIT_POLICY, RATE_LIMIT];

/// Number of rows in a response; attached by the handler for the counter.
#[derive(Debug, Clone, Copy)]
pub struct RowsReturned(pub usize);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    route: String,
    status: u16,
}

/// The metrics of requests.
#[derive(Debug, Clone)]
pub struct Metrics {
    requests: Family<Outcome, Counter>,
    latency: Family<Route, Histogram>,
    rows: Family<Route, Counter>,
    in_flight: Gauge<i64, AtomicI64>,
}

impl Metrics {
    /// Registers them.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            latency: Family::new_with_constructor(|| Histogram::new(LATENCY_BUCKETS)),
            rows: Family::default(),
            in_flight: Gauge::default(),
        };
        let registry = registry.sub_registry_with_prefix("horolog_query");
        registry.register(
            "requests",
            "Requests answered, by route and status",
            metrics.requests.clone(),
        );
        registry.register_with_unit(
            "request_duration",
            "Time to an answer",
            Unit::Seconds,
            metrics.latency.clone(),
        );
        registry.register("rows_returned", "Rows in answers", metrics.rows.clone());
        registry.register(
            "requests_in_flight",
            "Requests being answered",
            metrics.in_flight.clone(),
        );
        metrics
    }

    fn record(&self, route: &str, response: &Response, started: Instant) {
        let route = || route.to_owned();
        let outcome = Outcome {
            route: route(),
            status: response.status().as_u16(),
        };
        self.requests.get_or_create(&outcome).inc();
        self.latency
            .get_or_create(&Route { route: route() })
            .observe(started.elapsed().as_secs_f64());
        if let Some(RowsReturned(rows)) = response.extensions().get() {
            self.rows.get_or_create(&Route { route: route() }).inc_by(*rows as u64);
        }
    }
}

/// Counts a request as in flight; also decremented when the caller disconnects and its future is dropped.
struct InFlight(Gauge<i64, AtomicI64>);

impl InFlight {
    fn enter(gauge: &Gauge<i64, AtomicI64>) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The middleware around all routes.
pub async fn observe(State(metrics): State<Arc<Metrics>>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let _in_flight = InFlight::enter(&metrics.in_flight);
    let id = RequestId::of(request.headers());
    // Only route templates: a path chosen by the caller would be a label of unbounded cardinality.
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("unknown", MatchedPath::as_str)
        .to_owned();
    let method = request.method().clone();
    request.extensions_mut().insert(id.clone());
    let span = tracing::info_span!("request", request_id = %id, %method, route);
    async {
        let mut response = next.run(request).await;
        if let Some(problem) = response.extensions_mut().remove::<Problem>() {
            let beside = response;
            response = problem.render(&id);
            for name in BESIDE_PROBLEMS {
                if let Some(value) = beside.headers().get(&name) {
                    response.headers_mut().insert(name, value.clone());
                }
            }
        }
        if let Ok(value) = HeaderValue::from_str(id.as_str()) {
            response.headers_mut().insert(REQUEST_ID_HEADER.clone(), value);
        }
        response
            .headers_mut()
            .entry(header::CACHE_CONTROL)
            .or_insert(HeaderValue::from_static("no-store"));
        metrics.record(&route, &response, started);
        let (status, elapsed_ms) = (response.status().as_u16(), started.elapsed().as_millis() as u64);
        // Probes come every few seconds and add nothing to the metrics.
        match route.starts_with("/v1/") {
            true => tracing::info!(status, elapsed_ms, "answered"),
            false => tracing::debug!(status, elapsed_ms, "answered"),
        }
        response
    }
    .instrument(span)
    .await
}
