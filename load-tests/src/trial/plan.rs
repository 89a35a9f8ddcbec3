//! What a run is to do: options of the command line, checked, as a plan.
//!
//! Refuses before anything starts: an unknown schedule, a rate that the generator does not reach on this machine.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::results::Objective;
use crate::schedule::{Schedule, Shape, read_times};
use crate::span;
use crate::traffic::replay::Recording;
use crate::traffic::{Mix, Source, Traffic};

/// Records that the generator is measured with.
const GENERATED: u32 = 200_000;
/// Of what the generator makes alone, so much can be asked of it: sending and following the records takes time too.
const GENERATOR_SHARE: f64 = 0.5;

/// How records are sent and what is promised.
#[derive(Debug, Clone, clap::Args)]
pub struct PlanOptions {
    /// Mean rate.
    #[arg(long, value_name = "RECORDS/S", default_value_t = 20_000.0, value_parser = rate)]
    pub rate: f64,
    /// constant, poisson, bursts:PERIOD/LENGTH/FACTOR, ramp:FROM, or trace:FILE with a time in seconds on each line.
    #[arg(long, default_value = "constant")]
    pub schedule: String,
    /// How long records are sent.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = span::parse)]
    pub duration: Duration,
    /// Of that, how long only to warm up: what is meant to leave then is sent and accounted for, and no latency of it is recorded.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = span::parse)]
    pub warm_up: Duration,
    /// Decides times and values.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// A name for this run in its results.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub label: String,
    /// What is to be held: MEASURE:STATISTIC<=DURATION, for example `stored:p99<=1s`. Can be repeated.
    #[arg(long = "objective", value_name = "OBJECTIVE")]
    pub objectives: Vec<Objective>,
    /// Questions a second to the query API meanwhile; 0 for none.
    #[arg(long, value_name = "RATE", default_value_t = 1.0, value_parser = rate_or_none)]
    pub queries: f64,
    /// Time between two looks at the ledger: the resolution of `stored` and `hourly`.
    #[arg(long, value_name = "DURATION", default_value = "50ms", value_parser = span::parse)]
    pub look: Duration,
    /// A record that leaves later than this by the tester's own doing is late.
    #[arg(long, value_name = "DURATION", default_value = "100ms", value_parser = span::parse)]
    pub late_after: Duration,
    /// Share of such records beyond which there is no verdict.
    #[arg(long, value_name = "SHARE", default_value_t = 0.01)]
    pub late_share: f64,
    /// How long nothing may come any more before the rest counts as lost.
    #[arg(long, value_name = "DURATION", default_value = "90s", value_parser = span::parse)]
    pub drain: Duration,
    /// What the records are like.
    #[command(flatten)]
    pub mix: Mix,
}

impl Default for PlanOptions {
    /// As the command line has them.
    fn default() -> Self {
        Self {
            rate: 20_000.0,
            schedule: "constant".to_owned(),
            duration: Duration::from_secs(30),
            warm_up: Duration::ZERO,
            seed: 1,
            label: String::new(),
            objectives: Vec::new(),
            queries: 1.0,
            look: Duration::from_millis(50),
            late_after: Duration::from_millis(100),
            late_share: 0.01,
            drain: Duration::from_secs(90),
            mix: Mix::default(),
        }
    }
}

/// What a run sends.
pub enum Content {
    /// Made from a seed.
    Traffic(Box<Traffic>),
    /// Read from a file.
    Recording(Recording),
}

/// A run, checked.
pub struct Plan {
    /// `run`, `soak`, ….
    pub mode: &'static str,
    /// Told apart by.
    pub label: String,
    /// The schedule as it was written.
    pub schedule_text: String,
    /// When records leave.
    pub schedule: Schedule,
    /// Before, no latency is recorded.
    pub warm_up: Duration,
    /// What they are like.
    pub mix: Mix,
    /// Mean rate.
    pub records_per_s: f64,
    /// Decides times and values.
    pub seed: u64,
    /// The tenants are `prefix-0`, `prefix-1`, ….
    pub prefix: String,
    /// Questions a second.
    pub queries_per_s: f64,
    /// Between two looks.
    pub look_every: Duration,
    /// Later than this is late.
    pub late_after: Duration,
    /// So many may be.
    pub late_share_max: f64,
    /// How long nothing may come at the end.
    pub drain: Duration,
    /// What is promised.
    pub objectives: Vec<Objective>,
    /// What the generator makes alone.
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
    /// Checks the options of a run; gives what it sends too.
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

    /// Checks a recording of records that is to be sent again.
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
            // Of a generator of its own, so that the run begins with the first record.
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
            look_every: options.look.max(Duration::from_millis(1)),
            late_after: options.late_after,
            late_share_max: options.late_share,
            drain: options.drain,
            objectives: options.objectives.clone(),
            generates_per_s,
        };
        Ok((plan, content))
    }

    /// What every tenant of the run begins with.
    pub fn prefix_of_tenants(&self) -> String {
        format!("{}-", self.prefix)
    }
}

/// Records a second that a source makes alone.
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

/// Tenants that no other run has, and that tell when it was.
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
    rate.ok_or_else(|| format!("`{text}` is no rate above 0"))
}

fn rate_or_none(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().ok().filter(|rate| (0.0..=1e5).contains(rate));
    rate.ok_or_else(|| format!("`{text}` is no rate from 0 on"))
}
