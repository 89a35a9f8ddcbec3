//! The edges of the sample stream: the clock, Kafka, and signals.
//!
//! Enters: options. Leaves: records at an even rate; before them, if requested and the topic is empty, some hours of
//! history, so that charts and counters have something to show at once. Ends on SIGTERM or SIGINT, when what was sent
//! is acknowledged or a deadline is over. Waits for a broker that is away, as long as it takes; what cannot be sent
//! meanwhile is skipped.

use std::iter::StepBy;
use std::ops::Range;
use std::time::Duration;

use clap::Args;
use horolog_schemas::Termination;
use horolog_stage::config::{KafkaConfig, TelemetryConfig};
use horolog_stage::telemetry;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use super::audit::AuditStream;
use super::metrics::MetricStream;
use super::schedule::Schedule;
use crate::producer::{Producer, Topics};

/// How often records are made.
const TICK: Duration = Duration::from_millis(50);
/// How often the log says what was sent.
const SAY_EVERY: Duration = Duration::from_secs(30);
/// How long the end waits for acknowledgements.
const FINISH_DEADLINE: Duration = Duration::from_secs(5);
/// Interval of the history's metric samples. Microseconds.
const PAST_METRIC_STEP_US: usize = 1_000_000;
/// Interval of the history's audit events. Microseconds.
const PAST_AUDIT_STEP_US: usize = 20_000_000;
/// How many of each kind are sent at a time; signals are handled in between.
const PAST_AT_A_TIME: usize = 5_000;
/// Records that may wait for a broker that is away; beyond that, the stream skips rather than block on a full queue.
const WAITING_RECORDS_MAX: u64 = 50_000;

/// Options of `horolog sample`.
#[derive(Debug, Args)]
pub struct SampleOptions {
    /// Kafka's address.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9092")]
    bootstrap: String,
    /// Tenant of all records.
    #[arg(long, default_value = "demo")]
    tenant: String,
    /// Metric samples a second.
    #[arg(long, value_name = "PER_SECOND", default_value_t = 200.0)]
    rate: f64,
    /// Audit events a second.
    #[arg(long, value_name = "PER_SECOND", default_value_t = 5.0)]
    audit_rate: f64,
    /// Hours of history to begin with if the metrics topic is still empty: a sample a second, an audit event every 20
    /// s.
    #[arg(long, value_name = "HOURS", default_value_t = 0)]
    history_hours: u32,
    /// Makes the values repeatable; event ids repeat with them, so by default every run has its own.
    #[arg(long)]
    seed: Option<u64>,
    #[command(flatten)]
    topics: Topics,
}

/// Runs until it is told to stop.
pub fn run(options: SampleOptions) -> anyhow::Result<()> {
    telemetry::init(&TelemetryConfig::default())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(stream(options))
}

async fn stream(options: SampleOptions) -> anyhow::Result<()> {
    // Before anything else: a signal that comes during the connection attempt must end it, too.
    let mut termination = Termination::listen()?;
    let mut stream = Stream::connect(&options)?;
    let (mut tick, mut say) = (interval(TICK), interval(SAY_EVERY));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = termination.requested() => break,
            _ = tick.tick() => stream.send_due(now_us())?,
            _ = say.tick() => stream.say(),
        }
    }
    stream.finish();
    Ok(())
}

/// Times of the history, in microseconds since 1970.
type Past = StepBy<Range<i64>>;

struct Stream {
    producer: Producer,
    /// What is left of the history: metrics, audit events.
    past: (Past, Past),
    metrics: (Schedule, MetricStream),
    audits: (Schedule, AuditStream),
}

impl Stream {
    fn connect(options: &SampleOptions) -> anyhow::Result<Self> {
        let kafka = KafkaConfig {
            bootstrap: options.bootstrap.clone(),
            ..KafkaConfig::default()
        };
        let producer = Producer::connect(&kafka, options.topics.clone())?;
        let seed = options.seed.unwrap_or_else(rand::random);
        let (tenant, now) = (options.tenant.as_str(), now_us());
        let history_hours = match options.history_hours {
            0 => 0,
            _ if producer.metrics_were_sent()? => 0,
            hours => hours,
        };
        let begin = now - i64::from(history_hours) * 3_600_000_000;
        let past = |step_us| (begin..now).step_by(step_us);
        info!(
            bootstrap = options.bootstrap,
            tenant,
            seed,
            metrics_per_s = options.rate,
            audit_events_per_s = options.audit_rate,
            history_hours,
            "sample stream starts"
        );
        Ok(Self {
            producer,
            past: (past(PAST_METRIC_STEP_US), past(PAST_AUDIT_STEP_US)),
            metrics: (Schedule::new(options.rate, now), MetricStream::new(tenant, seed)),
            audits: (Schedule::new(options.audit_rate, now), AuditStream::new(tenant, seed)),
        })
    }

    fn send_due(&mut self, now: i64) -> anyhow::Result<()> {
        self.producer.poll();
        if self.producer.in_flight() > WAITING_RECORDS_MAX {
            return Ok(());
        }
        if self.send_past()? {
            return Ok(());
        }
        let (schedule, metrics) = &mut self.metrics;
        while let Some(time) = schedule.next_due(now) {
            self.producer.metric(metrics.sample(time))?;
        }
        let (schedule, audits) = &mut self.audits;
        while let Some(time) = schedule.next_due(now) {
            self.producer.audit(&audits.event(time))?;
        }
        Ok(())
    }

    /// Sends some of the history; false when none is left. The live records come from the same streams, so that
    /// counters go on.
    fn send_past(&mut self) -> anyhow::Result<bool> {
        let mut sent = false;
        for time in self.past.0.by_ref().take(PAST_AT_A_TIME) {
            self.producer.metric(self.metrics.1.sample(time))?;
            sent = true;
        }
        for time in self.past.1.by_ref().take(PAST_AT_A_TIME) {
            self.producer.audit(&self.audits.1.event(time))?;
            sent = true;
        }
        Ok(sent)
    }

    fn say(&self) {
        let (delivered, waiting) = (self.producer.delivered().delivered, self.producer.in_flight());
        info!(delivered, waiting, "sample stream flows");
    }

    fn finish(&self) {
        let complete = self.producer.finish(FINISH_DEADLINE);
        let (delivered, waiting) = (self.producer.delivered().delivered, self.producer.in_flight());
        if complete {
            info!(delivered, "sample stream ends");
        } else {
            warn!(
                delivered,
                waiting, "sample stream ends before kafka acknowledged everything"
            );
        }
    }
}

fn now_us() -> i64 {
    chrono::Utc::now().timestamp_micros()
}
