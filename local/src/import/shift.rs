//! By how much `--shift-to-now` moves metrics.
//!
//! Enters: the files, read once before they are imported, and the time. Leaves: one shift for all of them, so that the
//! differences within and between files stay. Refuses an implausible newest time: moved to now, a time that was read in
//! the wrong unit would look right. Never reports malformed lines: the import itself will.

use std::ops::Range;

use anyhow::{bail, ensure};
use chrono::DateTime;
use horolog_schemas::{AuditEvent, MetricSample};
use indicatif::ProgressBar;

use super::detect::Plan;
use super::mapping::Mapping;
use super::output::{Output, Skip};
use super::reading::{Listener, read};
use super::source::Source;

/// From 1970 to 1980, in microseconds: such a time was probably a number of days, or of another unit than seconds.
const ANOTHER_UNIT: Range<i64> = 0..315_532_800_000_000;
/// Microseconds.
pub const MICROS_A_DAY: i64 = 86_400_000_000;

/// The shift in microseconds; 0 when there is no metric.
pub fn shift_to(now: i64, sources: &[Source], mapping: &Mapping) -> anyhow::Result<i64> {
    let mut newest_of_all = None;
    for source in sources {
        if source.is_read_once() {
            bail!(
                "--shift-to-now reads each file twice, which is impossible for {}: save what it gives to a file, and \
                 import that",
                source.display()
            );
        }
        let mut newest = Newest(None);
        // A file that cannot be read to its end is reported by the import, which sends what comes before.
        let _ = read(source, mapping, &ProgressBar::hidden(), &mut newest);
        if let Newest(Some(time)) = newest {
            ensure!(
                time < now + MICROS_A_DAY && !ANOTHER_UNIT.contains(&time),
                "--shift-to-now: the newest time of {} is {}; correct that line, or leave out --shift-to-now",
                source.display(),
                DateTime::from_timestamp_micros(time).map_or_else(|| time.to_string(), |time| time.to_rfc3339()),
            );
            newest_of_all = newest_of_all.max(Some(time));
        }
    }
    Ok(newest_of_all.map_or(0, |newest| now - newest))
}

/// The newest time of a metric.
struct Newest(Option<i64>);

impl Output for Newest {
    fn metric(&mut self, sample: &MetricSample) {
        self.0 = self.0.max(Some(sample.time));
    }
    fn audit(&mut self, _: &AuditEvent) {}
    fn skip(&mut self, _: Skip) {}
}

impl Listener for Newest {
    fn understood(&mut self, _: &Plan) {}
    fn at_line(&mut self, _: u64) {}
    fn wants_more(&self) -> bool {
        true
    }
}
