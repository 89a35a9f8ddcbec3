//! The operator's side of a service: `/livez`, `/readyz` and `/metrics` over HTTP.
//!
//! Live: the process answers. Ready: it does its work right now. Metrics: OpenMetrics text of one registry.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

/// A service that has not confirmed for this long that it is ready is not: the thread that would do so stands still.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(90);

/// Whether a service is ready, and if not, why; and when that was said.
#[derive(Debug, Clone)]
pub struct Health(Arc<RwLock<(Result<(), String>, Instant)>>);

impl Health {
    /// Not ready yet, because of `reason`.
    pub fn starting(reason: &str) -> Self {
        Self(Arc::new(RwLock::new((Err(reason.to_owned()), Instant::now()))))
    }

    /// Says that the service does its work.
    pub fn ready(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = (Ok(()), Instant::now());
    }

    /// Says why it does not.
    pub fn not_ready(&self, reason: &str) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = (Err(reason.to_owned()), Instant::now());
    }

    fn get(&self) -> Result<(), String> {
        let (said, at) = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        let age = at.elapsed();
        if said.is_ok() && age > CONFIRMED_WITHIN {
            return Err(format!(
                "the thread that does the work has not reported for {} s: restart this process if that lasts",
                age.as_secs()
            ));
        }
        said
    }
}

/// The metric `horolog_ready`: what `/readyz` answers, for alarms.
impl Collector for Health {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let ready = ConstGauge::new(i64::from(self.get().is_ok()));
        let help = "Whether the process does its work; /readyz says why not";
        ready.encode(encoder.encode_descriptor("horolog_ready", help, None, ready.metric_type())?)
    }
}

/// The routes, to be merged into a service's own.
pub fn routes(health: Health, mut registry: Registry) -> Router {
    registry.register_collector(Box::new(health.clone()));
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(health)
        .merge(
            Router::new()
                .route("/metrics", get(metrics))
                .with_state(Arc::new(registry)),
        )
}

/// Binds `listen`; the error names the setting to change.
pub async fn bind(listen: SocketAddr) -> Result<tokio::net::TcpListener, std::io::Error> {
    tokio::net::TcpListener::bind(listen).await.map_err(|error| {
        std::io::Error::new(
            error.kind(),
            format!("cannot listen on http.listen = {listen}: {error}"),
        )
    })
}

async fn ready(State(health): State<Health>) -> Response {
    match health.get() {
        Ok(()) => "ok\n".into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

async fn metrics(State(registry): State<Arc<Registry>>) -> Response {
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => (
            [(
                header::CONTENT_TYPE,
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
            )],
            text,
        )
            .into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
