//! Runs a stack from its first process to its last, in the foreground of whatever started it.
//!
//! Order: broker and store, then topics and migrations, then the stages and the query API, then the sample stream.
//! Stopping goes the other way. Guarantees: the leftovers of a killed stack are gone before this one starts; whatever
//! goes wrong, everything that was started is stopped and the state file says why.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use horolog_schemas::errors::in_words;

use crate::broker::{self, Topic};
use crate::process::{Identity, Launch, Signal};

use super::flow::{Flow, Gauge, TOPICS, complete_through};
use super::folder::DataFolder;
use super::http::http_client;
use super::log_files;
use super::part::{Part, Readiness};
use super::ports::Ports;
use super::screen::{first_admin, flow_line, say, welcome};
use super::services::Layout;
use super::state::{ClickHouseAddress, KafkaAddress, Phase, QueryAddress, StackState};
use super::stop::StopRequest;
use super::supervisor::{StartError, Supervisor};

/// The keys that a stack has from its first start: one that makes others, one for load tests, which make tenants of their
/// own, and two for the sample stream's tenant.
const FIRST_KEYS: [&str; 4] = [
    "admin=admin:*",
    "load-tester=auditor:*",
    "demo-analyst=analyst:demo",
    "demo-auditor=auditor:demo",
];
/// Which of them makes others.
pub const ADMIN_KEY: &str = "admin";
/// Which of them may read hourly aggregates.
pub const READING_KEY: &str = "demo-analyst";
/// What the sample stream of a new stack begins with: without complete hours there are no rates and no health of services.
const SAMPLE_HISTORY_HOURS: &str = "24";
/// How often a line about what flows is printed.
const FLOW_INTERVAL: Duration = Duration::from_secs(5);
/// How long these may take to stop: the sample stream, each of the services, broker and store.
const SAMPLE_STOP: Duration = Duration::from_secs(10);
/// Longer than the services' own deadlines for draining what is in flight.
const SERVICE_STOP: Duration = Duration::from_secs(40);
const STORE_STOP: Duration = Duration::from_secs(30);
const SERVICES: u32 = 3;
/// How long all of them may take together, since they stop one after the other.
pub const PARTS_STOP: Duration = SAMPLE_STOP
    .saturating_add(SERVICE_STOP.saturating_mul(SERVICES))
    .saturating_add(STORE_STOP.saturating_mul(2));
/// How long creating the topics may take once the broker answers, then the migrations, then the keys.
const TOPICS_DEADLINE: Duration = Duration::from_secs(60);
const MIGRATIONS_DEADLINE: Duration = Duration::from_secs(300);
const KEYS_DEADLINE: Duration = Duration::from_secs(60);
/// How long the leftovers of a killed stack may take to disappear.
const LEFTOVERS_DEADLINE: Duration = Duration::from_secs(10);

/// Runs the stack until it is asked to stop.
pub fn run(layout: &Layout, sample: bool, watch: bool) -> anyhow::Result<()> {
    let _lock = layout.folder.lock()?;
    end_leftovers(&layout.folder);
    layout.ports.check()?;
    layout.folder.ensure_password()?;
    log_files::begin(&layout.folder).context("cannot move the logs of the previous run aside")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(supervise(layout, sample, watch))
}

/// Makes sure that a stack could start here: nothing runs on the folder, and nothing of the last stack is left on the ports.
pub fn check(folder: &DataFolder, ports: &Ports) -> anyhow::Result<()> {
    let _lock = folder.lock()?;
    end_leftovers(folder);
    Ok(ports.check()?)
}

async fn supervise(layout: &Layout, sample: bool, watch: bool) -> anyhow::Result<()> {
    let stop = StopRequest::listen().context("cannot listen for signals")?;
    let state = initial_state(layout)?;
    let http = http_client().context("cannot make an HTTP client")?;
    let mut supervisor = Supervisor::new(layout.folder.clone(), layout.horolog.clone(), http.clone(), state);
    let has_admin = layout.folder.key(ADMIN_KEY).is_some();
    let started = start_all(&mut supervisor, layout, sample, &stop).await;
    match started {
        Ok(()) => {
            supervisor.all_ready();
            if watch {
                eprintln!(
                    "{}\nCtrl-C stops everything; the next `up` continues from there.\n",
                    welcome(supervisor.state())
                );
                if let Some(key) = layout.folder.key(ADMIN_KEY).filter(|_| !has_admin) {
                    eprintln!("{}", first_admin(&key));
                }
            }
            attend(&mut supervisor, layout, http, watch, &stop).await;
        }
        Err(error) if stop.is_requested() => say(&error.to_string()),
        Err(error) => {
            supervisor.stop(&stop, Phase::Failed, Some(in_words(&*error))).await;
            return Err(error);
        }
    }
    say("stopping");
    supervisor.stop(&stop, Phase::Stopped, None).await;
    say("stopped");
    Ok(())
}

