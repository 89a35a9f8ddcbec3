//! The service: startup, monitoring of the store, shutdown.
//!
//! Guarantees: does not start without a reachable, migrated store and the journal of keys; is not ready while the store
//! is unavailable or the end of the journal was not seen for long; ends if the journal is no longer the one that was
//! read; drains requests on SIGTERM and SIGINT within a deadline.

use std::time::Duration;

use anyhow::ensure;
use horolog_schemas::Termination;
use horolog_stage::http::{self, Health};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::access::authenticate::{record_all, record_refusals};
use crate::access::gate::Gate;
use crate::access::projection::Subjects;
use crate::audit::exports::queue::Exports;
use crate::audit::exports::register::Register;
use crate::config::QueryConfig;
use crate::handler::Api;
use crate::journal::Journal;
use crate::journal::projection::project;
use crate::service::listener::Listening;
use crate::service::router::router;
use crate::service::security_headers::OverTls;
use crate::service::tls::Certificate;
use crate::store::Store;

/// How often store and journal are checked.
const WATCH_INTERVAL: Duration = Duration::from_secs(2);
/// If the end of the journal was not seen for this long, the service is not ready.
const UNCONFIRMED_MAX: Duration = Duration::from_secs(60);
const UNCONFIRMED: &str =
    "access.journal_topic: its end was not seen for a minute, so keys that were revoked since may still be accepted";

/// Runs the service until it is told to stop.
pub async fn run(config: &QueryConfig) -> anyhow::Result<()> {
    let certificate = Certificate::load(&config.http).await?;
    let store = Store::new(&config.clickhouse, &config.limits)?;
    store.check().await?;
    let tables = horolog_stage::store::Store::new(&config.clickhouse)?;
    ensure!(
        config.clickhouse.quorum || tables.quorum_fits().await?,
        "clickhouse.quorum: set it to true, because the tables are replicated"
    );
    let gate = Gate::open(config).await?;
    gate.introduce();
    let health = Health::starting("starting");
    health.ready();
    let listener = http::bind(config.http.listen).await?;
    tracing::info!(address = %listener.local_addr()?, tls = certificate.is_some(), "serving queries");

    let mut tasks = JoinSet::new();
    let journal = gate.keys.journal();
    tasks.spawn(watch(store.clone(), journal.clone(), health.clone()));
    tasks.spawn(
        gate.clone()
            .keep(Duration::from_secs(config.access.last_use_interval_s)),
    );
    tasks.spawn(record_refusals(gate.clone()));
    let register = Register::new(journal.clone());
    tasks.spawn(project(gate.keys.clone(), journal.clone(), store.clone()));
    tasks.spawn(project(Subjects(journal.clone()), journal.clone(), store.clone()));
    tasks.spawn(project(register.clone(), journal.clone(), store.clone()));
    let exports = Exports::start(
        &config.exports,
        store.for_exports(&config.exports),
        &config.source.audit_topic,
        gate.mask_key.clone(),
        register,
    )
    .await?;
    let api = Api::new(config, store, gate.clone()).with_exports(exports);
    let app = router(api, health, OverTls(certificate.is_some()));
    // Before it serves: whoever sees that it is ready may tell it to stop.
    let mut termination = Termination::listen()?;
    let mut listening = Listening::start(listener, app, certificate.as_ref(), &config.http)?;
    if let Some(certificate) = certificate {
        tasks.spawn(certificate.follow(Duration::from_secs(config.http.tls_reload_interval_s)));
    }
    tokio::select! {
        ended = listening.ended() => ended?,
        lost = journal.lost() => return Err(lost.into()),
        () = termination.requested() => {
            tracing::info!("stopping");
            listening.stop().await?;
        }
    }
    tasks.shutdown().await;
    gate.uses.write(&gate.keys).await;
    record_all(&gate, gate.failures.rest()).await;
    Ok(())
}

/// Keeps readiness in sync with store and journal. Checks run on a timer, not on request, so that a flood of probes
/// does not reach the store.
async fn watch(store: Store, journal: Journal, health: Health) {
    loop {
        sleep(WATCH_INTERVAL).await;
        if let Err(error) = store.check().await {
            tracing::warn!(%error, "the store is not available");
            health.not_ready("the store is not available");
        } else if journal.unconfirmed_for() > UNCONFIRMED_MAX {
            health.not_ready(UNCONFIRMED);
        } else {
            health.ready();
        }
    }
}
