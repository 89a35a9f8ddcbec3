//! The edges of an import: files in, Kafka out, the clock, and the user who watches.
//!
//! Enters: options. Leaves: records in Kafka, an account on standard output, complaints on standard error. Guarantees that
//! the result is an error when a file could not be read, when nothing was sent, or when Kafka did not take a record.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use horolog_schemas::migrate::Retention;
use indicatif::{ProgressBar, ProgressStyle};

use super::event_ids::{COMPARED_MAX, EventIds};
use super::folder::sources;
use super::options::ImportOptions;
use super::reading::read;
use super::report::{FileReport, by_reason, sent};
use super::sending::{KeptSince, Sending};
use super::shift::{MICROS_A_DAY, shift_to};
use super::source::Source;
use crate::producer::{Delivered, Producer, WAITING_TOLD};

/// Runs the import to its end.
pub fn run(options: ImportOptions) -> anyhow::Result<()> {
    let sources = sources(&options.files)?;
    let kafka = options.target.kafka()?;
    let mut producer = Producer::connect(&kafka, options.topics)?;
    let now = chrono::Utc::now().timestamp_micros();
    let shift = if options.shift_to_now {
        shift_to(now, &sources, &options.mapping)?
    } else {
        0
    };
    let kept = options.target.retention();
    let since = |days: fn(&Retention) -> u32| {
        let kept = kept.as_ref();
        kept.map_or(i64::MIN, |kept| now - i64::from(days(kept)) * MICROS_A_DAY)
    };
    let kept_since = KeptSince {
        metrics: since(|kept| kept.metrics_days),
        audits: since(|kept| kept.audit_days),
    };
    let progress = progress_bar(&sources);
    producer.tell_of_waiting({
        let progress = progress.clone();
        move |in_flight| tell_of_waiting(&progress, in_flight)
    });
    let started = Instant::now();
    let mut ids = EventIds::default();
    let mut reports = Vec::new();
    let mut refused = None;
    for source in &sources {
        let mut sending = Sending::new(&mut producer, &mut ids, shift, kept_since, source, &progress);
        let result = read(source, &options.mapping, &progress, &mut sending);
        let report;
        (report, refused) = sending.close(result.err().map(|error| error.to_string()));
        reports.push(report);
        if refused.is_some() {
            break;
        }
    }
    let delivered = finish(&producer, &progress);
    progress.finish_and_clear();
    summarize(&reports, &kafka.bootstrap, started.elapsed());
    warn_of_rejection(&reports);
    warn_of_ids(&reports, &ids);
    if let Some(kept) = kept {
        warn_of_age(&reports, &kept);
    }
    if let Some(error) = refused {
        return Err(error.into());
    }
    verdict(&reports, &delivered)
}

/// Counts the bytes of all files; a spinner where the size of one is unknown.
fn progress_bar(sources: &[Source]) -> ProgressBar {
    let bytes: Option<u64> = sources.iter().map(Source::bytes).sum();
    let template = "{bar:30} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
    let (bar, template) = match bytes {
        Some(bytes) => (ProgressBar::new(bytes), template),
        None => (ProgressBar::new_spinner(), "{spinner} {bytes}, {bytes_per_sec}"),
    };
    // The template is a constant: a mistake in it would only cost the bar's looks.
    bar.with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Waits until every record is acknowledged, or given up where the user's `message.timeout.ms` says so.
fn finish(producer: &Producer, progress: &ProgressBar) -> Delivered {
    while !producer.finish(WAITING_TOLD) {
        tell_of_waiting(progress, producer.in_flight());
    }
    producer.delivered()
}

fn tell_of_waiting(progress: &ProgressBar, in_flight: u64) {
    progress.suspend(|| eprintln!("waiting for kafka: {in_flight} records are not acknowledged yet"));
}

fn summarize(reports: &[FileReport], bootstrap: &str, elapsed: Duration) {
    for report in reports {
        println!("{}", report.summary());
    }
    let (metrics, audits) = totals(reports);
    let skipped: u64 = reports.iter().flat_map(|report| report.skipped.values()).sum();
    let seconds = elapsed.as_secs_f64();
    let rate = (metrics + audits) as f64 / seconds.max(1e-3);
    println!(
        "sent {} to {bootstrap} in {seconds:.1} s ({rate:.0}/s), skipped {skipped}",
        sent(metrics, audits)
    );
}

/// Sent does not mean stored.
fn warn_of_rejection(reports: &[FileReport]) {
    let mut rejections: BTreeMap<&'static str, u64> = BTreeMap::new();
    for (reason, count) in reports.iter().flat_map(|report| &report.rejections) {
        *rejections.entry(*reason).or_default() += count;
    }
    if !rejections.is_empty() {
        eprintln!(
            "warning: {} records will be rejected ({}): they go to the table rejected_records",
            rejections.values().sum::<u64>(),
            by_reason(&rejections)
        );
    }
}

/// Of the events of one id only one is shown.
fn warn_of_ids(reports: &[FileReport], ids: &EventIds) {
    let hidden: u64 = reports.iter().map(|report| report.hidden).sum();
    if hidden > 0 {
        eprintln!(
            "warning: {hidden} audit events have the id of an earlier one that says something else, and of the events of \
             one id only one is shown: the id probably names a request or a session; put it into `request_id` or \
             `session_id`, and leave `event_id` out, so that each event gets an id made of its contents"
        );
    }
    if ids.not_remembered > 0 {
        eprintln!(
            "warning: {} audit events were compared with the first {COMPARED_MAX} ids only; others may share an id",
            ids.not_remembered
        );
    }
}

/// Nobody wants to import history that is deleted a minute later.
fn warn_of_age(reports: &[FileReport], kept: &Retention) {
    let metrics: u64 = reports.iter().map(|report| report.expired_metrics).sum();
    let audits: u64 = reports.iter().map(|report| report.expired_audits).sum();
    if metrics > 0 {
        eprintln!(
            "warning: {metrics} metric samples are older than {} days: this stack deletes them and, later, their \
             hourly aggregates; to keep history, start a new stack with `horolog up --keep-all`, or import with \
             --shift-to-now",
            kept.metrics_days
        );
    }
    if audits > 0 {
        eprintln!(
            "warning: {audits} audit events are older than {} days: this stack deletes them; to keep history, start a \
             new stack with `horolog up --keep-all`",
            kept.audit_days
        );
    }
}

fn totals(reports: &[FileReport]) -> (u64, u64) {
    (
        reports.iter().map(|report| report.metrics).sum(),
        reports.iter().map(|report| report.audits).sum(),
    )
}

fn verdict(reports: &[FileReport], delivered: &Delivered) -> anyhow::Result<()> {
    if delivered.failed > 0 {
        let reason = delivered.first_error.as_deref().unwrap_or("unknown");
        bail!("kafka did not accept {} of the records: {reason}", delivered.failed);
    }
    let (metrics, audits) = totals(reports);
    assert_eq!(
        delivered.delivered,
        metrics + audits,
        "every record that was sent is delivered or given up"
    );
    let unread = reports.iter().filter(|report| report.failure.is_some()).count();
    ensure!(
        unread == 0,
        "{unread} of {} files could not be read to their end",
        reports.len()
    );
    ensure!(delivered.delivered > 0, "nothing was sent");
    let barren: Vec<&str> = (reports.iter().filter(|report| report.is_barren()))
        .map(|report| report.name.as_str())
        .collect();
    ensure!(
        barren.is_empty(),
        "no line could be read as a record in {}",
        barren.join(", ")
    );
    Ok(())
}
