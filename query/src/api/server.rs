//! The service: its start, its watch over the store, its end.
//!
//! Guarantees: does not start without a reachable, migrated store; is not ready while the store is away; drains requests on
//! SIGTERM and SIGINT within a deadline.

use std::future::IntoFuture;
use std::net::SocketAddr;
use std::time::Duration;

use axum::serve::ListenerExt;
use horolog_stage::http::{self, Health};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::api::Api;
use crate::api::router::router;
use crate::audit::exports::queue::Exports;
use crate::config::QueryConfig;
use crate::store::Store;

/// Between two looks at the store.
const WATCH_INTERVAL: Duration = Duration::from_secs(2);
/// Requests under way when the service is told to stop have so long.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

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
    let exports = Exports::start(
        &config.exports,
        store.for_exports(&config.exports),
        &config.source.audit_topic,
    )
    .await?;
    let app = router(Api::new(config, store)?.with_exports(exports), health);
    let listener = listener.tap_io(|stream| {
        // Without it small answers wait for the caller's delayed acknowledgement.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
    });
    let mut server = tokio::spawn(
        axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>())
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
