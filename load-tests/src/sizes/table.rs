//! Formats the figures for people. Pure: a report in, text out.

use std::fmt::Write as _;
use std::time::Duration;

use crate::latencies::Latencies;
use crate::results::thousands;

use super::figures::ProcessUse;
use super::report::Report;

/// The sizes that the project promises on two cores.
const ANSWER_MAX_S: f64 = 60.0;
const MEMORY_MAX_GB: f64 = 2.5;
/// For a million records.
const MILLION_MAX_S: f64 = 15.0;
const MILLION: u64 = 1_000_000;

/// The whole text.
pub(super) fn text(report: &Report) -> String {
    let sections = [
        sizes(report),
        processes(report),
        tables(report),
        latencies(report),
        account(report),
    ];
    sections.join("\n")
}

fn sizes(report: &Report) -> String {
    let (machine, first, backlog) = (&report.machine, &report.first_answer, &report.backlog);
    let gib = machine.memory_bytes as f64 / f64::from(1 << 30);
    let records = thousands(backlog.records);
    let rate = |seconds: f64| thousands((backlog.records as f64 / seconds) as u64);
    let promised = (backlog.records == MILLION).then_some(MILLION_MAX_S);
    let mut lines = vec![
        line("up, every process ready", first.ready_s, "s", None),
        line("up to the first hourly answer", first.answer_s, "s", Some(ANSWER_MAX_S)),
        line(
            "memory, all processes together, peak",
            gigabytes(report.memory.together_peak_bytes),
            "GB",
            Some(MEMORY_MAX_GB),
        ),
        line(
            &format!("{records} records to raw and hourly rows"),
            backlog.both_s(),
            "s",
            promised,
        ),
    ];
    for (what, seconds) in [("raw", backlog.stored_s), ("hourly", backlog.aggregated_s)] {
        let text = line(&format!("  to {what} rows"), seconds, "s", None);
        lines.push(format!("{text}  {} records/s", rate(seconds)));
    }
    lines.push(line(
        "stored size of a sample, merged",
        report.bytes_a_sample_merged,
        "B",
        None,
    ));
    let written = if backlog.written_before {
        format!("written in {:.1} s before the stages went on", backlog.written_s)
    } else {
        format!(
            "written in {:.1} s, IN PART WHILE THE STAGES DRAINED IT",
            backlog.written_s
        )
    };
    format!(
        "{cores} cores, {gib:.0} GiB; others used {backlog_share:.0} % of the CPU during the backlog, {open_share:.0} % during the open loop\n\
        backlog: {records} records of {bytes:.0} B in {series} one-minute series, {written}\n\
        generator alone: {generated} records/s\n\n{lines}\n",
        cores = machine.cores,
        backlog_share = backlog.others_cpu_share * 100.0,
        open_share = report.open_loop.others_cpu_share * 100.0,
        bytes = backlog.bytes_a_record,
        series = backlog.series,
        generated = thousands(backlog.generated_per_s as u64),
        lines = lines.join("\n"),
    )
}

/// `what   1.23 s   < 15 s  ok`
fn line(what: &str, value: f64, unit: &str, max: Option<f64>) -> String {
    let verdict = max.map(|max| format!("  < {max} {unit}  {}", if value < max { "ok" } else { "OVER" }));
    format!("{what:<44} {value:>8.2} {unit:<2}{}", verdict.unwrap_or_default())
}

fn processes(report: &Report) -> String {
    let mut text = format!(
        "{:<20} {:>22} {:>22} {:>10}\n{:<20} {:>10} {:>11} {:>10} {:>11} {:>10}\n",
        "process", "CPU, backlog", "CPU, open loop", "memory", "", "s", "us/record", "s", "us/record", "peak MB"
    );
    for (backlog, open) in report.backlog.processes.iter().zip(&report.open_loop.processes) {
        let peak = report.memory.peaks.iter().find(|(name, _)| *name == backlog.name);
        let peak = peak.map_or_else(String::new, |&(_, bytes)| format!("{:.0}", bytes as f64 / 1e6));
        let cpu = |figures: &ProcessUse| format!("{:>10.2} {:>11.2}", figures.cpu_s, figures.cpu_us_a_record);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:<20} {} {} {peak:>10}", backlog.name, cpu(backlog), cpu(open));
    }
    text
}

fn tables(report: &Report) -> String {
    let mut text = format!(
        "{:<20} {:>10} {:>11} {:>10} {:>11} {:>10} {:>8}\n",
        "table, backlog", "inserts", "ms each", "parts made", "active then", "rows", "B/row"
    );
    for table in &report.backlog.tables {
        let inserts = if table.inserts > 0 {
            format!("{:>10} {:>11.1}", table.inserts, table.insert_ms)
        } else {
            format!("{:>10} {:>11}", "", "")
        };
        let _ = writeln!(
            text,
            "{:<20} {inserts} {:>10} {:>11} {:>10} {:>8.2}",
            table.table,
            table.parts_made,
            table.parts_active,
            thousands(table.rows),
            table.bytes_a_row
        );
    }
    text
}

fn latencies(report: &Report) -> String {
    let open = &report.open_loop;
    let title = format!(
        "{} records/s, from the intended time, ms",
        thousands(open.rate.get().into())
    );
    let mut text = format!("{title:<44} {:>9} {:>9} {:>9} {:>9}\n", "p50", "p99", "p99.9", "max");
    let rows: [(&str, &Latencies); 4] = [
        ("handed to the client (the tester's lateness)", &open.lateness),
        ("acknowledged by the broker", &open.acknowledged),
        ("stored", &open.stored),
        ("in the hourly answer", &open.aggregated),
    ];
    for (what, latencies) in rows {
        let ms = |latency: Duration| latency.as_secs_f64() * 1e3;
        let _ = writeln!(
            text,
            "{what:<44} {:>9.1} {:>9.1} {:>9.1} {:>9.1}",
            ms(latencies.quantile(0.5)),
            ms(latencies.quantile(0.99)),
            ms(latencies.quantile(0.999)),
            ms(latencies.max())
        );
    }
    text
}

fn account(report: &Report) -> String {
    let account = &report.account;
    if report.faults.is_empty() {
        return format!(
            "{} records sent, each stored and aggregated exactly once\n",
            thousands(account.sent)
        );
    }
    format!("THE FIGURES ARE INVALID\n{}\n", report.faults.join("\n"))
}

fn gigabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_over_its_maximum_says_so() {
        assert!(line("start", 61.0, "s", Some(60.0)).ends_with("< 60 s  OVER"));
        assert!(line("start", 59.0, "s", Some(60.0)).ends_with("< 60 s  ok"));
        assert!(line("start", 59.0, "s", None).ends_with("59.00 s "));
    }
}
