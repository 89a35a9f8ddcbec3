//! The plots of a report and their lines. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::latencies::Latencies;
use crate::recorder::Measure;
use crate::results::figures::{Point, Results, Sample, Second};
use crate::results::thousands;
use crate::span;

use super::axis::Scale;
use super::plot::{Line, Mark, Plot};

/// Maximum number of nines: beyond this there are too few records to be meaningful.
const NINES_MAX: f64 = 6.0;
/// Points of a percentile curve per nine.
const STEPS_A_NINE: u32 = 40;

/// The value that a line shows of each interval, microseconds.
type OfPoint = fn(&Point) -> u64;
/// The value that a line shows of each second.
type OfSecond = fn(&Second) -> u64;

/// Latency by percentile, scaled by the number of nines.
pub(super) fn percentiles(results: &Results, totals: &BTreeMap<Measure, Latencies>) -> String {
    let most_records = totals.values().map(Latencies::len).max().unwrap_or(1).max(10);
    let nines = (most_records as f64).log10().ceil().min(NINES_MAX);
    let shown = totals.iter().filter(|(measure, _)| **measure != Measure::Lateness);
    let mut lines: Vec<Line> = shown
        .map(|(measure, latencies)| Line {
            name: measure.name().to_owned(),
            colour: colour(*measure),
            dashed: false,
            points: curve(latencies, nines),
        })
        .collect();
    for (measure, figures) in &results.measures {
        if let Some(closed) = &figures.closed_loop {
            let points = [
                (0.5, closed.p50_us),
                (0.9, closed.p90_us),
                (0.99, closed.p99_us),
                (0.999, closed.p999_us),
                (0.9999, closed.p9999_us),
            ];
            // Show a percentile only if at least one record lies beyond it.
            let told = points
                .into_iter()
                .filter(|(quantile, _)| (1.0 - quantile) * closed.records as f64 >= 1.0);
            lines.push(Line {
                name: format!("{measure}, closed"),
                colour: colour(*measure),
                dashed: true,
                points: told.map(|(quantile, micros)| (quantile, micros as f64 / 1e3)).collect(),
            });
        }
    }
    let across = Scale::Nines { nines };
    let up = latency_scale(&lines);
    Plot {
        across: (across, across.ticks(|_| String::new()), "share of the records"),
        up: (up, up.ticks(milli_text)),
        lines,
        marks: Vec::new(),
    }
    .section(
        "Latency by percentile",
        "From the intended time. Both axes are logarithmic: across, each nine takes the same room.",
    )
}

fn curve(latencies: &Latencies, nines: f64) -> Vec<(f64, f64)> {
    // The curve ends at the last record.
    let last = (latencies.len().max(1) as f64).log10().min(nines);
    let steps = (last * f64::from(STEPS_A_NINE)).ceil() as u32;
    let quantiles = (0..=steps).map(|step| 1.0 - 10f64.powf(-last * f64::from(step) / f64::from(steps.max(1))));
    quantiles
        .map(|quantile| (quantile, latencies.quantile(quantile).as_secs_f64() * 1e3))
        .collect()
}

/// p50 and p99 of every second.
pub(super) fn latency_over_time(results: &Results) -> String {
    let mut lines = Vec::new();
    for measure in [Measure::Acknowledged, Measure::Stored, Measure::Hourly, Measure::Query] {
        let Some(figures) = results.measures.get(&measure) else {
            continue;
        };
        let statistics: [(&str, bool, OfPoint); 2] = [
            ("p99", false, |point| point.p99_us),
            ("p50", true, |point| point.p50_us),
        ];
        for (name, dashed, statistic) in statistics {
            let points = figures
                .points
                .iter()
                .map(|point| (point.at_s, statistic(point) as f64 / 1e3));
            lines.push(Line {
                name: format!("{measure} {name}"),
                colour: colour(measure),
                dashed,
                points: points.collect(),
            });
        }
    }
    let up = latency_scale(&lines);
    over_time(results, lines, up, milli_text, true).section(
        "Latency over time",
        "Of the records that ended in each second; p99 solid, p50 dashed.",
    )
}

