//! The tables of a report. Pure.

use std::fmt::Write as _;
use std::time::Duration;

use crate::latencies::Summary;
use crate::recorder::Measure;
use crate::results::figures::Results;
use crate::results::junit::escaped;
use crate::results::thousands;
use crate::span;

/// Percentiles of each measure, with those of the closed loop below.
pub(super) fn latencies(results: &Results) -> String {
    let mut rows = String::new();
    let mut row = |title: &str, class: &str, summary: &Summary| {
        let time = |micros: u64| span::text(Duration::from_micros(micros));
        // Writing to a string cannot fail.
        let _ = write!(
            rows,
            "<tr class=\"{class}\"><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escaped(title),
            time(summary.p50_us),
            time(summary.p90_us),
            time(summary.p99_us),
            time(summary.p999_us),
            time(summary.max_us),
            thousands(summary.records)
        );
    };
    row(
        "handed to the client, the tester's own lateness",
        "",
        &results.tester.own_lateness,
    );
    for measure in Measure::ALL.into_iter().filter(|measure| *measure != Measure::Lateness) {
        let Some(figures) = results.measures.get(&measure) else {
            continue;
        };
        row(measure.title(), "", &figures.open_loop);
        if let Some(closed) = &figures.closed_loop {
            row("– a closed loop would have reported", "closed", closed);
        }
    }
    if results.unanswered > 0 {
        let _ = write!(
            rows,
            "<tr><td>queries that failed, which no percentile includes</td><td></td><td></td><td></td><td></td><td></td>\
            <td class=\"missed\">{}</td></tr>",
            thousands(results.unanswered)
        );
    }
    section(
        "Latencies",
        "<th>from the intended time</th><th>p50</th><th>p90</th><th>p99</th><th>p99.9</th><th>max</th><th>records</th>",
        &rows,
    )
}

/// The objectives and how they came out.
pub(super) fn objectives(results: &Results) -> String {
    let mut rows = String::new();
    for objective in &results.objectives {
        let found = objective
            .found_us
            .map_or("not measured".to_owned(), |us| span::text(Duration::from_micros(us)));
        let (class, held) = if objective.held {
            ("", "held")
        } else {
            ("missed", "missed")
        };
        let _ = write!(
            rows,
            "<tr><td>{}</td><td>{found}</td><td class=\"{class}\">{held}</td></tr>",
            escaped(&objective.objective)
        );
    }
    section("Objectives", "<th>objective</th><th>found</th><th></th>", &rows)
}

/// The account of every record.
pub(super) fn account(results: &Results) -> String {
    let Some(account) = &results.account else {
        return "<section><h2>Account</h2><p>Not taken.</p></section>".to_owned();
    };
    let mut rows = String::new();
    for (what, count, is_fault) in [
        ("acknowledged by the broker", account.acknowledged, false),
        ("of those, to be rejected", account.bad, false),
        ("rows", account.stored, false),
        ("rejected", account.rejected, false),
        ("given up by the client, fate unknown", account.unknown, false),
        ("lost", account.lost, true),
        ("stored twice", account.doubled, true),
        (
            "never acknowledged, but stored",
            account.foreign,
            account.foreign > account.unknown,
        ),
        ("counted by the hours", account.aggregated, false),
        (
            "hours of a series that differ from the raw rows",
            account.hours_that_differ,
            true,
        ),
    ] {
        let class = if is_fault && count > 0 { "missed" } else { "" };
        let _ = write!(
            rows,
            "<tr><td>{what}</td><td class=\"{class}\">{}</td></tr>",
            thousands(count)
        );
    }
    section("Account", "<th>records</th><th></th>", &rows)
}

/// The disturbances of processes.
pub(super) fn disturbances(results: &Results) -> String {
    let mut rows = String::new();
    for disturbance in &results.disturbances {
        let _ = write!(
            rows,
            "<tr><td>{} {}</td><td>{:.1} s</td><td>{:.1} s</td><td>{}</td></tr>",
            escaped(&disturbance.action),
            escaped(&disturbance.process),
            disturbance.at_s,
            disturbance.lasted_s,
            escaped(disturbance.failure.as_deref().unwrap_or(""))
        );
    }
    section(
        "Disturbances",
        "<th>what</th><th>at</th><th>back after</th><th></th>",
        &rows,
    )
}

/// The resources used by each process.
pub(super) fn processes(results: &Results) -> String {
    let mut rows = String::new();
    for process in &results.processes {
        let _ = write!(
            rows,
            "<tr><td>{}</td><td>{:.2} s</td><td>{:.2} µs</td><td>{:.0} MB</td><td>{:.1} MB</td><td>{}</td></tr>",
            escaped(&process.name),
            process.cpu_s,
            process.cpu_us_a_record,
            process.resident_peak_bytes as f64 / 1e6,
            process.written_bytes as f64 / 1e6,
            process.restarts
        );
    }
    let head =
        "<th>process</th><th>CPU</th><th>a record</th><th>memory, peak</th><th>written to disk</th><th>restarts</th>";
    section("Processes", head, &rows)
}

/// The effect of inserts on each table.
pub(super) fn tables(results: &Results) -> String {
    let mut rows = String::new();
    for table in results.tables.iter().filter(|table| table.parts_made > 0) {
        let _ = write!(
            rows,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{:.1} MB</td></tr>",
            escaped(&table.table),
            table.parts_made,
            table.parts_active_max,
            thousands(table.rows),
            table.bytes as f64 / 1e6
        );
    }
    let head =
        "<th>table</th><th>parts made</th><th>most active parts</th><th>rows at the end</th><th>size at the end</th>";
    section("Tables", head, &rows)
}

fn section(title: &str, head: &str, rows: &str) -> String {
    if rows.is_empty() {
        return String::new();
    }
    format!("<section><h2>{title}</h2><div class=\"scroll\"><table><tr>{head}</tr>{rows}</table></div></section>")
}
