//! Formats the figures for people. Pure.

use std::fmt::Write as _;
use std::time::Duration;

use crate::latencies::Latencies;
use crate::results::thousands;

use super::charts::Chart;

/// What the project promises on two cores.
const CHART_MAX: Duration = Duration::from_millis(50);
const DASHBOARD_MAX: Duration = Duration::from_millis(200);

/// What was measured.
pub struct Figures {
    /// Rows of the history.
    pub rows: u64,
    /// Its size on disk.
    pub bytes: u64,
    /// Each kind of chart.
    pub charts: Vec<ChartFigures>,
    /// Six charts at once, while nothing lands.
    pub dashboards_at_rest: Latencies,
    /// Six charts at once, while batches land.
    pub dashboards: Latencies,
    /// Dashboard charts at a rate, while batches land.
    pub while_landing: OpenLoop,
    /// Single-line charts at a rate, while nothing lands.
    pub at_rest: OpenLoop,
}

/// The figures of a kind of chart.
pub struct ChartFigures {
    /// The chart.
    pub chart: Chart,
    /// Size of a response, as JSON.
    pub bytes: usize,
    /// Latencies of first requests for a metric.
    pub first: Latencies,
    /// Latencies of the repetitions right after them.
    pub again: Latencies,
}

/// The figures of charts at a rate.
pub struct OpenLoop {
    /// Scheduled requests per second.
    pub rate: u32,
    /// Answered requests per second.
    pub answered_per_s: f64,
    /// Requests that failed.
    pub refused: u64,
    /// Counted from the scheduled time of each.
    pub latencies: Latencies,
}

/// The whole text.
pub fn text(figures: &Figures) -> String {
    let mut text = charts(figures);
    text.push('\n');
    for (when, dashboards) in [
        ("nothing new", &figures.dashboards_at_rest),
        ("a batch a second", &figures.dashboards),
    ] {
        let p99 = dashboards.quantile(0.99);
        let _ = writeln!(
            text,
            "dashboard of six at once, {when}: p50 {:.1}, p99 {:.1}, max {:.1}  {}",
            ms(dashboards.quantile(0.5)),
            ms(p99),
            ms(dashboards.max()),
            verdict(p99, DASHBOARD_MAX),
        );
    }
    for (what, open_loop) in [
        ("charts/s, a batch a second", &figures.while_landing),
        ("charts of one line/s, nothing new", &figures.at_rest),
    ] {
        let OpenLoop {
            rate,
            answered_per_s,
            refused,
            latencies,
        } = open_loop;
        let _ = writeln!(
            text,
            "{rate} {what}: {answered_per_s:.0}/s answered, {refused} refused, p50 {:.1}, p99 {:.1}, max {:.1}",
            ms(latencies.quantile(0.5)),
            ms(latencies.quantile(0.99)),
            ms(latencies.max()),
        );
    }
    text
}

fn charts(figures: &Figures) -> String {
    let mut text = format!(
        "{} hours of keys, {:.1} GB; latencies in ms\n\n{:<40} {:>7} {:>7} {:>7}  {:>7} {:>7}  promised\n",
        thousands(figures.rows),
        figures.bytes as f64 / 1e9,
        "chart",
        "kB",
        "first",
        "p99",
        "again",
        "p99",
    );
    for chart in &figures.charts {
        let again = [chart.again.quantile(0.5), chart.again.quantile(0.99)];
        let first = [chart.first.quantile(0.5), chart.first.quantile(0.99)];
        let _ = writeln!(
            text,
            "{:<40} {:>7} {:>7.1} {:>7.1}  {:>7.1} {:>7.1}  {}",
            chart.chart.name(),
            chart.bytes / 1_000,
            ms(first[0]),
            ms(first[1]),
            ms(again[0]),
            ms(again[1]),
            verdict(first[0], CHART_MAX),
        );
    }
    text
}

fn ms(latency: Duration) -> f64 {
    latency.as_secs_f64() * 1_000.0
}

fn verdict(latency: Duration, max: Duration) -> String {
    let word = if latency < max { "ok" } else { "OVER" };
    format!("< {}  {word}", max.as_millis())
}
