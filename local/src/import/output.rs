//! What a parser yields: records, and reasons for what did not become one.
//!
//! Enters: nothing. Leaves: [`Output`], the one way out of every parser, and [`Skip`], the closed list of reasons. A
//! parser never fails and never prints; the listener decides whether a skip is shown, counted, or ends the run.

use horolog_schemas::{AuditEvent, MetricSample};

use super::numbers::has_decimal_comma;

/// The receiver of everything that a parser finds. The records are borrowed: a parser fills the same one again and again.
pub trait Output {
    /// A metric sample was read.
    fn metric(&mut self, sample: &MetricSample);
    /// An audit event was read.
    fn audit(&mut self, event: &AuditEvent);
    /// Something did not become a record.
    fn skip(&mut self, skip: Skip);
}

/// Why something did not become a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Skip {
    /// No observation was made: nothing is wrong with the line.
    #[error("empty cell")]
    EmptyCell,
    /// An event of Windows that is not of its audit trail: nothing is wrong with it.
    #[error("event from the channel `{channel}`, which is not the audit trail")]
    OtherChannel {
        /// The text as found, cut to a readable length.
        channel: String,
    },
    /// Longer than a line may be; it was not read into memory.
    #[error("the line is longer than {bytes_max} bytes")]
    LineTooLong {
        /// The bound.
        bytes_max: usize,
    },
    /// A record that Kafka's client does not send.
    #[error("a record of {bytes} bytes exceeds message.max.bytes of the producer")]
    RecordTooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Not text.
    #[error("the line is not UTF-8")]
    NotUtf8,
    /// A field with a line break in it, or a quote that is never closed.
    #[error("the line ends inside quotes; a field cannot contain a line break")]
    OpenQuote,
    /// Not as many cells as the header has.
    #[error("{found} columns instead of {expected}")]
    Columns {
        /// As in the header.
        expected: usize,
        /// As in the line.
        found: usize,
    },
    /// A time in none of the forms that are read.
    #[error("`{text}` in `{field}` is not a time; {}", how_to_write_times(.text, .format.as_deref()))]
    Time {
        /// The column or field.
        field: String,
        /// The text as found, cut to a readable length.
        text: String,
        /// The form that the user demanded.
        format: Option<String>,
    },
    /// A value that is not a number.
    #[error("`{text}` in column `{column}` is not a number; {}", how_to_write_numbers(.text))]
    Number {
        /// The column or field.
        column: String,
        /// The text as found, cut to a readable length.
        text: String,
    },
    /// A number in a column that was empty in the first lines, so that the file was taken for one with one sample per
    /// line.
    #[error(
        "column `{column}` is empty in the first lines but has a number here; use --format metrics-wide if it is a \
         series, metrics-long if it is a label"
    )]
    LateNumber {
        /// The column.
        column: String,
    },
    /// An unknown metric type in the column for it.
    #[error("`{text}` is not a metric type; use counter, gauge or histogram")]
    MetricType {
        /// The text as found, cut to a readable length.
        text: String,
    },
    /// JSON that does not parse, or not to this kind of record.
    #[error("{detail}")]
    Json {
        /// What is wrong, and with which field.
        detail: String,
    },
    /// A field that a record cannot be without.
    #[error("the field `{field}` is missing")]
    MissingField {
        /// Its name.
        field: String,
    },
    /// An object that is neither a metric sample nor an audit event.
    #[error("{}", not_ours(.found))]
    UnknownKind {
        /// Its fields, as far as they are told.
        found: Vec<String>,
    },
    /// An object that is both.
    #[error("it has metric_name and action; say with --kind metric or --kind audit which record it is")]
    BothKinds,
}

impl Skip {
    /// A record without this field.
    pub fn missing(field: &str) -> Self {
        let field = field.to_owned();
        Self::MissingField { field }
    }

    /// The reason by which skips are counted.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::EmptyCell => "empty cell",
            Self::OtherChannel { .. } => "event from a channel other than Security",
            Self::LineTooLong { .. } => "line too long",
            Self::RecordTooLarge { .. } => "record too large",
            Self::NotUtf8 => "not UTF-8",
            Self::OpenQuote => "unclosed quote",
            Self::Columns { .. } => "wrong number of columns",
            Self::Time { .. } => "invalid time",
            Self::Number { .. } => "invalid number",
            Self::LateNumber { .. } => "number in a column that was empty before",
            Self::MetricType { .. } => "unknown metric type",
            Self::Json { .. } => "malformed JSON",
            Self::MissingField { .. } => "missing field",
            Self::UnknownKind { .. } | Self::BothKinds => "unknown kind of record",
        }
    }

    /// Whether the input is at fault. Such skips are reported with their line; the others are only counted.
    pub fn is_malformed(&self) -> bool {
        !matches!(self, Self::EmptyCell | Self::OtherChannel { .. })
    }
}

fn how_to_write_times(text: &str, format: Option<&str>) -> String {
    let is_of_day = text.len() <= "10:00:00.123456 AM".len() && text.contains(':') && !text.contains(['-', '/', 'T']);
    match format {
        _ if is_of_day => {
            "it has no date; name the column of its date as well: --time-column DATE --time-column TIME".to_owned()
        }
        Some(format) => format!("it is not written as --time-format says: {format}"),
        None => "use 2024-05-01, 2024-05-01 10:00, RFC 3339 or a number since 1970, or say how it is written, as in \
                 --time-format '%d.%m.%Y %H:%M:%S'"
            .to_owned(),
    }
}

fn how_to_write_numbers(text: &str) -> &'static str {
    if has_decimal_comma(text) {
        "say --decimal comma if its comma is the decimal sign"
    } else {
        "write it as 1234.5"
    }
}

fn not_ours(found: &[String]) -> String {
    let fields = match found {
        [] => "it has no fields".to_owned(),
        found => format!("its fields are {}", found.join(", ")),
    };
    format!(
        "neither a metric sample (metric_name) nor an audit event (action): {fields}; give them our names with jq, as in \
         `jq -c '{{occurred_at: .WHEN, action: .WHAT, user_id: .WHO, metadata: .}}' FILE`"
    )
}

/// Foreign text as it goes into a message: on one line, and short.
pub(crate) fn excerpt(text: &str) -> String {
    const CHARACTERS_MAX: usize = 60;
    let mut characters = text.chars();
    let mut short: String = characters
        .by_ref()
        .take(CHARACTERS_MAX)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if characters.next().is_some() {
        short.push('…');
    }
    short
}

/// An [`Output`] that keeps everything, for the parsers' tests.
#[cfg(test)]
#[derive(Debug, Default)]
pub(crate) struct Collected {
    pub metrics: Vec<MetricSample>,
    pub audits: Vec<AuditEvent>,
    pub skips: Vec<Skip>,
}

#[cfg(test)]
impl Output for Collected {
    fn metric(&mut self, sample: &MetricSample) {
        self.metrics.push(sample.clone());
    }
    fn audit(&mut self, event: &AuditEvent) {
        self.audits.push(event.clone());
    }
    fn skip(&mut self, skip: Skip) {
        self.skips.push(skip);
    }
}
