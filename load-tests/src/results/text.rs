//! Formats the figures for a terminal. Pure: results in, text out.

use std::fmt::Write as _;

use indicatif::HumanCount;

use crate::latencies::Summary;
use crate::recorder::Measure;

use super::figures::Results;

/// The whole text.
pub fn table(results: &Results) -> String {
    let sections = [
        head(results),
        latencies(results),
        processes(results),
        tables(results),
        end(results),
    ];
    sections
        .into_iter()
        .filter(|text| !text.is_empty())
        .collect::<Vec<_>>()
        .join("\n")
}

fn head(results: &Results) -> String {
    let settings = &results.settings;
    format!(
        "{mode} of {target}: {schedule}, {rate} records/s for {length}, seed {seed}\n\
        {sent} records sent, {acknowledged} records/s acknowledged; others used {others:.0} % of the CPU\n",
        mode = results.mode,
        target = settings.target,
        schedule = settings.schedule,
        rate = thousands(settings.records_per_s as u64),
        length = settings.length(),
        seed = settings.seed,
        sent = thousands(results.sent),
        acknowledged = thousands(results.acknowledged_per_s() as u64),
        others = results.others_cpu_share * 100.0,
    )
}

fn latencies(results: &Results) -> String {
    let mut text = format!(
        "{:<40} {:>9} {:>9} {:>9} {:>9} {:>11}\n",
        "from the intended time, ms", "p50", "p99", "p99.9", "max", "records"
    );
    let mut line = |title: &str, summary: &Summary| {
        let ms = |micros: u64| micros as f64 / 1e3;
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{title:<40} {:>9.1} {:>9.1} {:>9.1} {:>9.1} {:>11}",
            ms(summary.p50_us),
            ms(summary.p99_us),
            ms(summary.p999_us),
            ms(summary.max_us),
            thousands(summary.records)
        );
    };
    line("handed to the client, the tester's own", &results.tester.own_lateness);
    for measure in Measure::ALL {
        let Some(figures) = results.measures.get(&measure) else {
            continue;
        };
        line(measure.title(), &figures.open_loop);
        if let Some(closed) = &figures.closed_loop {
            line("  a closed loop would have reported", closed);
        }
    }
    line("between two looks (resolution)", &results.tester.looks);
    if results.unanswered > 0 {
        let _ = writeln!(
            text,
            "{} of {} queries failed; no percentile includes them",
            thousands(results.unanswered),
            thousands(results.answered + results.unanswered)
        );
    }
    text
}

fn processes(results: &Results) -> String {
    if results.processes.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "{:<20} {:>9} {:>13} {:>9} {:>11} {:>9}\n",
        "process", "CPU s", "us a record", "peak MB", "written MB", "restarts"
    );
    for process in &results.processes {
        let mb = |bytes: u64| bytes as f64 / 1e6;
        let _ = writeln!(
            text,
            "{:<20} {:>9.2} {:>13.2} {:>9.0} {:>11.1} {:>9}",
            process.name,
            process.cpu_s,
            process.cpu_us_a_record,
            mb(process.resident_peak_bytes),
            mb(process.written_bytes),
            process.restarts
        );
    }
    text
}

fn tables(results: &Results) -> String {
    let mut text = format!(
        "{:<20} {:>11} {:>16} {:>13}\n",
        "table", "parts made", "most active", "rows now"
    );
    for table in results.tables.iter().filter(|table| table.parts_made > 0) {
        let _ = writeln!(
            text,
            "{:<20} {:>11} {:>16} {:>13}",
            table.table,
            table.parts_made,
            table.parts_active_max,
            thousands(table.rows)
        );
    }
    text
}

fn end(results: &Results) -> String {
    let mut text = String::new();
    for disturbance in &results.disturbances {
        let _ = writeln!(text, "{:>7.1} s  {}", disturbance.at_s, disturbance.text());
    }
    for objective in &results.objectives {
        let found = objective
            .found_us
            .map_or("not measured".to_owned(), |us| format!("{:.3} s", us as f64 / 1e6));
        let _ = writeln!(
            text,
            "{}: {found}, {}",
            objective.objective,
            if objective.held { "held" } else { "MISSED" }
        );
    }
    if let Some(account) = results.account.as_ref().filter(|account| account.is_sound()) {
        let _ = writeln!(
            text,
            "{} records acknowledged, each in its place exactly once ({} rejected, as they should be)",
            thousands(account.acknowledged),
            thousands(account.rejected)
        );
    }
    let _ = writeln!(text, "{}", results.verdict.outcome.name().to_uppercase());
    for reason in &results.verdict.reasons {
        let _ = writeln!(text, "  {reason}");
    }
    text
}

/// `1,234,567`.
pub fn thousands(number: u64) -> String {
    HumanCount(number).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped() {
        assert_eq!(
            ["0", "999", "1,000", "1,234,567"],
            [0, 999, 1_000, 1_234_567].map(thousands)
        );
    }
}
