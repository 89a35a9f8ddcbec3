//! One run: the sender keeps to its schedule while watchers observe the target; then the run is drained, counted, and
//! judged.
//!
//! Enters: a [`Target`], a [`Plan`], a folder, a stop request. Leaves: [`Measured`]. Sender and recorder each have a
//! thread; watchers are tasks. They share a bounded channel to the recorder and nothing else. An interrupted run writes
//! what it has.

mod drain;
mod plan;
mod recording;
mod sending;
mod summing;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context;
use chrono::{DateTime, Utc};
use horolog_schemas::Kind;
use horolog_schemas::errors::in_words;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::books::Account;
use crate::chaos::{self, Disturb};
use crate::latencies::Latencies;
use crate::live::Live;
use crate::machine::CpuTime;
use crate::process::Process;
use crate::producer::Producer;
use crate::recorder::{Event, Measure, Recorder};
use crate::results::{Disturbance, ProcessFigures, Results, ResultsError, ResultsFolder, TableFigures};
use crate::schedule::{Schedule, Shape};
use crate::stop::Stop;
use crate::target::Target;
use crate::watch::ledger::LedgerLook;
use crate::watch::queries::Queries;
use crate::watch::{processes, tables};

pub use plan::{Content, Plan, PlanOptions, new_prefix};
pub use recording::Snapshot;
use sending::RunClock;
use summing::Ended;

/// Capacity of the channel to the recorder; when it is full, senders wait.
const EVENTS_MAX: usize = 4_096;
/// How long the tables may take to say where the records are.
const ACCOUNT_DEADLINE: Duration = Duration::from_secs(600);

/// A finished run.
pub struct Measured {
    /// All figures.
    pub results: Results,
    /// The histogram of each measure.
    pub totals: BTreeMap<Measure, Latencies>,
    /// The results folder, if there is one.
    folder: Option<ResultsFolder>,
    /// Records sent before the clock started, for a tenant of their own.
    pub warm_up: u64,
}

impl Measured {
    /// Adds faults found by a mode.
    pub fn blame(&mut self, faults: Vec<String>) {
        self.results.verdict.add(faults);
    }

    /// Completes the results folder, if there is one.
    pub fn write(&self) -> Result<(), ResultsError> {
        match &self.folder {
            Some(folder) => folder.complete(&self.results, &self.totals),
            None => Ok(()),
        }
    }
}

/// The tasks that run beside the sender.
struct Watching {
    over: watch::Sender<bool>,
    ledger: JoinHandle<()>,
    queries: Option<JoinHandle<()>>,
    processes: JoinHandle<Vec<ProcessFigures>>,
    tables: JoinHandle<Vec<TableFigures>>,
    disturbing: Option<JoinHandle<Vec<Disturbance>>>,
    cpu: CpuTime,
}

/// What they observed.
struct Watched {
    processes: Vec<ProcessFigures>,
    tables: Vec<TableFigures>,
    disturbances: Vec<Disturbance>,
    others_cpu_share: f64,
}

/// The beginning of a run, on both clocks.
#[derive(Debug, Clone, Copy)]
struct Beginning {
    at: Instant,
    time: DateTime<Utc>,
}

/// Carries out a run.
pub async fn run(
    target: &Target,
    (plan, content): (&Plan, Content),
    mut folder: Option<ResultsFolder>,
    disturb: Option<Disturb>,
    stop: &Stop,
) -> anyhow::Result<Measured> {
    let address = target.kafka.clone();
    let prefix = plan.prefix.clone();
    let (producer, warm_up) =
        tokio::task::spawn_blocking(move || sending::warm_up(Producer::connect(&address)?, &prefix)).await??;
    let processes = target.processes.now().await?;
    let begun = Beginning {
        at: Instant::now(),
        time: Utc::now(),
    };
    producer.begin(begun.at);
    if let Some(folder) = &mut folder {
        folder.begin(begun.time.into());
    }
    let (events, inbox) = mpsc::channel(EVENTS_MAX);
    let (snapshots, snapshot) = watch::channel(Snapshot::default());
    let recording = recording::start(inbox, snapshots, begun.at, plan.warm_up, folder)?;
    let watching = Watching::start(target, plan, disturb, processes, begun, &events)?;
    let live = Live::start(snapshot.clone(), plan.schedule.records());

    let sending = sending::start(
        producer,
        plan,
        content,
        RunClock(begun.at),
        begun.time,
        stop.clone(),
        events.clone(),
    );
    let mut faults = Vec::new();
    if let Err(error) = sending.await? {
        faults.push(format!("sending ended early: {}", in_words(&error)));
    }
    let sending_s = begun.at.elapsed().as_secs_f64();
    drop(events);
    let is_settled = drain::wait(snapshot, plan.drain, stop).await;
    let total_s = begun.at.elapsed().as_secs_f64();
    let (watched, panicked) = watching.finish().await;
    faults.extend(panicked);
    let recorded = recording.finish().await?;
    live.finish();

    let account = tokio::select! {
        biased;
        // Also while it is taken: a target that hangs answers no query.
        () = stop.requested() => None,
        account = account(target, plan, &recorded.recorder) => match account {
            Ok(account) => Some(account),
            Err(error) => {
                faults.push(format!("it is unknown whether every record is in its place: {error:#}"));
                None
            }
        },
    };
    let ended = Ended {
        started_at: begun.time,
        sending_s: sending_s.min(plan.schedule.length().as_secs_f64().max(0.001)),
        total_s,
        account,
        is_interrupted: stop.is_requested(),
        faults,
        is_settled,
    };
    let (results, totals, folder) = summing::sum(target, plan, recorded, watched, ended)?;
    Ok(Measured {
        results,
        totals,
        folder,
        warm_up,
    })
}

