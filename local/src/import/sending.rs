//! A file on its way to Kafka.
//!
//! Enters: the records and skips of one file, in their order. Leaves: Kafka records, and the account of the file. A
//! record that is too large costs no other; any other error of Kafka's client ends the import. Never holds back a
//! record that the pipeline will reject: it is counted.

use horolog_schemas::{AuditEvent, MetricSample, RECORD_BYTES_MAX, Reason};
use indicatif::ProgressBar;

use super::detect::Plan;
use super::event_ids::{EventIds, Repeat};
use super::output::{Output, Skip};
use super::reading::Listener;
use super::report::FileReport;
use super::source::Source;
use crate::producer::{ProduceError, Producer};

/// Earlier records are deleted soon. Microseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub struct KeptSince {
    /// Of metric samples.
    pub metrics: i64,
    /// Of audit events.
    pub audits: i64,
}

/// A file on its way to Kafka.
pub struct Sending<'a> {
    producer: &'a mut Producer,
    /// Of the events of all files.
    ids: &'a mut EventIds,
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
    /// Begins a file.
    pub fn new(
        producer: &'a mut Producer,
        ids: &'a mut EventIds,
        shift: i64,
        kept_since: KeptSince,
        source: &Source,
        progress: &'a ProgressBar,
    ) -> Self {
        let report = FileReport::new(source.display());
        Self {
            producer,
            ids,
            shift,
            kept_since,
            shifted: MetricSample::default(),
            report,
            line: 0,
            progress,
            refused: None,
        }
    }

    /// The account of the file, and why nothing more can be sent.
    pub fn close(mut self, failure: Option<String>) -> (FileReport, Option<ProduceError>) {
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
        if sent.is_ok() {
            match self.ids.repeat(event) {
                Some(Repeat::Copy) => self.report.copies += 1,
                Some(Repeat::Other) => self.report.hidden += 1,
                None => {}
            }
        }
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
