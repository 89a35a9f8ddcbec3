//! All figures of a run, as in `results.json`.
//!
//! Names end with their unit; times count from the beginning of the run. Contains nothing that distinguishes one
//! machine from another of the same shape, and no address, key or password of the target.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::books::Account;
use crate::latencies::Summary;
use crate::machine::Machine;
use crate::recorder::{Interval, Measure};
use crate::traffic::Mix;

use super::objective::ObjectiveFigures;
use super::verdict::Verdict;

/// Everything that was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// Version of this layout.
    pub format: u32,
    /// `horolog-load 0.1.0`.
    pub tool: String,
    /// `run`, `soak`, `chaos`, `replay`, `merge`.
    pub mode: String,
    /// Start of the run, RFC 3339.
    pub started_at: String,
    /// The settings of the run.
    pub settings: Settings,
    /// The machine of the tester.
    pub machine: Machine,
    /// Share of its CPU used by neither the tester nor the target's processes.
    pub others_cpu_share: f64,
    /// From the first intended time until the last.
    pub sending_s: f64,
    /// From the first intended time until nothing was in flight any more.
    pub total_s: f64,
    /// Records handed to the client.
    pub sent: u64,
    /// Queries that were answered.
    pub answered: u64,
    /// Queries that failed.
    pub unanswered: u64,
    /// Where every record ended up; absent if this was not checked.
    pub account: Option<Account>,
    /// Every measure that has values.
    pub measures: BTreeMap<Measure, MeasureFigures>,
    /// How well the tester kept up.
    pub tester: TesterFigures,
    /// The progress, second by second.
    pub seconds: Vec<Second>,
    /// CPU, memory and disk.
    pub processes: Vec<ProcessFigures>,
    /// Tables and their parts.
    pub tables: Vec<TableFigures>,
    /// What was done to the processes.
    pub disturbances: Vec<Disturbance>,
    /// The objectives and how they came out.
    pub objectives: Vec<ObjectiveFigures>,
    /// The verdict.
    pub verdict: Verdict,
}

/// The settings of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Given by the user to distinguish runs.
    pub label: String,
    /// Description of the target.
    pub target: String,
    /// The schedule as given.
    pub schedule: String,
    /// Mean rate.
    pub records_per_s: f64,
    /// Length.
    pub length_s: f64,
    /// Part of the length, at its start, without latencies.
    #[serde(default)]
    pub warm_up_s: f64,
    /// Seed of times and values.
    pub seed: u64,
    /// Prefix of the run's tenants.
    pub tenant_prefix: String,
    /// The properties of the records.
    pub mix: Mix,
    /// Queries per second.
    pub queries_per_s: f64,
}

impl Settings {
    /// Its length in words.
    pub fn length(&self) -> String {
        match self.warm_up_s {
            0.0 => format!("{:.0} s", self.length_s),
            warm_up_s => format!("{:.0} s (the first {warm_up_s:.0} s to warm up)", self.length_s),
        }
    }
}

/// A measure over the whole run, except the warm-up.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MeasureFigures {
    /// From the intended time.
    pub open_loop: Summary,
    /// What a closed-loop tester would have reported, which waits for each answer before it sends the next record.
    pub closed_loop: Option<Summary>,
    /// Each interval that has values.
    pub points: Vec<Point>,
}

/// A measure in an interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// End of the interval.
    pub at_s: f64,
    /// Records whose latency ended in it.
    pub records: u64,
    /// Median.
    pub p50_us: u64,
    /// 99th percentile.
    pub p99_us: u64,
    /// The longest.
    pub max_us: u64,
}

/// How well the tester kept up.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TesterFigures {
    /// Lateness that it caused itself: without the time during which the target took no records.
    pub own_lateness: Summary,
    /// Records that were later than allowed because of the tester.
    pub late: u64,
    /// The lateness above which a record counts as late.
    pub late_after_s: f64,
    /// The share of late records that is allowed.
    pub late_share_max: f64,
    /// Time between two polls of the ledger: the resolution of `stored` and `hourly`.
    pub looks: Summary,
    /// Records per second that it can generate with these settings.
    pub generates_per_s: f64,
    /// Why the first record was given up, if one was.
    pub first_error: Option<String>,
}

