//! By how much `--shift-to-now` moves metrics.
//!
//! Enters: the files, read once before they are imported, and the time. Leaves: one shift for all of them, so that the
//! differences within and between files stay. Never shows what is malformed: the import itself will.

use horolog_schemas::{AuditEvent, MetricSample};
use indicatif::ProgressBar;

use super::detect::Plan;
use super::mapping::Mapping;
use super::output::{Output, Skip};
use super::reading::{Listener, read};
use super::source::Source;

/// The shift in microseconds; 0 when there is no metric.
pub fn shift_to(now: i64, sources: &[Source], mapping: &Mapping) -> anyhow::Result<i64> {
    let mut newest = Newest(None);
    for source in sources {
        if source.is_read_once() {
            anyhow::bail!(
                "--shift-to-now reads the files twice, which {} cannot be: save it to a file",
                source.display()
            );
        }
        // A file that cannot be read to its end is reported by the import, which sends what comes before.
        let _ = read(source, mapping, &ProgressBar::hidden(), &mut newest);
    }
    Ok(newest.0.map_or(0, |newest| now - newest))
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
