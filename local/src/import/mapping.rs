//! What the user says about the records of a file, and what the file's name says about them.
//!
//! Enters: flags and a path. Leaves: the values that a format's parser fills in where the file itself is silent.
//! Guarantees that every source has a folder and a stem, even if empty. Never opens the file.

use std::collections::BTreeMap;
use std::path::Path;

use clap::{Args, ValueEnum};
use horolog_schemas::{MetricSample, MetricType};

use super::numbers::Numbers;
use super::times::Times;

/// How records are written in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A header with a time column and a column `value`; one metric a file.
    MetricsCsv,
    /// A header with a time column, a column `value`, and columns that describe the value: one sample per line.
    MetricsLong,
    /// A header with a time column; every other column of numbers is a series.
    MetricsWide,
    /// AWS CloudTrail: files as delivered ({"Records": […]}), what `aws cloudtrail lookup-events` prints, or events as such.
    Cloudtrail,
    /// The Windows event log, channel Security: flat JSON objects, one a line or in an array, as NXLog writes it or Sentinel exports
    /// it.
    WindowsEvents,
    /// JSON objects with the field names of Horolog's own records: one a line, or in arrays.
    Ndjson,
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::MetricsCsv => "metrics-csv",
            Self::MetricsLong => "metrics-long",
            Self::MetricsWide => "metrics-wide",
            Self::Cloudtrail => "cloudtrail",
            Self::WindowsEvents => "windows-events",
            Self::Ndjson => "ndjson",
        })
    }
}

/// What the columns of a wide file stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Columns {
    /// A column is a metric, named by its header, with the unit that the header has in parentheses.
    Metrics,
    /// A column is a service, named by its header; all of them have the metric that the file is named after.
    Services,
}

/// Which record an object of NDJSON is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum NdjsonKind {
    /// A metric sample.
    Metric,
    /// An audit event.
    Audit,
}

/// The type of imported metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ImportedType {
    /// Grows, and starts again at zero.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Each value is one observation of a distribution.
    Histogram,
}

impl ImportedType {
    /// Reads it as written in a column, in upper or lower case.
    pub(super) fn read(text: &str) -> Option<Self> {
        Self::from_str(text, true).ok()
    }
}

impl From<ImportedType> for MetricType {
    fn from(imported: ImportedType) -> Self {
        match imported {
            ImportedType::Counter => Self::Counter,
            ImportedType::Gauge => Self::Gauge,
            ImportedType::Histogram => Self::Histogram,
        }
    }
}

/// The flags that say how a file becomes records.
#[derive(Debug, Clone, Args)]
pub struct Mapping {
    /// Format of the files; by default detected for each file from its first bytes.
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// The tenant of the records; records that name a tenant keep theirs.
    #[arg(long, default_value = "demo", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub tenant: String,
    /// Service of the records (service_id) [default: the column of --service-column, a pod or service column, else the
    /// folder's name for CSV; the AWS service for CloudTrail, the computer for events of Windows].
    #[arg(long)]
    pub service: Option<String>,
    /// Header of the column of CSV that says the service [default: a pod or service column].
    #[arg(long, conflicts_with = "service")]
    pub service_column: Option<String>,
    /// Environment of metrics that name none; those that name one keep theirs.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub environment: String,
    /// Name of the metric (metric_name) [default: a column `metric`, `metric_name` or `__name__`, the columns' headers for
    /// wide files, else the file's name without its extension].
    #[arg(long)]
    pub metric: Option<String>,
    /// Unit of the values [default: for wide files what the column's header has in parentheses, otherwise none].
    #[arg(long)]
    pub unit: Option<String>,
    /// Type of the metrics that name none.
    #[arg(long, value_enum, default_value_t = ImportedType::Gauge)]
    pub metric_type: ImportedType,
    /// Header of the time column. Where the date and the time of day stand in two, give it for each, the date first
    /// [default: the first of time, timestamp, datetime, date time, date_time, date, @timestamp, in any case; of date
    /// and time both, if the second holds no date].
    #[arg(long)]
    pub time_column: Vec<String>,
    #[command(flatten)]
    pub times: Times,
    #[command(flatten)]
    pub numbers: Numbers,
    /// What the columns of a wide file are [default: metrics where there is a pod or service column or --service is given,
    /// otherwise services].
    #[arg(long, value_enum)]
    pub columns: Option<Columns>,
    /// What the objects of an NDJSON file are [default: those with a metric_name are metrics, those with an action
    /// audit events].
    #[arg(long, value_enum)]
    pub kind: Option<NdjsonKind>,
}

impl Mapping {
    /// A sample with everything that is the same for all samples of a file; time and value are still to be set.
    pub(crate) fn sample(&self, source: &SourceName) -> MetricSample {
        MetricSample {
            tenant_id: self.tenant.clone(),
            metric_name: self.metric.clone().unwrap_or_else(|| source.stem.clone()),
            metric_type: self.metric_type.into(),
            service_id: self.service.clone().unwrap_or_else(|| source.folder.clone()),
            environment: self.environment.clone(),
            unit: self.unit.clone().unwrap_or_default(),
            labels: BTreeMap::from([("source_file".to_owned(), source.label.clone())]),
            ..MetricSample::default()
        }
    }
}

/// What is known of a source by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceName {
    /// Name of the folder it lies in.
    pub folder: String,
    /// File name without `.gz` and without its extension.
    pub stem: String,
    /// Folder and file name, as the label `source_file` has them: the same wherever the folder itself lies.
    pub label: String,
}

impl SourceName {
    /// The standard input, which has no name.
    pub fn stdin() -> Self {
        Self {
            folder: String::new(),
            stem: "stdin".to_owned(),
            label: "stdin".to_owned(),
        }
    }

    /// A file by its absolute path.
    pub fn of(path: &Path) -> Self {
        let text = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
        let folder = text(path.parent().and_then(Path::file_name));
        let file = text(path.file_name());
        let plain = file.strip_suffix(".gz").unwrap_or(&file);
        let stem = plain.rsplit_once('.').map_or(plain, |(stem, _)| stem).to_owned();
        let label = if folder.is_empty() {
            file
        } else {
            format!("{folder}/{file}")
        };
        Self { folder, stem, label }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_gives_folder_stem_and_label() {
        let name = SourceName::of(Path::new("/data/web/cpu.load_1.csv.gz"));
        assert_eq!((name.folder.as_str(), name.stem.as_str()), ("web", "cpu.load_1"));
        assert_eq!(name.label, "web/cpu.load_1.csv.gz");
        let name = SourceName::of(Path::new("/plain"));
        assert_eq!(
            (name.folder.as_str(), name.stem.as_str(), name.label.as_str()),
            ("", "plain", "plain")
        );
    }
}