/// Totals at the end of a second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// Its end.
    pub at_s: f64,
    /// Handed to the client.
    pub sent: u64,
    /// Acknowledged by the broker.
    pub acknowledged: u64,
    /// Passed ingest.
    pub stored: u64,
    /// Passed aggregate.
    pub aggregated: u64,
    /// Acknowledged, but not yet through ingest.
    pub stored_lag: u64,
    /// Acknowledged, but not yet through aggregate.
    pub aggregated_lag: u64,
}

/// A process over the run, restarts included.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProcessFigures {
    /// Its name.
    pub name: String,
    /// CPU seconds.
    pub cpu_s: f64,
    /// CPU microseconds per acknowledged record.
    pub cpu_us_a_record: f64,
    /// Peak resident memory.
    pub resident_peak_bytes: u64,
    /// Written to disk.
    pub written_bytes: u64,
    /// How often it was replaced by a new process.
    pub restarts: u32,
    /// Samples over time.
    pub samples: Vec<Sample>,
}

/// A process at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Time of the sample.
    pub at_s: f64,
    /// CPU since the last sample; 1 is one core.
    pub cores: f64,
    /// Resident memory.
    pub resident_bytes: u64,
    /// Written to disk so far.
    pub written_bytes: u64,
}

/// A table over the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TableFigures {
    /// Its name.
    pub table: String,
    /// Parts created by inserts.
    pub parts_made: i64,
    /// Maximum number of active parts.
    pub parts_active_max: u64,
    /// Rows at the end.
    pub rows: u64,
    /// Compressed size at the end.
    pub bytes: u64,
}

/// A disturbance of a process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Disturbance {
    /// When.
    pub at_s: f64,
    /// `kill`, `stop`, `pause`.
    pub action: String,
    /// The name of the process.
    pub process: String,
    /// Until the process went on or was replaced.
    pub lasted_s: f64,
    /// Why it failed, if it did.
    pub failure: Option<String>,
}

impl Disturbance {
    /// What was done, and how it ended.
    pub fn text(&self) -> String {
        let Self { action, process, .. } = self;
        match &self.failure {
            Some(failure) => format!("{action} {process}: {failure}"),
            None => format!("{action} {process}: back after {:.1} s", self.lasted_s),
        }
    }
}

impl Point {
    /// Of an interval.
    pub fn of(interval: &Interval) -> Self {
        let summary = interval.latencies.summary();
        Self {
            at_s: (interval.begins + interval.length).as_secs_f64(),
            records: summary.records,
            p50_us: summary.p50_us,
            p99_us: summary.p99_us,
            max_us: summary.max_us,
        }
    }
}

impl Results {
    /// The version of the layout that this release writes.
    pub const FORMAT: u32 = 1;

    /// Acknowledged records per second, while records were being sent.
    pub fn acknowledged_per_s(&self) -> f64 {
        let sending = self.seconds.iter().rfind(|second| second.at_s <= self.sending_s + 0.5);
        sending.map_or(0.0, |second| {
            second.acknowledged as f64 / second.at_s.max(f64::MIN_POSITIVE)
        })
    }

    /// A measure's figures over the whole run.
    pub fn open_loop(&self, measure: Measure) -> Option<&Summary> {
        self.measures.get(&measure).map(|figures| &figures.open_loop)
    }

    /// CPU seconds of the target's processes.
    pub fn cpu_s(&self) -> f64 {
        let target = self.processes.iter().filter(|process| process.name != TESTER);
        target.map(|process| process.cpu_s).sum()
    }

    /// The peak of the target's memory, summed over its processes.
    pub fn resident_peak_bytes(&self) -> u64 {
        let mut at: BTreeMap<u64, u64> = BTreeMap::new();
        for process in self.processes.iter().filter(|process| process.name != TESTER) {
            for sample in &process.samples {
                *at.entry((sample.at_s * 1_000.0) as u64).or_default() += sample.resident_bytes;
            }
        }
        at.into_values().max().unwrap_or_default()
    }
}

/// The name of the tester among the processes.
pub const TESTER: &str = "horolog-load";
