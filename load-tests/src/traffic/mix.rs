//! The properties of a run's records: command-line options that are also written into the results.
//!
//! Shares are between 0 and 1. The defaults are metrics only, all valid.

use std::num::NonZeroUsize;
use std::time::Duration;

use clap::Parser;
use serde::{Deserialize, Serialize};

use crate::span;

/// How many bytes to add to each record, drawn uniformly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByteRange {
    /// Least.
    pub min: usize,
    /// Most.
    pub max: usize,
}

/// Larger values do not fit into a record.
const EXTRA_BYTES_MAX: usize = 900_000;

/// The properties of the records.
#[derive(Debug, Clone, PartialEq, Parser, Serialize, Deserialize)]
#[command(next_help_heading = "Records")]
pub struct Mix {
    /// Share of audit events; the rest are metric samples.
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = share)]
    pub audit: f64,
    /// Cardinality: number of metric series, used in turn.
    #[arg(long, value_name = "COUNT", default_value = "700", value_parser = count)]
    pub series: NonZeroUsize,
    /// Number of tenants.
    #[arg(long, value_name = "COUNT", default_value = "1", value_parser = count)]
    pub tenants: NonZeroUsize,
    /// Number of Kafka keys (services, and resources of audit events) [default: one per 12 series].
    #[arg(long, value_name = "COUNT")]
    pub keys: Option<NonZeroUsize>,
    /// Labels per metric sample, and metadata entries per audit event.
    #[arg(long, value_name = "COUNT", default_value_t = 2, value_parser = labels)]
    pub labels: usize,
    /// Random text added to each record: `500`, or `0..2000` for a random length.
    #[arg(long, value_name = "BYTES", default_value = "0", value_parser = byte_range)]
    pub extra_bytes: ByteRange,
    /// Share of records with a time in the past.
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = share)]
    pub disorder: f64,
    /// Maximum age of such records.
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = span::parse)]
    #[serde(with = "seconds")]
    pub disorder_max: Duration,
    /// Share of records that are sent twice.
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = share)]
    pub duplicates: f64,
    /// Share of records that the pipeline must reject.
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = share)]
    pub bad: f64,
}

impl Default for Mix {
    /// The defaults of the command line.
    fn default() -> Self {
        Self::parse_from([""])
    }
}

/// More do not fit into memory: a series takes about a kilobyte.
const COUNT_MAX: usize = 5_000_000;

fn count(text: &str) -> Result<NonZeroUsize, String> {
    let count = text
        .parse::<NonZeroUsize>()
        .ok()
        .filter(|count| count.get() <= COUNT_MAX);
    count.ok_or_else(|| format!("`{text}` is not a number from 1 to {COUNT_MAX}"))
}

/// Parses a number from 0 to 1.
pub fn share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| format!("`{text}` is not a share between 0 and 1"))
}

fn labels(text: &str) -> Result<usize, String> {
    let labels = text.parse().ok().filter(|labels| *labels <= 64);
    labels.ok_or_else(|| format!("`{text}` is not a number of labels up to 64"))
}

fn byte_range(text: &str) -> Result<ByteRange, String> {
    let (min, max) = text.split_once("..").unwrap_or((text, text));
    let range = match (min.parse(), max.parse()) {
        (Ok(min), Ok(max)) if min <= max && max <= EXTRA_BYTES_MAX => Some(ByteRange { min, max }),
        _ => None,
    };
    range.ok_or_else(|| format!("`{text}` is not a number of bytes up to {EXTRA_BYTES_MAX}; write 500 or 0..2000"))
}

/// Serialises a duration as a number of seconds.
pub mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// Writes it.
    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(duration.as_secs_f64())
    }

    /// Reads it.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_between_nothing_and_all() {
        assert_eq!(share("0.25"), Ok(0.25));
        for text in ["-0.1", "1.1", "NaN", "half"] {
            assert!(share(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_a_number_or_a_range() {
        assert_eq!(byte_range("500"), Ok(ByteRange { min: 500, max: 500 }));
        assert_eq!(byte_range("0..2000"), Ok(ByteRange { min: 0, max: 2_000 }));
        for text in ["", "5..1", "-1", "1000000", "1..2..3"] {
            assert!(byte_range(text).is_err(), "{text}");
        }
    }
}
