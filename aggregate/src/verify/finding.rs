//! What a verification finds, and how it is reported: a line each to people, JSON to programs.

use horolog_stage::steering::steers;
use serde::Serialize;

use crate::scope::show_hour;

/// A range of offsets of a log, with what was counted in it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Span {
    /// Topic and partition.
    pub log: String,
    /// Life of the log.
    pub log_epoch: u32,
    /// First offset.
    pub start: i64,
    /// Offset after the last.
    pub end: i64,
    /// Records that the ledger counts in it; `None` if no batch of the ledger is concerned.
    pub ledger: Option<u64>,
    /// Raw rows in it.
    pub raw: u64,
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} offsets {}-{}", self.log, self.start, self.end)?;
        match self.ledger {
            Some(ledger) => write!(f, " (ledger {ledger}, raw rows {})", self.raw),
            None => write!(f, " (raw rows {})", self.raw),
        }
    }
}

/// Something that should be equal and is not.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "check", rename_all = "snake_case")]
pub enum Finding {
    /// A key of an hour against the raw rows.
    HourAgainstRaw {
        /// Start of the hour, seconds since 1970.
        #[serde(serialize_with = "as_hour")]
        hour: u32,
        /// The key: tenant, metric, service, plugin, environment, team, type, unit.
        key: Vec<String>,
        /// Count of the hour and of the raw rows.
        count: (u64, u64),
        /// Likewise the sum.
        sum: (f64, f64),
        /// Whether extremes, last value or distribution differ.
        values_differ: bool,
        /// Where the key's raw rows come from.
        offsets: Vec<Span>,
    },
    /// An hour as a whole against the ledger of the aggregate stage.
    HourAgainstLedger {
        /// Start of the hour, seconds since 1970.
        #[serde(serialize_with = "as_hour")]
        hour: u32,
        /// Count of the hour and of the ledger.
        count: (u64, u64),
        /// Likewise of the late records.
        late: (u64, u64),
        /// The batches that the ledger has.
        offsets: Vec<Span>,
    },
    /// The raw rows of an hour against the ledger of the aggregate stage.
    RawAgainstLedger {
        /// Start of the hour, seconds since 1970.
        #[serde(serialize_with = "as_hour")]
        hour: u32,
        /// Raw rows and count of the ledger.
        count: (u64, u64),
        /// The batches that differ.
        offsets: Vec<Span>,
    },
    /// Offsets that are stored as raw rows more than once.
    RawDoubled {
        /// Start of the hour, seconds since 1970.
        #[serde(serialize_with = "as_hour")]
        hour: u32,
        /// Where.
        offsets: Vec<Span>,
    },
    /// Offsets that no row of a stage's ledger covers, or two.
    Ledger {
        /// The stage.
        stage: String,
        /// What is wrong: `gap` or `overlap`.
        what: &'static str,
        /// Which offsets.
        offsets: Span,
    },
    /// A stage's ledger against the log and the group's commits.
    Log {
        /// The stage.
        stage: String,
        /// Topic and partition.
        log: String,
        /// What is wrong.
        what: String,
    },
}

fn as_hour<S: serde::Serializer>(hour: &u32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&show_hour(*hour))
}

/// The comparisons, as labels of a metric.
pub const CHECKS: [&str; 6] = [
    "hour_against_raw",
    "hour_against_ledger",
    "raw_against_ledger",
    "raw_doubled",
    "ledger",
    "log",
];

impl Finding {
    /// The hour that differs, if the finding is about one.
    pub fn hour(&self) -> Option<u32> {
        match self {
            Self::HourAgainstRaw { hour, .. }
            | Self::HourAgainstLedger { hour, .. }
            | Self::RawAgainstLedger { hour, .. }
            | Self::RawDoubled { hour, .. } => Some(*hour),
            Self::Ledger { .. } | Self::Log { .. } => None,
        }
    }

    /// The finding without its sums, whose last bits differ each time they are added up.
    pub fn without_sums(&self) -> Self {
        let mut finding = self.clone();
        if let Self::HourAgainstRaw { sum, .. } = &mut finding {
            *sum = (0.0, 0.0);
        }
        finding
    }

