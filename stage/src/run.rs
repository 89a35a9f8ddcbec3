//! Runs a stage: checks what it needs, joins the group, serves health and metrics, drains at the end.
//!
//! An error at the start ends it with one line that names the setting to change. Later errors are waited out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use horolog_schemas::Termination;
use prometheus_client::registry::Registry;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::assignment::{Assignments, Event};
use crate::committer;
use crate::delivery::Delivery;
use crate::group::{Group, Unresolved};
use crate::http::{self, Health};
use crate::inserts::Inserts;
use crate::lives::Lives;
use crate::member::{Ended, Member, MemberOptions, Stuck};
use crate::metrics::Metrics;
use crate::partition::{Completeness, Limits};
use crate::probe::Probe;
use crate::requirements::{require_lease, require_topics};
use crate::resolve::{ATTEMPTS_MAX, Resolver};
use crate::run_options::{RunError, RunOptions};
use crate::schema_registry::SchemaRegistry;
use crate::stage::Stage;
use crate::store::Store;
use crate::write_epoch::WriteEpoch;

/// Time between two looks whether what a partition stated or committed before is still under way.
const UNDER_WAY_INTERVAL: Duration = Duration::from_millis(20);
/// How long a partition may wait for its start beyond the leases of dead writers.
const RESOLVING_MAX: Duration = Duration::from_secs(30);

/// Runs `stage` until the process is asked to end and everything in progress is stored. Serves the metrics in `registry`
/// besides those of every stage. The tables of `store` must be of this release.
pub async fn run(
    stage: Arc<dyn Stage>,
    store: Store,
    options: RunOptions,
    mut registry: Registry,
) -> Result<(), RunError> {
    options.check(stage.name())?;
    let schema_registry = SchemaRegistry::new(&options.schema_registry)?;
    let kafka_error = |error: KafkaError| RunError::Kafka {
        bootstrap: options.kafka.bootstrap.clone(),
        why: error.to_string(),
    };
    let probe = Arc::new(Probe::new(&options.kafka, &options.group).map_err(kafka_error)?);
    // The tables accept rows dated up to a lease behind their clock, and up to a lease ahead of it if the writer's
    // clock is.
    let writing_life = 2 * require_lease(&store, &options).await?;
    let cluster_id = require_topics(probe.clone(), &options).await?;
    let listener = http::bind(options.listen).await?;
    // Polled once, so that from here on a request to end is listened for, and what is begun is drained.
    let mut shutdown = Box::pin(terminated());
    tokio::select! {
        biased;
        () = &mut shutdown => return Ok(()),
        () = std::future::ready(()) => {}
    }

    let topics = || options.topics.iter().map(|(topic, _)| topic.as_str());
    let metrics = Metrics::new(&mut registry, topics());
    let lease_life = Duration::from_secs(options.delivery.lease_s);
    let concurrency = options.delivery.concurrency;
    let inserts = Inserts::new(store.clone(), lease_life, metrics.clone());
    let delivery = Delivery::new(
        stage.clone(),
        inserts,
        cluster_id,
        metrics.clone(),
        schema_registry,
        topics(),
        concurrency,
    );
    let delivery = Arc::new(delivery);
    let write_epoch = WriteEpoch::default();
    let lives = Lives::default();
    let mut following = JoinSet::new();
    following.spawn(lives.clone().follow(store.clone(), stage.name()));
    if stage.states_progress() {
        following.spawn(write_epoch.clone().follow(store.clone()));
    }
    let resolver = Arc::new(Resolver {
        probe: probe.clone(),
        store,
        stage,
        metrics: metrics.clone(),
        write_epoch: write_epoch.clone(),
        writing_life,
        turns: Semaphore::new(ATTEMPTS_MAX),
    });

    let health = Health::starting("joining the group");
    let seat = Seat {
        member: member_options(&options, writing_life, write_epoch, lives),
        options: options.clone(),
        resolver,
        delivery,
        probe,
        metrics,
        health: health.clone(),
    };
    let app = http::routes(health, registry);
    serve_and_poll(seat, listener, app, shutdown)
        .await?
        .map_err(kafka_error)
}

/// A place in the group, and what each member that takes it needs.
struct Seat {
    options: RunOptions,
    member: MemberOptions,
    resolver: Arc<Resolver>,
    delivery: Arc<Delivery>,
    probe: Arc<Probe>,
    metrics: Metrics,
    health: Health,
}

impl Seat {
    /// Takes part until `stop`, with a new client whenever the old one is of no use.
    fn occupy(&self, stop: &AtomicBool) -> Result<(), KafkaError> {
        let mut stuck = Stuck::default();
        while let Ended::ClientUseless(still) = self.join()?.run(stop, stuck)? {
            tracing::info!("joining the group with a new client");
            stuck = still;
        }
        Ok(())
    }

