//! The plan of a run, from validated command-line options.
//!
//! Refuses an invalid run before anything starts: an unknown schedule, or a rate that the generator cannot reach on
//! this machine.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Parser;

use crate::results::Objective;
use crate::schedule::{Schedule, Shape, read_times};
use crate::span;
use crate::traffic::replay::Recording;
use crate::traffic::{self, Mix, Source, Traffic};

/// Number of records used to measure the generator.
const GENERATED: u32 = 200_000;
/// The share of the generator's rate that a run may ask for: sending and following the records takes time too.
const GENERATOR_SHARE: f64 = 0.5;

/// Queries differ in at most this many tenants.
const QUERIED_MAX: usize = 100;

/// How records are sent, and the objectives.
#[derive(Debug, Clone, Parser)]
pub struct PlanOptions {
    /// Mean rate.
    #[arg(long, value_name = "RECORDS/S", default_value_t = 20_000.0, value_parser = rate)]
    pub rate: f64,
    /// constant, poisson, bursts:PERIOD/LENGTH/FACTOR, ramp:FROM, or trace:FILE with a time in seconds per line.
    #[arg(long, default_value = "constant")]
    pub schedule: String,
    /// How long to send records.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = span::parse)]
    pub duration: Duration,
    /// How much of that is warm-up: its records are sent and accounted for, but their latencies are not recorded.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = span::parse)]
    pub warm_up: Duration,
    /// Seed of times and values.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// A name for this run in its results.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub label: String,
    /// An objective, MEASURE:STATISTIC<=DURATION, for example `stored:p99<=1s`. Can be repeated.
    #[arg(long = "objective", value_name = "OBJECTIVE")]
    pub objectives: Vec<Objective>,
    /// Queries per second to the query API during the run; 0 for none.
    #[arg(long, value_name = "RATE", default_value_t = 1.0, value_parser = rate_or_none)]
    pub queries: f64,
    /// Time between two polls of the ledger: the resolution of `stored` and `hourly`.
    #[arg(long, value_name = "DURATION", default_value = "50ms", value_parser = span::parse)]
    pub look: Duration,
    /// A record counts as late if it leaves later than this because of the tester.
    #[arg(long, value_name = "DURATION", default_value = "100ms", value_parser = span::parse)]
    pub late_after: Duration,
    /// Share of late records above which there is no verdict.
    #[arg(long, value_name = "SHARE", default_value_t = 0.01, value_parser = traffic::share)]
    pub late_share: f64,
    /// How long to wait without progress before the remaining records count as lost.
    #[arg(long, value_name = "DURATION", default_value = "90s", value_parser = span::parse)]
    pub drain: Duration,
    /// The properties of the records.
    #[command(flatten)]
    pub mix: Mix,
}

impl Default for PlanOptions {
    /// The defaults of the command line.
    fn default() -> Self {
        Self::parse_from([""])
    }
}

/// The records of a run.
pub enum Content {
    /// Generated from a seed.
    Traffic(Box<Traffic>),
    /// Read from a file.
    Recording(Recording),
}

/// A validated run.
pub struct Plan {
    /// `run`, `soak`, ….
    pub mode: &'static str,
    /// Distinguishes runs.
    pub label: String,
    /// The schedule as given.
    pub schedule_text: String,
    /// When records leave.
    pub schedule: Schedule,
    /// No latency is recorded before this time.
    pub warm_up: Duration,
    /// The properties of the records.
    pub mix: Mix,
    /// Mean rate.
    pub records_per_s: f64,
    /// Seed of times and values.
    pub seed: u64,
    /// The tenants are `prefix-0`, `prefix-1`, ….
    pub prefix: String,
    /// Queries per second.
    pub queries_per_s: f64,
    /// Tenants and metrics whose hours are queried.
    pub queried_metrics: Vec<(String, String)>,
    /// Tenants whose audit events are queried.
    pub queried_events: Vec<String>,
    /// Time between two polls of the ledger.
    pub look_every: Duration,
    /// Lateness above which a record counts as late.
    pub late_after: Duration,
    /// The allowed share of late records.
    pub late_share_max: f64,
    /// How long to wait without progress at the end.
    pub drain: Duration,
    /// The objectives.
    pub objectives: Vec<Objective>,
    /// Records per second of the generator alone.
    pub generates_per_s: f64,
}

impl Source for Content {
    fn next(&mut self, time_us: i64) -> crate::traffic::Outgoing<'_> {
        match self {
            Self::Traffic(traffic) => traffic.next(time_us),
            Self::Recording(recording) => recording.next(time_us),
        }
    }
}

impl Plan {
    /// Validates the options of a run; also returns its records.
    pub fn new(mode: &'static str, options: &PlanOptions) -> anyhow::Result<(Self, Content)> {
        let shape = match Shape::parse(&options.schedule).context("--schedule")? {
            Some(shape) => shape,
            None => trace(options.schedule.split_once(':').map_or("", |(_, file)| file))?,
        };
        let prefix = new_prefix();
        let traffic = Traffic::new(&options.mix, &prefix, options.seed);
        let schedule = Schedule::new(shape, options.rate, options.duration).context("--schedule")?;
        Self::checked(mode, options, schedule, Content::Traffic(Box::new(traffic)), prefix)
    }

