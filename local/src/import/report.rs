//! What became of the lines of a file, for the user.
//!
//! Enters: counts and skips with their place. Leaves: the first malformed lines in full on standard error, and a summary of
//! sent and skipped by reason. Guarantees that nothing is skipped without being counted.

use std::collections::BTreeMap;

use horolog_schemas::Reason;
use indicatif::ProgressBar;

use super::output::Skip;

/// Malformed lines that are shown in full, for each file.
pub const SHOWN_MAX: u64 = 20;

/// The account of one file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileReport {
    /// The file as the user wrote it.
    pub name: String,
    /// Metric samples given to Kafka.
    pub metrics: u64,
    /// Audit events given to Kafka.
    pub audits: u64,
    /// Audit events that say what an earlier event of their id said.
    pub copies: u64,
    /// Audit events that have the id of an earlier event and say something else.
    pub hidden: u64,
    /// Metric samples older than what is kept.
    pub expired_metrics: u64,
    /// Audit events older than what is kept.
    pub expired_audits: u64,
    /// Records given to Kafka that the pipeline will reject, by the code of the reason.
    pub rejections: BTreeMap<&'static str, u64>,
    /// What did not become a record, by reason.
    pub skipped: BTreeMap<&'static str, u64>,
    /// Why the file was not read to its end.
    pub failure: Option<String>,
    malformed: u64,
}

impl FileReport {
    /// An empty account.
    pub fn new(name: String) -> Self {
        Self {
            name,
            ..Self::default()
        }
    }

    /// Counts a record that will be rejected.
    pub fn rejection(&mut self, reason: Reason) {
        *self.rejections.entry(reason.as_str()).or_default() += 1;
    }

    /// Counts a skip, and shows the first few.
    pub fn skip(&mut self, line: u64, skip: &Skip, progress: &ProgressBar) {
        *self.skipped.entry(skip.reason()).or_default() += 1;
        if !skip.is_malformed() {
            return;
        }
        self.malformed += 1;
        if self.malformed <= SHOWN_MAX {
            progress.suspend(|| eprintln!("{}:{line}: {skip}", self.name));
        }
        if self.malformed == SHOWN_MAX {
            progress.suspend(|| eprintln!("{}: further malformed lines are only counted", self.name));
        }
    }

    /// Whether lines were malformed and not one became a record.
    pub fn is_barren(&self) -> bool {
        self.metrics + self.audits == 0 && self.malformed > 0
    }

    /// One line: what was sent, what was skipped and why.
    pub fn summary(&self) -> String {
        if let (Some(failure), 0, true) = (&self.failure, self.metrics + self.audits, self.skipped.is_empty()) {
            return format!("{}: not read: {failure}", self.name);
        }
        let mut summary = format!("{}: sent {}", self.name, sent(self.metrics, self.audits));
        let expired = self.expired_metrics + self.expired_audits;
        if expired > 0 {
            summary.push_str(&format!(" ({expired} too old to be kept)"));
        }
        if self.copies > 0 {
            summary.push_str(&format!(" ({} repeat an earlier one and count once)", self.copies));
        }
        if self.hidden > 0 {
            summary.push_str(&format!(
                " ({} have the id of an earlier one that says something else)",
                self.hidden
            ));
        }
        if !self.rejections.is_empty() {
            summary.push_str(&format!(" (to be rejected: {})", by_reason(&self.rejections)));
        }
        if !self.skipped.is_empty() {
            summary.push_str(&format!(
                ", skipped {} ({})",
                self.skipped.values().sum::<u64>(),
                by_reason(&self.skipped)
            ));
        }
        if let Some(failure) = &self.failure {
            summary.push_str(&format!(", not read to its end: {failure}"));
        }
        summary
    }
}

/// Counts by reason, in words.
pub fn by_reason(counts: &BTreeMap<&'static str, u64>) -> String {
    let words: Vec<String> = (counts.iter())
        .map(|(reason, count)| format!("{reason} {count}"))
        .collect();
    words.join(", ")
}

/// Counts by kind, in words.
pub fn sent(metrics: u64, audits: u64) -> String {
    match (metrics, audits) {
        (0, 0) => "nothing".to_owned(),
        (metrics, 0) => format!("{metrics} metric samples"),
        (0, audits) => format!("{audits} audit events"),
        (metrics, audits) => format!("{metrics} metric samples and {audits} audit events"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_names_every_reason() {
        let mut report = FileReport::new("a.csv".to_owned());
        let hidden = ProgressBar::hidden();
        assert_eq!(report.summary(), "a.csv: sent nothing");
        (report.metrics, report.expired_metrics) = (4, 2);
        report.rejection(Reason::ValueNotFinite);
        report.rejection(Reason::TimeTooEarly);
        report.skip(2, &Skip::EmptyCell, &hidden);
        report.skip(3, &Skip::EmptyCell, &hidden);
        report.skip(4, &Skip::NotUtf8, &hidden);
        assert_eq!(
            report.summary(),
            "a.csv: sent 4 metric samples (2 too old to be kept) (to be rejected: time_too_early 1, value_not_finite 1), \
             skipped 3 (empty cell 2, not UTF-8 1)"
        );
    }

    #[test]
    fn events_that_share_an_id_are_told() {
        let mut report = FileReport::new("a.json".to_owned());
        (report.audits, report.copies, report.hidden) = (9, 2, 3);
        assert_eq!(
            report.summary(),
            "a.json: sent 9 audit events (2 repeat an earlier one and count once) (3 have the id of an earlier one that \
             says something else)"
        );
    }

    #[test]
    fn a_file_of_nothing_but_malformed_lines_is_barren() {
        let mut report = FileReport::new("a.csv".to_owned());
        let hidden = ProgressBar::hidden();
        report.skip(2, &Skip::EmptyCell, &hidden);
        assert!(!report.is_barren(), "an empty cell is no fault");
        report.skip(3, &Skip::NotUtf8, &hidden);
        assert!(report.is_barren());
        report.metrics = 1;
        assert!(!report.is_barren());
    }
}