async fn account(target: &Target, plan: &Plan, recorder: &Recorder) -> anyhow::Result<Account> {
    let topic_of = |kind: Kind| target.kafka.topic(kind).to_owned();
    let (tally, prefix) = (recorder.tally(), plan.prefix_of_tenants());
    let counts = recorder.counts();
    let taken = Account::take(&target.store, tally, &counts, topic_of, &prefix);
    let taken = tokio::time::timeout(ACCOUNT_DEADLINE, taken).await;
    Ok(taken.context("clickhouse does not answer")??)
}

impl Watching {
    fn start(
        target: &Target,
        plan: &Plan,
        disturb: Option<Disturb>,
        first: Vec<Process>,
        begun: Beginning,
        events: &mpsc::Sender<Event>,
    ) -> anyhow::Result<Self> {
        let (over, is_over) = watch::channel(false);
        let ledger = LedgerLook {
            store: target.store.clone(),
            kafka: target.kafka.clone(),
            every: plan.look_every,
            begun: begun.at,
            begun_at: begun.time,
        };
        let queries = match target.query.clone().filter(|_| plan.queries_per_s > 0.0) {
            Some(address) => {
                let schedule = Schedule::new(Shape::Poisson, plan.queries_per_s, plan.schedule.length())?;
                Some(Queries {
                    address,
                    arrivals: schedule.arrivals(plan.seed.wrapping_add(3)),
                    metrics: plan.queried_metrics.clone(),
                    events: plan.queried_events.clone(),
                    begun: begun.at,
                })
            }
            None => None,
        };
        let watch_processes = processes::watch(target.processes.clone(), first, begun.at, is_over.clone());
        let stack = target.stack().cloned();
        let disturbing = disturb
            .zip(stack)
            .map(|(disturb, stack)| tokio::spawn(chaos::disturb(disturb, stack, begun.at, is_over.clone())));
        Ok(Self {
            over,
            ledger: tokio::spawn(ledger.run(events.clone())),
            queries: queries.map(|queries| tokio::spawn(queries.run(events.clone(), is_over.clone()))),
            processes: tokio::spawn(watch_processes),
            tables: tokio::spawn(tables::watch(target.store.clone(), is_over)),
            disturbing,
            cpu: CpuTime::now()?,
        })
    }

    /// What the watchers observed, and which of them panicked: without its figures, a run says nothing about what it
    /// watched.
    async fn finish(self) -> (Watched, Vec<String>) {
        // The watchers listen until they are dropped.
        let _ = self.over.send(true);
        self.ledger.abort();
        let mut panicked = Vec::new();
        finished("the ledger", self.ledger, &mut panicked).await;
        if let Some(queries) = self.queries {
            // It ends by itself: it only counts what it did not send.
            finished("queries", queries, &mut panicked).await;
        }
        let processes = finished("processes", self.processes, &mut panicked).await;
        let own_s: f64 = processes.iter().map(|process| process.cpu_s).sum();
        let others_cpu_share = CpuTime::now().map_or(0.0, |now| now.share_of_others(&self.cpu, own_s));
        let tables = finished("tables", self.tables, &mut panicked).await;
        let disturbances = match self.disturbing {
            Some(disturbing) => finished("disturbances", disturbing, &mut panicked).await,
            None => Vec::new(),
        };
        let watched = Watched {
            processes,
            tables,
            disturbances,
            others_cpu_share,
        };
        (watched, panicked)
    }
}

/// What a watcher returned; nothing if it was aborted or panicked.
async fn finished<T: Default>(what: &str, watcher: JoinHandle<T>, panicked: &mut Vec<String>) -> T {
    watcher.await.unwrap_or_else(|error| {
        if error.is_panic() {
            panicked.push(format!(
                "the watcher of {what} panicked, a fault of the tester: {error}"
            ));
        }
        T::default()
    })
}
