//! The service: its routes, its start, its watch over the store, its end.
//!
//! Guarantees: does not start without a reachable, migrated store; is not ready while the store is away; drains requests on
//! SIGTERM and SIGINT within a deadline. Adds no behaviour to a route: resources are in their own files.

use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use axum::serve::ListenerExt;
use horolog_stage::http::{self, Health};
use prometheus_client::registry::Registry;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};

use crate::config::QueryConfig;
use crate::observe::{Metrics, observe};
use crate::problem::Problem;
use crate::store::Store;
use crate::{audit_events, metrics_hourly};

/// Between two looks at the store.
const WATCH_INTERVAL: Duration = Duration::from_secs(2);
/// Requests under way when the service is told to stop have so long.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// What handlers share.
#[derive(Clone)]
pub struct Api {
    /// ClickHouse.
    pub store: Store,
    /// The topic whose completeness is told.
    pub metrics_topic: Arc<str>,
    /// A page ends early when its rows are larger than this together.
    pub page_bytes_max: usize,
    permits: Arc<Semaphore>,
}

impl Api {
    /// As configured.
    pub fn new(config: &QueryConfig, store: Store) -> Self {
        Self {
            store,
            metrics_topic: config.source.metrics_topic.as_str().into(),
            page_bytes_max: config.limits.page_bytes_max,
            permits: Arc::new(Semaphore::new(config.limits.concurrent_requests_max)),
        }
    }

    /// A place among the requests that are answered at the same time, held until it is dropped.
    pub fn admit(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.permits).try_acquire_owned().map_err(|_| Problem::Busy)
    }
}

/// Runs the service until it is told to stop.
pub async fn run(config: &QueryConfig) -> anyhow::Result<()> {
    let store = Store::new(&config.clickhouse, &config.limits)?;
    store.check().await?;
    let health = Health::starting("starting");
    health.ready();
    let listener = http::bind(config.http.listen).await?;
    tracing::info!(address = %listener.local_addr()?, "serving queries");

    let (stop, stopped) = watch::channel(false);
    let watcher = tokio::spawn(watch_store(store.clone(), health.clone()));
    let app = router(Api::new(config, store), health);
    let listener = listener.tap_io(|stream| {
        // Without it small answers wait for the caller's delayed acknowledgement.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
    });
    let mut server = tokio::spawn(
        axum::serve(listener, app)
            .with_graceful_shutdown(stop_requested(stopped))
            .into_future(),
    );
    tokio::select! {
        ended = &mut server => ended??,
        signal = told_to_stop() => {
            signal?;
            tracing::info!("stopping");
            stop.send_replace(true);
            match timeout(DRAIN_TIMEOUT, server).await {
                Ok(ended) => ended??,
                Err(_) => tracing::warn!("requests were still under way at the deadline"),
            }
        }
    }
    watcher.abort();
    Ok(())
}

/// All routes, with ids, measurements and problems around them.
pub fn router(api: Api, health: Health) -> Router {
    let mut registry = Registry::default();
    let metrics = Arc::new(Metrics::new(&mut registry));
    Router::new()
        .route(metrics_hourly::PATH, get(metrics_hourly::get))
        .route(audit_events::PATH, get(audit_events::get))
        .with_state(api)
        .merge(http::routes(health, Arc::new(registry)))
        .fallback(|| async { Problem::NotFound })
        .method_not_allowed_fallback(|| async { Problem::MethodNotAllowed })
        .layer(from_fn_with_state(metrics, observe))
}

/// Keeps the readiness true to the store. Looking on a timer, not on request, keeps a flood of probes off the store.
async fn watch_store(store: Store, health: Health) {
    loop {
        sleep(WATCH_INTERVAL).await;
        match store.check().await {
            Ok(()) => health.ready(),
            Err(error) => {
                tracing::warn!(%error, "the store is not available");
                health.not_ready("the store is not available");
            }
        }
    }
}

async fn stop_requested(mut stopped: watch::Receiver<bool>) {
    // An error means that the sender is gone, which is the end as well.
    let _ = stopped.wait_for(|&stopped| stopped).await;
}

async fn told_to_stop() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_too_many_is_told_to_come_back_until_another_is_done() {
        let mut config = QueryConfig::default();
        config.limits.concurrent_requests_max = 1;
        let store = Store::new(&config.clickhouse, &config.limits).unwrap();
        let api = Api::new(&config, store);
        let admitted = api.admit().unwrap();
        assert_eq!(api.clone().admit().unwrap_err(), Problem::Busy);
        drop(admitted);
        assert!(api.admit().is_ok());
    }
}