    /// Validates the replay of a recording.
    pub fn replay(options: &PlanOptions, file: &Path, speed: f64) -> anyhow::Result<(Self, Content)> {
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let prefix = new_prefix();
        let recording = Recording::read(&text, &prefix, speed).with_context(|| file.display().to_string())?;
        let shape = Shape::Trace(recording.times());
        let schedule = Schedule::new(shape, options.rate, options.duration)?;
        Self::checked("replay", options, schedule, Content::Recording(recording), prefix)
    }

    fn checked(
        mode: &'static str,
        options: &PlanOptions,
        schedule: Schedule,
        content: Content,
        prefix: String,
    ) -> anyhow::Result<(Self, Content)> {
        let generates_per_s = match &content {
            // Measured on a separate generator, so that the run starts with the first record.
            Content::Traffic(_) => generates_per_s(&mut Traffic::new(&options.mix, &prefix, options.seed)),
            Content::Recording(recording) => generates_per_s(&mut recording.clone()),
        };
        let peak = schedule.peak_per_second();
        if peak > generates_per_s * GENERATOR_SHARE {
            bail!(
                "--rate: the schedule asks for {peak:.0} records/s; the generator makes {generates_per_s:.0} of these \
                records a second on this machine, half of which can be sent; lower the rate or make the records smaller"
            );
        }
        if !options.warm_up.is_zero() && options.warm_up >= schedule.length() {
            bail!(
                "--warm-up {:?}: the run is over after {:?}; make it longer than its warm-up (--duration)",
                options.warm_up,
                schedule.length()
            );
        }
        let (queried_metrics, queried_events) = match &content {
            Content::Recording(recording) => recording.subjects(QUERIED_MAX),
            Content::Traffic(_) => {
                let tenants = 0..options.mix.tenants.get().min(QUERIED_MAX);
                let tenants: Vec<String> = tenants.map(|tenant| format!("{prefix}-{tenant}")).collect();
                let metrics = tenants.iter().filter(|_| options.mix.audit < 1.0);
                let metrics = metrics
                    .map(|tenant| (tenant.clone(), "cpu_utilization".to_owned()))
                    .collect();
                let events = tenants.iter().filter(|_| options.mix.audit > 0.0);
                (metrics, events.cloned().collect())
            }
        };
        let length_s = schedule.length().as_secs_f64().max(f64::MIN_POSITIVE);
        let plan = Self {
            mode,
            label: options.label.clone(),
            schedule_text: if mode == "replay" {
                mode.to_owned()
            } else {
                options.schedule.clone()
            },
            records_per_s: schedule.records() as f64 / length_s,
            schedule,
            warm_up: options.warm_up,
            mix: options.mix.clone(),
            seed: options.seed,
            prefix,
            queries_per_s: options.queries,
            queried_metrics,
            queried_events,
            look_every: options.look.max(Duration::from_millis(1)),
            late_after: options.late_after,
            late_share_max: options.late_share,
            drain: options.drain,
            objectives: options.objectives.clone(),
            generates_per_s,
        };
        Ok((plan, content))
    }

    /// The prefix of every tenant of the run.
    pub fn prefix_of_tenants(&self) -> String {
        format!("{}-", self.prefix)
    }
}

/// Records per second of a source alone.
fn generates_per_s(source: &mut impl Source) -> f64 {
    let begun = Instant::now();
    let mut bytes = 0;
    for number in 0..GENERATED {
        bytes += std::hint::black_box(source.next(i64::from(number)).payload.len());
    }
    std::hint::black_box(bytes);
    f64::from(GENERATED) / begun.elapsed().as_secs_f64()
}

fn trace(file: &str) -> anyhow::Result<Shape> {
    let text = std::fs::read_to_string(file).with_context(|| format!("--schedule: cannot read {file}"))?;
    let times = read_times(&text).with_context(|| format!("--schedule: {file}"))?;
    Ok(Shape::Trace(times))
}

/// A tenant prefix that no other run has, and that tells when it ran.
pub fn new_prefix() -> String {
    let random: u16 = rand::random();
    format!("load-{}-{random:04x}", chrono::Utc::now().format("%Y%m%dt%H%M%S"))
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text
        .replace('_', "")
        .parse::<f64>()
        .ok()
        .filter(|rate| *rate > 0.0 && *rate <= 1e8);
    rate.ok_or_else(|| format!("`{text}` is not a rate above 0"))
}

fn rate_or_none(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().ok().filter(|rate| (0.0..=1e5).contains(rate));
    rate.ok_or_else(|| format!("`{text}` is not a rate of 0 or more"))
}
