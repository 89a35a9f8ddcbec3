//! Interval logs in the format of HdrHistogram's `HistogramLogWriter`, version 1.3: a compressed histogram per second.
//!
//! Written during the run, so that a killed run leaves what it had. Values are microseconds; the log holds its start
//! time, and intervals count from there.

use std::io::Write;
use std::time::SystemTime;

use hdrhistogram::Histogram;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, IntervalLogWriterBuilder, LogEntry};
use hdrhistogram::serialization::{Deserializer, V2DeflateSerializer};

use crate::latencies::Latencies;
use crate::recorder::Interval;

const VERSION: &str = "[Histogram log format version 1.3]";
const LEGEND: &str = "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"";

/// Writes one log.
pub struct LogWriter<W> {
    to: W,
    serializer: V2DeflateSerializer,
}

impl<W: Write> LogWriter<W> {
    /// Writes the head of the log.
    pub fn new(mut to: W, title: &str, begun: SystemTime) -> std::io::Result<Self> {
        let mut serializer = V2DeflateSerializer::new();
        IntervalLogWriterBuilder::new()
            .add_comment(&format!(
                "[{title}, microseconds, logged with horolog-load {}]",
                env!("CARGO_PKG_VERSION")
            ))
            .add_comment(VERSION)
            .with_start_time(begun)
            .with_base_time(begun)
            .begin_log_with(&mut to, &mut serializer)?;
        writeln!(to, "{LEGEND}")?;
        Ok(Self { to, serializer })
    }

    /// Adds an interval.
    pub fn write(&mut self, interval: &Interval) -> std::io::Result<()> {
        let mut log = IntervalLogWriterBuilder::new().begin_log_with(&mut self.to, &mut self.serializer)?;
        log.write_histogram(interval.latencies.histogram(), interval.begins, interval.length, None)
            .map_err(|error| std::io::Error::other(error.to_string()))?;
        self.to.flush()
    }
}

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A line that does not belong to a log.
    #[error("it is not an HdrHistogram interval log")]
    Line,
    /// A histogram that cannot be decoded.
    #[error("interval {number}: {reason}")]
    Histogram {
        /// Its number, from 1.
        number: usize,
        /// What is wrong.
        reason: String,
    },
    /// A histogram could not be created.
    #[error(transparent)]
    Creation(#[from] hdrhistogram::CreationError),
}

/// All intervals of a log combined, whoever wrote it.
pub fn read_log(text: &[u8]) -> Result<Latencies, LogError> {
    let mut all = Latencies::new()?;
    let mut deserializer = Deserializer::new();
    // The reader does not know the legend.
    let lines: Vec<&[u8]> = text
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.starts_with(b"\""))
        .collect();
    let text = lines.join(&b'\n');
    let mut number = 0;
    for entry in IntervalLogIterator::new(&text) {
        let LogEntry::Interval(interval) = entry.map_err(|_| LogError::Line)? else {
            continue;
        };
        number += 1;
        let wrong = |reason: String| LogError::Histogram { number, reason };
        let bytes = base64::Engine::decode(
            &base64::engine::general_purpose::STANDARD,
            interval.encoded_histogram().trim_end(),
        );
        let bytes = bytes.map_err(|error| wrong(error.to_string()))?;
        let histogram: Histogram<u64> = deserializer
            .deserialize(&mut bytes.as_slice())
            .map_err(|error| wrong(error.to_string()))?;
        all.add(&histogram);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn interval(second: u64, micros: &[u64]) -> Interval {
        let mut latencies = Latencies::new().unwrap();
        for &micros in micros {
            latencies.record(Duration::from_micros(micros));
        }
        Interval {
            begins: Duration::from_secs(second),
            length: Duration::from_secs(1),
            latencies,
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(seconds in prop::collection::vec(prop::collection::vec(1u64..4_000_000_000, 1..40), 0..6)) {
            let mut text = Vec::new();
            let mut log = LogWriter::new(&mut text, "stored", SystemTime::now()).unwrap();
            let mut all = Latencies::new().unwrap();
            for (second, micros) in (0..).zip(&seconds) {
                let interval = interval(second, micros);
                log.write(&interval).unwrap();
                all.add(interval.latencies.histogram());
            }
            prop_assert_eq!(read_log(&text).unwrap().summary(), all.summary());
        }
    }

    #[test]
    fn the_head_is_that_of_hdrhistogram() {
        let mut text = Vec::new();
        let begun = SystemTime::UNIX_EPOCH + Duration::from_millis(1_760_000_000_500);
        LogWriter::new(&mut text, "stored", begun)
            .unwrap()
            .write(&interval(0, &[1_000]))
            .unwrap();
        let text = String::from_utf8(text).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "#[Histogram log format version 1.3]");
        assert!(lines[2].starts_with("#[StartTime: 1760000000.500 "), "{}", lines[2]);
        assert!(lines[3].starts_with("#[BaseTime: 1760000000.500 "), "{}", lines[3]);
        assert_eq!(lines[4], LEGEND);
        assert!(lines[5].starts_with("0.000,1.000,1000"), "{}", lines[5]);
        assert!(lines[5].contains(",HISTFAAA"), "{}", lines[5]);
    }

    #[test]
    fn what_is_no_log_is_refused() {
        assert!(read_log(b"hello, world\n").is_err());
        assert!(read_log(b"0.0,1.0,1.0,!!!!\n").is_err());
        assert!(read_log(b"0.0,1.0,1.0,SGVsbG8=\n").is_err());
        assert!(read_log(b"").unwrap().is_empty());
    }
}
