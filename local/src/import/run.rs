//! The edges of an import: files in, Kafka out, the clock, and the user who watches.
//!
//! Enters: options. Leaves: records in Kafka, an account on standard output, complaints on standard error. Guarantees that
//! the result is an error when a file could not be read, when nothing was sent, or when Kafka did not take a record.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use horolog_schemas::migrate::Retention;
use horolog_schemas::{AuditEvent, MetricSample, RECORD_BYTES_MAX, Reason};
use indicatif::{ProgressBar, ProgressStyle};

use super::detect::Plan;
use super::options::ImportOptions;
use super::output::{Output, Skip};
use super::reading::{Listener, read};
use super::report::{FileReport, by_reason, sent};
use super::shift::{MICROS_A_DAY, shift_to};
use super::source::Source;
use crate::producer::{Delivered, ProduceError, Producer, WAITING_TOLD};

/// Runs the import to its end.
pub fn run(options: ImportOptions) -> anyhow::Result<()> {
    let sources: Vec<Source> = options.files.iter().map(|path| Source::new(path)).collect();
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
    let mut reports = Vec::new();
    let mut refused = None;
    for source in &sources {
        let mut sending = Sending::new(&mut producer, shift, kept_since, source, &progress);
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
    if let Some(kept) = kept {
        warn_of_age(&reports, &kept);
    }
    if let Some(error) = refused {
        return Err(error.into());
    }
    verdict(&reports, &delivered)
}

/// Earlier records are deleted soon. Microseconds since 1970.
#[derive(Debug, Clone, Copy)]
struct KeptSince {
    metrics: i64,
    audits: i64,
}

/// A file on its way to Kafka.
struct Sending<'a> {
    producer: &'a mut Producer,
    /// Microseconds that metrics are moved by.
    shift: i64,
    kept_since: KeptSince,
    shifted: MetricSample,
    report: FileReport,
    line: u64,
    progress: &'a ProgressBar,
    refused: Option<ProduceError>,
}

impl<'a> Sending<'a> {
    fn new(
        producer: &'a mut Producer,
        shift: i64,
        kept_since: KeptSince,
        source: &Source,
        progress: &'a ProgressBar,
    ) -> Self {
        let report = FileReport::new(source.display());
        Self {
            producer,
            shift,
            kept_since,
            shifted: MetricSample::default(),
            report,
            line: 0,
            progress,
            refused: None,
        }
    }

    fn close(mut self, failure: Option<String>) -> (FileReport, Option<ProduceError>) {
        self.report.failure = failure;
        (self.report, self.refused)
    }

    /// Counts a record that was sent, and whether it is too old, in the counters for its kind.
    fn count(
        &mut self,
        sent: Result<usize, ProduceError>,
        broken: Option<Reason>,
        is_expired: bool,
        counts: fn(&mut FileReport) -> (&mut u64, &mut u64),
    ) {
        let bytes = match sent {
            Ok(bytes) => bytes,
            Err(error) => return self.not_sent(error),
        };
        let (count, expired) = counts(&mut self.report);
        *count += 1;
        match too_large(bytes).or(broken) {
            Some(reason) => self.report.rejection(reason),
            None => *expired += u64::from(is_expired),
        }
    }

    /// A record that is too large affects no other; any other error ends the import.
    fn not_sent(&mut self, error: ProduceError) {
        match error {
            ProduceError::TooLarge { bytes } => self.skip(Skip::RecordTooLarge { bytes }),
            error => self.refused = Some(error),
        }
    }
}

impl Output for Sending<'_> {
    fn metric(&mut self, sample: &MetricSample) {
        let sample = if self.shift == 0 {
            sample
        } else {
            self.shifted.clone_from(sample);
            self.shifted.time = sample.time.saturating_add(self.shift);
            &self.shifted
        };
        let is_expired = sample.time < self.kept_since.metrics;
        let broken = sample.broken_rule(now_ms());
        let sent = self.producer.metric(sample);
        self.count(sent, broken, is_expired, |report| {
            (&mut report.metrics, &mut report.expired_metrics)
        });
    }

    fn audit(&mut self, event: &AuditEvent) {
        let is_expired = event.occurred_at < self.kept_since.audits;
        let broken = event.broken_rule(now_ms());
        let sent = self.producer.audit(event);
        self.count(sent, broken, is_expired, |report| {
            (&mut report.audits, &mut report.expired_audits)
        });
    }

    fn skip(&mut self, skip: Skip) {
        self.report.skip(self.line, &skip, self.progress);
    }
}

/// The broker may accept larger records than the pipeline does.
fn too_large(payload_bytes: usize) -> Option<Reason> {
    (payload_bytes > RECORD_BYTES_MAX).then_some(Reason::RecordTooLarge)
}

/// Approximately the Kafka timestamp of a record that is sent now, in milliseconds since 1970.
fn now_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

impl Listener for Sending<'_> {
    fn understood(&mut self, plan: &Plan) {
        self.progress
            .suspend(|| eprintln!("{}: {}", self.report.name, plan.description()));
    }

    fn at_line(&mut self, line: u64) {
        self.line = line;
    }

    fn wants_more(&self) -> bool {
        self.refused.is_none()
    }
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
