//! Combines what was recorded and observed into results. Pure, except for the description of the machine.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};

use crate::books::Account;
use crate::latencies::Latencies;
use crate::machine::Machine;
use crate::recorder::{Measure, Recorder};
use crate::results::{MeasureFigures, Outcome, Results, ResultsFolder, Settings, TesterFigures, Verdict};
use crate::target::Target;

use super::Watched;
use super::plan::Plan;
use super::recording::Recorded;

/// When the run took place, how long it took, and how it ended.
pub(super) struct Ended {
    pub started_at: DateTime<Utc>,
    pub sending_s: f64,
    pub total_s: f64,
    /// `None` if it was interrupted, or if the target did not answer.
    pub account: Option<Account>,
    /// Whether it was stopped before its end.
    pub is_interrupted: bool,
    /// What the run itself could not do.
    pub faults: Vec<String>,
    /// Whether all records were seen.
    pub is_settled: bool,
}

type Totals = BTreeMap<Measure, Latencies>;

/// All figures, the histograms, and the folder for them.
pub(super) fn sum(
    target: &Target,
    plan: &Plan,
    recorded: Recorded,
    watched: Watched,
    ended: Ended,
) -> anyhow::Result<(Results, Totals, Option<ResultsFolder>)> {
    let Recorded {
        recorder,
        seconds,
        points,
        folder,
    } = recorded;
    let is_interrupted = ended.is_interrupted && ended.account.is_none();
    let counts = recorder.counts();
    let totals = totals(&recorder);
    let measures = measures(&recorder, &totals, points);
    let mut processes = watched.processes;
    for process in &mut processes {
        process.cpu_us_a_record = process.cpu_s * 1e6 / counts.acknowledged.max(1) as f64;
    }
    let mut results = Results {
        format: Results::FORMAT,
        tool: format!("horolog-load {}", env!("CARGO_PKG_VERSION")),
        mode: plan.mode.to_owned(),
        started_at: ended.started_at.to_rfc3339_opts(SecondsFormat::Secs, true),
        settings: settings(target, plan),
        machine: Machine::this()?,
        others_cpu_share: watched.others_cpu_share,
        sending_s: ended.sending_s,
        total_s: ended.total_s,
        sent: counts.sent,
        answered: counts.answered,
        unanswered: counts.unanswered,
        account: ended.account,
        objectives: plan
            .objectives
            .iter()
            .map(|objective| objective.judge(measures.get(&objective.measure).map(|figures| &figures.open_loop)))
            .collect(),
        measures,
        tester: tester(plan, &recorder),
        seconds,
        processes,
        tables: watched.tables,
        disturbances: watched.disturbances,
        verdict: Verdict {
            outcome: Outcome::Passed,
            reasons: Vec::new(),
        },
    };
    let unseen = if ended.is_settled {
        0
    } else {
        (counts.acknowledged - counts.stored).max(counts.to_aggregate - counts.aggregated)
    };
    results.verdict = Verdict::of(&results, is_interrupted, unseen);
    results.verdict.add(ended.faults);
    Ok((results, totals, folder))
}

fn totals(recorder: &Recorder) -> Totals {
    let totals = Measure::ALL
        .into_iter()
        .filter_map(|measure| Some((measure, recorder.total(measure)?.clone())));
    totals.filter(|(_, latencies)| !latencies.is_empty()).collect()
}

fn measures(
    recorder: &Recorder,
    totals: &Totals,
    mut points: BTreeMap<Measure, Vec<crate::results::Point>>,
) -> BTreeMap<Measure, MeasureFigures> {
    let figures = |(measure, latencies): (&Measure, &Latencies)| {
        let figures = MeasureFigures {
            open_loop: latencies.summary(),
            closed_loop: recorder.closed_loop(*measure).map(Latencies::summary),
            points: points.remove(measure).unwrap_or_default(),
        };
        (*measure, figures)
    };
    totals.iter().map(figures).collect()
}

fn settings(target: &Target, plan: &Plan) -> Settings {
    Settings {
        label: plan.label.clone(),
        target: target.name.clone(),
        schedule: plan.schedule_text.clone(),
        records_per_s: plan.records_per_s,
        length_s: plan.schedule.length().as_secs_f64(),
        warm_up_s: plan.warm_up.as_secs_f64(),
        seed: plan.seed,
        tenant_prefix: plan.prefix.clone(),
        mix: plan.mix.clone(),
        queries_per_s: plan.queries_per_s,
    }
}

fn tester(plan: &Plan, recorder: &Recorder) -> TesterFigures {
    let own = recorder.own_lateness();
    TesterFigures {
        own_lateness: own.summary(),
        late: own.longer_than(plan.late_after),
        late_after_s: plan.late_after.as_secs_f64(),
        late_share_max: plan.late_share_max,
        looks: recorder.looks().summary(),
        generates_per_s: plan.generates_per_s,
        first_error: recorder.first_error().map(str::to_owned),
    }
}