async fn start_all(
    supervisor: &mut Supervisor,
    layout: &Layout,
    sample: bool,
    stop: &StopRequest,
) -> anyhow::Result<()> {
    say("starting Kafka and ClickHouse");
    let broker = layout.broker();
    // Formatting runs Java for a second or two; the store starts meanwhile.
    let format = tokio::task::spawn_blocking(move || broker.prepare());
    supervisor.start(vec![engine(layout)], stop).await?;
    format.await??;
    supervisor.start(vec![kafka(layout)], stop).await?;
    say("creating topics, applying migrations, making keys");
    let topics = TOPICS.map(|(name, partitions)| Topic { name, partitions });
    broker::ensure_topics(&layout.broker().bootstrap(), &topics, TOPICS_DEADLINE).await?;
    let migrations = task(layout.migrate(), MIGRATIONS_DEADLINE);
    supervisor.complete(&migrations, stop).await?;
    // Not sooner: while the tables keep everything, so does the next start, unless it is told again to end that.
    layout.folder.remember_keep_all(layout.keep_all)?;
    let keys = task(layout.keys(&FIRST_KEYS), KEYS_DEADLINE);
    supervisor.complete(&keys, stop).await?;
    say("starting ingest, aggregate and query");
    supervisor.start(services(layout).into(), stop).await?;
    if sample {
        supervisor.start(vec![sample_stream(layout)], stop).await?;
    }
    if stop.is_requested() {
        Err(StartError::Interrupted.into())
    } else {
        Ok(())
    }
}

/// Keeps the stack running until somebody asks to stop, printing what flows.
async fn attend(supervisor: &mut Supervisor, layout: &Layout, http: reqwest::Client, watch: bool, stop: &StopRequest) {
    let (bootstrap, query) = (layout.broker().bootstrap(), layout.query_url());
    let key = layout.folder.key(READING_KEY).unwrap_or_default();
    let flows = watch.then(|| tokio::spawn(print_flows(bootstrap, query, key, http)));
    while !stop.is_requested() {
        supervisor.turn().await;
    }
    if let Some(flows) = flows {
        flows.abort();
    }
}

async fn print_flows(bootstrap: String, query: String, key: String, http: reqwest::Client) {
    let Ok(gauge) = Gauge::new(&bootstrap) else { return };
    let gauge = Arc::new(gauge);
    let mut before: Option<(Flow, Instant)> = None;
    loop {
        let asked = Arc::clone(&gauge);
        // Nothing is printed while the broker does not answer; the supervisor reports that.
        if let Ok(Ok(mut flow)) = tokio::task::spawn_blocking(move || asked.read()).await {
            flow.complete_through = complete_through(&http, &query, &key).await.unwrap_or_default();
            let now = Instant::now();
            if let Some((before, then)) = &before {
                say(&flow_line(before, &flow, now.duration_since(*then).as_secs_f64()));
            }
            before = Some((flow, now));
        }
        tokio::time::sleep(FLOW_INTERVAL).await;
    }
}

fn initial_state(layout: &Layout) -> anyhow::Result<StackState> {
    let Some(supervisor) = Identity::own() else {
        bail!("cannot read /proc/self/stat: is /proc mounted?")
    };
    Ok(StackState {
        state: Phase::Starting,
        reason: None,
        data: layout.folder.path().to_owned(),
        supervisor,
        retention: layout.retention().context("horolog-migrate")?,
        query: QueryAddress {
            url: layout.query_url(),
            keys: layout.folder.keys(),
        },
        clickhouse: ClickHouseAddress {
            url: layout.clickhouse_url(),
            user: "default".to_owned(),
            database: "horolog".to_owned(),
            password_file: layout.folder.password_file(),
        },
        kafka: KafkaAddress {
            bootstrap: layout.broker().bootstrap(),
        },
        processes: Vec::new(),
    })
}

/// Processes end with their supervisor, but a moment later; until then they hold ports and files.
fn end_leftovers(folder: &DataFolder) {
    let leftovers: Vec<Identity> = StackState::read(folder)
        .iter()
        .flat_map(StackState::identities)
        .collect();
    for leftover in &leftovers {
        let _ = leftover.signal(Signal::SIGKILL); // another user's keeps its ports, which are looked at next
    }
    let end = Instant::now() + LEFTOVERS_DEADLINE;
    while leftovers.iter().any(|leftover| leftover.is_alive()) && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn kafka(layout: &Layout) -> Part {
    let bootstrap = layout.broker().bootstrap();
    Part {
        launch: layout.broker().launch(layout.folder.log("broker")),
        address: Some(bootstrap.clone()),
        readiness: Readiness::Broker(bootstrap),
        ready_deadline: Duration::from_secs(120),
        stop_deadline: STORE_STOP,
    }
}

fn engine(layout: &Layout) -> Part {
    let url = layout.clickhouse_url();
    Part {
        launch: layout.engine(),
        readiness: Readiness::Http(format!("{url}/ping")),
        address: Some(url),
        ready_deadline: Duration::from_secs(120),
        stop_deadline: STORE_STOP,
    }
}

/// A program that is run to its end.
fn task(launch: Launch, ready_deadline: Duration) -> Part {
    Part {
        launch,
        address: None,
        readiness: Readiness::Running,
        ready_deadline,
        stop_deadline: Duration::from_secs(5),
    }
}

fn services(layout: &Layout) -> [Part; SERVICES as usize] {
    let service = |launch, port: u16| Part {
        launch,
        address: Some(format!("http://127.0.0.1:{port}")),
        readiness: Readiness::Http(format!("http://127.0.0.1:{port}/readyz")),
        ready_deadline: Duration::from_secs(90),
        stop_deadline: SERVICE_STOP,
    };
    [
        service(layout.ingest(), layout.ports.ingest),
        service(layout.aggregate(), layout.ports.aggregate),
        service(layout.query(), layout.ports.query),
    ]
}

fn sample_stream(layout: &Layout) -> Part {
    Part {
        launch: layout.sample().arg("--history-hours").arg(SAMPLE_HISTORY_HOURS),
        address: None,
        readiness: Readiness::Running,
        ready_deadline: Duration::from_secs(10),
        stop_deadline: SAMPLE_STOP,
    }
}
