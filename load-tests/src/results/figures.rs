//! All figures of a run, as `results.json` has them.
//!
//! Units are the last part of a name; times count from the beginning of the run. Says nothing that tells one machine from
//! another of the same shape, and no address, key or password of the target.

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
    /// When it began, RFC 3339.
    pub started_at: String,
    /// What was asked for.
    pub settings: Settings,
    /// The machine of the tester.
    pub machine: Machine,
    /// Share of its CPU that was used by neither the tester nor the target's processes.
    pub others_cpu_share: f64,
    /// From the first intended time until the last.
    pub sending_s: f64,
    /// From the first intended time until nothing was under way any more.
    pub total_s: f64,
    /// Records handed to the client.
    pub sent: u64,
    /// Queries that were answered.
    pub answered: u64,
    /// Queries that failed.
    pub unanswered: u64,
    /// Where every record is; absent when it was not looked for.
    pub account: Option<Account>,
    /// Every measure that has a record.
    pub measures: BTreeMap<Measure, MeasureFigures>,
    /// The tester itself.
    pub tester: TesterFigures,
    /// The course of it.
    pub seconds: Vec<Second>,
    /// CPU, memory and disk.
    pub processes: Vec<ProcessFigures>,
    /// Parts of tables.
    pub tables: Vec<TableFigures>,
    /// What was done to the processes.
    pub disturbances: Vec<Disturbance>,
    /// What was promised.
    pub objectives: Vec<ObjectiveFigures>,
    /// What to make of it.
    pub verdict: Verdict,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Given by the user, to tell runs apart.
    pub label: String,
    /// What was measured, in words.
    pub target: String,
    /// The schedule as it was written.
    pub schedule: String,
    /// Mean rate.
    pub records_per_s: f64,
    /// Length.
    pub length_s: f64,
    /// Of that, without latencies.
    #[serde(default)]
    pub warm_up_s: f64,
    /// Decides times and values.
    pub seed: u64,
    /// Tenants of the run begin with this.
    pub tenant_prefix: String,
    /// What the records are like.
    pub mix: Mix,
    /// Questions a second.
    pub queries_per_s: f64,
}

impl Settings {
    /// How long it was, in words.
    pub fn length(&self) -> String {
        match self.warm_up_s {
            0.0 => format!("{:.0} s", self.length_s),
            warm_up_s => format!("{:.0} s (the first {warm_up_s:.0} s to warm up)", self.length_s),
        }
    }
}

/// A measure over the whole run, but for its warm-up.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MeasureFigures {
    /// From the intended time.
    pub open_loop: Summary,
    /// What a tester would have told that waits for each answer before it sends the next record.
    pub closed_loop: Option<Summary>,
    /// Each interval with a record.
    pub points: Vec<Point>,
}

/// A measure in an interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// End of the interval.
    pub at_s: f64,
    /// Records that ended in it.
    pub records: u64,
    /// Median.
    pub p50_us: u64,
    /// 99 %.
    pub p99_us: u64,
    /// The longest.
    pub max_us: u64,
}

/// How good the tester was.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TesterFigures {
    /// Lateness of its own making: without the time that the target took no more records.
    pub own_lateness: Summary,
    /// Records that were later than allowed, of its own making.
    pub late: u64,
    /// How late is late.
    pub late_after_s: f64,
    /// What share of such records is allowed.
    pub late_share_max: f64,
    /// Time between two looks at the ledger: the resolution of what was stored when.
    pub looks: Summary,
    /// Records a second that it can make of this kind.
    pub generates_per_s: f64,
    /// Why the first record was given up, if one was.
    pub first_error: Option<String>,
}

/// What had happened by the end of a second.
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
    /// Acknowledged, and not yet passed ingest.
    pub stored_lag: u64,
    /// Acknowledged, and not yet passed aggregate.
    pub aggregated_lag: u64,
}

/// A process over the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProcessFigures {
    /// Its name.
    pub name: String,
    /// CPU seconds.
    pub cpu_s: f64,
    /// CPU microseconds for each record that was acknowledged.
    pub cpu_us_a_record: f64,
    /// The most that was resident.
    pub resident_peak_bytes: u64,
    /// Written to disk.
    pub written_bytes: u64,
    /// How often another process took its place.
    pub restarts: u32,
    /// The course of it.
    pub samples: Vec<Sample>,
}

/// A process at a time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// When.
    pub at_s: f64,
    /// CPU since the last sample: 1 is one core.
    pub cores: f64,
    /// Resident memory.
    pub resident_bytes: u64,
    /// Written to disk since the beginning.
    pub written_bytes: u64,
}

/// A table over the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TableFigures {
    /// Its name.
    pub table: String,
    /// Parts that inserts have made.
    pub parts_made: i64,
    /// The most that were active at a time.
    pub parts_active_max: u64,
    /// Rows at the end.
    pub rows: u64,
    /// Compressed size at the end.
    pub bytes: u64,
}

/// Something that was done to a process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Disturbance {
    /// When.
    pub at_s: f64,
    /// `kill`, `stop`, `pause`.
    pub action: String,
    /// To whom.
    pub process: String,
    /// How long it lasted: until the process went on, or another had taken its place.
    pub lasted_s: f64,
    /// Why it was not done, if it was not.
    pub failure: Option<String>,
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

    /// Records a second that were acknowledged while they were sent.
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

    /// The most of the target's memory at a time.
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

/// The name of this program among the processes.
const TESTER: &str = "horolog-load";