    fn join(&self) -> Result<Member, KafkaError> {
        let (events, received) = mpsc::channel();
        let names: Vec<&str> = self.options.topics.iter().map(|(topic, _)| topic.as_str()).collect();
        let topics = names.iter().map(|&topic| topic.into()).collect();
        let assignments = Assignments::new(topics, received, self.metrics.clone());
        let resolving = start_resolving(self.resolver.clone(), events.clone());
        let (commits, requests) = mpsc::channel();
        let group = Group::new(assignments, resolving, commits, self.member.drain_deadline);
        let consumer: BaseConsumer<Group> = member_config(&self.options).create_with_context(group)?;
        consumer.subscribe(&names)?;
        let consumer = Arc::new(consumer);
        committer::start(&consumer, requests, events.clone());
        Ok(Member::new(
            consumer,
            self.delivery.clone(),
            self.probe.clone(),
            events,
            self.member.clone(),
            self.metrics.clone(),
            self.health.clone(),
        ))
    }
}

/// Polls on a thread of its own, and serves HTTP until polling ends.
async fn serve_and_poll(
    seat: Seat,
    listener: tokio::net::TcpListener,
    app: axum::Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<Result<(), KafkaError>, RunError> {
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let polling = tokio::task::spawn_blocking(move || seat.occupy(&stopped));
    let on_shutdown = tokio::spawn(async move {
        shutdown.await;
        tracing::info!("draining");
        stop.store(true, Ordering::Release);
    });
    let result = polling.await.map_err(|_| RunError::Panic);
    on_shutdown.abort();
    server.abort();
    tracing::info!("stopped");
    result
}

/// The configuration of a member's client: session timeout and read-ahead can be configured, what the protocol depends
/// on cannot.
fn member_config(options: &RunOptions) -> ClientConfig {
    let mut config = options.kafka.consumer_config(&options.group);
    // Ten seconds: the partitions of a dead member go to others soon, and a living one that pauses for longer loses its
    // own.
    for (key, value) in [
        ("session.timeout.ms", "10000"),
        // Read-ahead is bounded by bytes alone: a bound by number of records would stop fetching at a few milliseconds'
        // worth.
        ("queued.max.messages.kbytes", "16384"),
        ("queued.min.messages", "1000000"),
        // How long a partition is not fetched after the queue was full: the default of one second is longer than it
        // stays full.
        ("fetch.queue.backoff.ms", "20"),
        ("topic.metadata.refresh.interval.ms", "10000"),
    ] {
        if config.get(key).is_none() {
            config.set(key, value);
        }
    }
    config
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("enable.partition.eof", "false");
    config
}

fn member_options(
    options: &RunOptions,
    writing_life: Duration,
    write_epoch: WriteEpoch,
    lives: Lives,
) -> MemberOptions {
    MemberOptions {
        limits: Limits {
            rows_max: options.batch.rows_max,
            bytes_max: options.batch.bytes_max,
            age_max: Duration::from_millis(options.batch.age_max_ms),
            age_min: Duration::ZERO, // follows from the partitions held
        },
        buffer_bytes_max: options.delivery.buffer_bytes_max,
        lease_life: Duration::from_secs(options.delivery.lease_s),
        resolving_max: writing_life + RESOLVING_MAX,
        drain_deadline: Duration::from_secs(options.delivery.drain_deadline_s),
        completeness: Completeness {
            allowed_lateness_ms: options.completeness.allowed_lateness_ms(),
            idle_after: Duration::from_secs(options.completeness.idle_after_s),
        },
        max_clock_skew_ms: options.completeness.max_clock_skew_ms(),
        write_epoch,
        lives,
    }
}

fn start_resolving(resolver: Arc<Resolver>, events: mpsc::Sender<Event>) -> crate::group::StartResolving {
    let runtime = tokio::runtime::Handle::current();
    Box::new(move |of: Unresolved| {
        let (resolver, events) = (resolver.clone(), events.clone());
        runtime.spawn(async move {
            let still_wanted = || of.wanted.strong_count() > 0;
            while still_wanted() && of.under_way.iter().any(|what| what.strong_count() > 0) {
                tokio::time::sleep(UNDER_WAY_INTERVAL).await;
            }
            if let Some(resolved) = resolver.resolve(&of.id, still_wanted).await {
                drop(events.send(Event::Resolved(of.slot, of.assignment, Box::new(resolved))));
            }
        });
    })
}

/// Completes when the process is asked to end. Listens once it is polled: before that, during the start, a signal ends
/// the process.
async fn terminated() {
    match Termination::listen() {
        Ok(mut termination) => termination.requested().await,
        Err(error) => {
            tracing::error!(%error, "cannot listen for signals");
            std::future::pending().await
        }
    }
}