    /// What was compared: one of [`CHECKS`].
    pub fn check(&self) -> &'static str {
        match self {
            Self::HourAgainstRaw { .. } => "hour_against_raw",
            Self::HourAgainstLedger { .. } => "hour_against_ledger",
            Self::RawAgainstLedger { .. } => "raw_against_ledger",
            Self::RawDoubled { .. } => "raw_doubled",
            Self::Ledger { .. } => "ledger",
            Self::Log { .. } => "log",
        }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::HourAgainstRaw {
                hour,
                key,
                count,
                sum,
                values_differ,
                offsets,
            } => {
                write!(
                    f,
                    "{} {}: count {}, raw rows {}",
                    show_hour(*hour),
                    shown(&key.join("/")),
                    count.0,
                    count.1
                )?;
                write!(f, "; sum {}, of raw rows {}", sum.0, sum.1)?;
                if *values_differ {
                    write!(f, "; min, max, last or distribution differ")?;
                }
                spans(f, offsets)
            }
            Self::HourAgainstLedger {
                hour,
                count,
                late,
                offsets,
            } => {
                write!(f, "{}: count {}, ledger {}", show_hour(*hour), count.0, count.1)?;
                if late.0 != late.1 {
                    write!(f, "; late {}, ledger {}", late.0, late.1)?;
                }
                spans(f, offsets)
            }
            Self::RawAgainstLedger { hour, count, offsets } => {
                write!(f, "{}: raw rows {}, ledger {}", show_hour(*hour), count.0, count.1)?;
                spans(f, offsets)
            }
            Self::RawDoubled { hour, offsets } => {
                write!(f, "{}: raw rows are stored more than once", show_hour(*hour))?;
                spans(f, offsets)
            }
            Self::Ledger { stage, what, offsets } => write!(f, "the ledger of {stage} has a {what}: {offsets}"),
            Self::Log { stage, log, what } => write!(f, "{stage}, {log}: {what}"),
        }
    }
}

/// Names without characters that steer the terminal: they come from whoever writes to the topic, and could forge a line.
fn shown(names: &str) -> String {
    let mut shown = String::new();
    for c in names.chars() {
        match steers(c) {
            true => shown.extend(c.escape_debug()),
            false => shown.push(c),
        }
    }
    shown
}

fn spans(f: &mut std::fmt::Formatter<'_>, spans: &[Span]) -> std::fmt::Result {
    for (number, span) in spans.iter().enumerate() {
        write!(f, "{} {span}", if number == 0 { ";" } else { "," })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_key(name: &str, sum: f64) -> Finding {
        Finding::HourAgainstRaw {
            hour: 0,
            key: vec![name.to_owned(), "größe".to_owned()],
            count: (1, 1),
            sum: (sum, 0.5),
            values_differ: false,
            offsets: Vec::new(),
        }
    }

    #[test]
    fn a_name_stays_in_its_line() {
        assert_eq!(
            of_key("a\ndiffers: \u{1b}[2J", 1.0).to_string(),
            "1970-01-01T00:00:00Z a\\ndiffers: \\u{1b}[2J/größe: count 1, raw rows 1; sum 1, of raw rows 0.5"
        );
    }

    #[test]
    fn a_finding_is_the_same_whatever_the_last_bits_of_its_sums() {
        let (once, again) = (of_key("a", 0.1 + 0.2), of_key("a", 0.3));
        assert_ne!(once, again);
        assert_eq!(once.without_sums(), again.without_sums());
        assert_ne!(once.without_sums(), of_key("b", 0.3).without_sums());
    }

    #[test]
    fn each_check_is_a_label_and_is_called_the_same_in_json() {
        let offsets = Span {
            log: String::new(),
            log_epoch: 0,
            start: 0,
            end: 0,
            ledger: None,
            raw: 0,
        };
        let findings = [
            Finding::HourAgainstRaw {
                hour: 0,
                key: Vec::new(),
                count: (0, 0),
                sum: (0.0, 0.0),
                values_differ: false,
                offsets: Vec::new(),
            },
            Finding::HourAgainstLedger {
                hour: 0,
                count: (0, 0),
                late: (0, 0),
                offsets: Vec::new(),
            },
            Finding::RawAgainstLedger {
                hour: 0,
                count: (0, 0),
                offsets: Vec::new(),
            },
            Finding::RawDoubled {
                hour: 0,
                offsets: Vec::new(),
            },
            Finding::Ledger {
                stage: String::new(),
                what: "gap",
                offsets,
            },
            Finding::Log {
                stage: String::new(),
                log: String::new(),
                what: String::new(),
            },
        ];
        assert_eq!(findings.each_ref().map(Finding::check), CHECKS);
        for finding in findings {
            assert_eq!(serde_json::to_value(&finding).unwrap()["check"], finding.check());
        }
    }
}
