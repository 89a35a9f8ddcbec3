//! The report as a single HTML file: figures and plots, no external resources, legible on screen and on paper.
//!
//! Plots are SVG, drawn here. In order, the reader sees the verdict, the latencies, what explains them, and the
//! resources used. Pure.

mod axis;
mod charts;
mod plot;
mod tables;

use std::collections::BTreeMap;

use crate::latencies::Latencies;
use crate::recorder::Measure;

use super::figures::Results;
use super::junit::escaped;
use super::text::thousands;

const STYLE: &str = include_str!("report.css");

/// The whole page.
pub fn report(results: &Results, totals: &BTreeMap<Measure, Latencies>) -> String {
    let settings = &results.settings;
    let label = if settings.label.is_empty() {
        String::new()
    } else {
        format!(": {}", escaped(&settings.label))
    };
    let verdict = &results.verdict;
    let reasons: String = verdict
        .reasons
        .iter()
        .map(|reason| format!("<li>{}</li>", escaped(reason)))
        .collect();
    let sections = [
        charts::percentiles(results, totals),
        charts::latency_over_time(results),
        charts::throughput(results),
        charts::lag(results),
        charts::cpu(results),
        charts::memory(results),
    ];
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
        <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
        <title>horolog-load {mode}{label}</title><style>{STYLE}</style></head><body>\n\
        <header><h1>{mode}{label}</h1><p>{head}</p>\n\
        <div class=\"verdict {outcome}\"><strong>{outcome}</strong><ul>{reasons}</ul></div></header>\n\
        <main>{latencies}\n{objectives}\n{sections}\n{account}\n{disturbances}\n{processes}\n{tables}\n{method}</main>\n\
        </body></html>\n",
        mode = escaped(&results.mode),
        head = head(results),
        outcome = verdict.outcome.name(),
        latencies = tables::latencies(results),
        objectives = tables::objectives(results),
        sections = sections.concat(),
        account = tables::account(results),
        disturbances = tables::disturbances(results),
        processes = tables::processes(results),
        tables = tables::tables(results),
        method = method(results),
    )
}

fn head(results: &Results) -> String {
    let settings = &results.settings;
    format!(
        "{started} · {target} · schedule {schedule}, {rate} records/s for {length}, seed {seed} · \
        {sent} records · {cores} cores, {memory:.0} GiB, others used {others:.0} % of the CPU",
        started = escaped(&results.started_at),
        target = escaped(&settings.target),
        schedule = escaped(&settings.schedule),
        rate = thousands(settings.records_per_s as u64),
        length = settings.length(),
        seed = settings.seed,
        sent = thousands(results.sent),
        cores = results.machine.cores,
        memory = results.machine.memory_bytes as f64 / f64::from(1 << 30),
        others = results.others_cpu_share * 100.0,
    )
}

fn method(results: &Results) -> String {
    format!(
        "<section class=\"method\"><h2>How it was measured</h2><p>Open loop: each latency counts from the time at \
         which the record was <em>meant</em> to be sent, so that a stall shows in all records that had to wait. The \
         dashed curves show what a closed loop would have reported for the same run: a tester that sends its next \
         record when the last is answered, and so sends least when the system is slowest. <em>Stored</em> and \
         <em>hourly</em> end when the ledger says that the batch is in its table, seen by a check every {look:.0} ms \
         at the median ({look_p99:.0} ms at p99): they are upper bounds by that much. The tester's own lateness was \
         {own:.1} ms at p99; it makes {generates} of these records a second. Histograms have three digits from 1 µs to \
         1 h. {tool}.</p></section>",
        look = results.tester.looks.p50_us as f64 / 1e3,
        look_p99 = results.tester.looks.p99_us as f64 / 1e3,
        own = results.tester.own_lateness.p99_us as f64 / 1e3,
        generates = thousands(results.tester.generates_per_s as u64),
        tool = escaped(&results.tool),
    )
}