/// Records a second.
pub(super) fn throughput(results: &Results) -> String {
    let counts: [(&str, OfSecond); 4] = [
        ("sent", |second| second.sent),
        ("acknowledged", |second| second.acknowledged),
        ("stored", |second| second.stored),
        ("hourly", |second| second.aggregated),
    ];
    let lines: Vec<Line> = counts
        .into_iter()
        .enumerate()
        .map(|(colour, (name, count))| Line {
            name: name.to_owned(),
            colour: [6, 0, 1, 2][colour],
            dashed: name == "sent",
            points: rates(&results.seconds, count),
        })
        .collect();
    let up = Scale::from_zero(highest(&lines));
    over_time(results, lines, up, count_text, true).section(
        "Throughput",
        "Records a second. Stages work in batches, hence the teeth.",
    )
}

fn rates(seconds: &[Second], count: OfSecond) -> Vec<(f64, f64)> {
    let mut before = Second::default();
    let mut rates = Vec::with_capacity(seconds.len());
    for second in seconds {
        let gone = (second.at_s - before.at_s).max(0.001);
        rates.push((second.at_s, count(second).saturating_sub(count(&before)) as f64 / gone));
        before = *second;
    }
    rates
}

/// Records in flight.
pub(super) fn lag(results: &Results) -> String {
    let lags: [(&str, usize, OfSecond); 2] = [
        ("to raw rows", 1, |second| second.stored_lag),
        ("to hourly rows", 2, |second| second.aggregated_lag),
    ];
    let lines: Vec<Line> = lags
        .into_iter()
        .map(|(name, colour, lag)| Line {
            name: name.to_owned(),
            colour,
            dashed: false,
            points: results
                .seconds
                .iter()
                .map(|second| (second.at_s, lag(second) as f64))
                .collect(),
        })
        .collect();
    let up = Scale::from_zero(highest(&lines));
    over_time(results, lines, up, count_text, false).section(
        "Lag",
        "Records that the broker has acknowledged and a stage has not passed.",
    )
}

/// Cores that each process uses.
pub(super) fn cpu(results: &Results) -> String {
    let lines = of_processes(results, |sample| sample.cores);
    let up = Scale::from_zero(highest(&lines));
    over_time(results, lines, up, |cores| format!("{cores:.1}"), false).section("CPU", "Cores in use by each process.")
}

/// Resident memory of each process.
pub(super) fn memory(results: &Results) -> String {
    let lines = of_processes(results, |sample| sample.resident_bytes as f64 / 1e6);
    let up = Scale::from_zero(highest(&lines));
    over_time(results, lines, up, |mb| format!("{mb:.0} MB"), false)
        .section("Memory", "Resident memory of each process.")
}

fn of_processes(results: &Results, value: fn(&Sample) -> f64) -> Vec<Line> {
    let lines = results.processes.iter().enumerate().map(|(colour, process)| Line {
        name: process.name.clone(),
        colour,
        dashed: false,
        points: process
            .samples
            .iter()
            .map(|sample| (sample.at_s, value(sample)))
            .collect(),
    });
    lines.collect()
}

fn over_time(
    results: &Results,
    lines: Vec<Line>,
    up: Scale,
    text: impl Fn(f64) -> String,
    marked: bool,
) -> Plot<'static> {
    let last = lines
        .iter()
        .filter_map(|line| line.points.last())
        .map(|point| point.0)
        .fold(1.0, f64::max);
    let across = Scale::Linear { from: 0.0, to: last };
    let marks = results.disturbances.iter().filter(|_| marked).map(|disturbance| Mark {
        at: disturbance.at_s,
        text: format!("{} {}", disturbance.action, disturbance.process),
    });
    Plot {
        across: (
            across,
            across.ticks(|seconds| format!("{seconds:.0} s")),
            "time since the first record",
        ),
        up: (up, up.ticks(text)),
        marks: marks.collect(),
        lines,
    }
}

fn latency_scale(lines: &[Line]) -> Scale {
    let values = || {
        lines
            .iter()
            .flat_map(|line| &line.points)
            .map(|point| point.1)
            .filter(|value| *value > 0.0)
    };
    Scale::decades(
        values().fold(f64::INFINITY, f64::min).min(1e9),
        values().fold(0.001, f64::max),
    )
}

fn highest(lines: &[Line]) -> f64 {
    lines
        .iter()
        .flat_map(|line| &line.points)
        .map(|point| point.1)
        .fold(0.0, f64::max)
}

fn milli_text(millis: f64) -> String {
    span::short(Duration::from_secs_f64(millis / 1e3))
}

fn count_text(count: f64) -> String {
    thousands(count as u64)
}

const fn colour(measure: Measure) -> usize {
    match measure {
        Measure::Acknowledged => 0,
        Measure::Stored => 1,
        Measure::Hourly => 2,
        Measure::Query => 3,
        Measure::Lateness => 6,
    }
}
