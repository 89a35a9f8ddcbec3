//! The output of a run: a folder with everything that was measured, for people, CI systems and other tools.
//!
//! `results.json` has all figures; `MEASURE.hlog` the histogram of every second and `MEASURE.hgrm` the percentiles of
//! the whole run, both in the formats of HdrHistogram's tools; `junit.xml` the verdict for CI systems; `report.html`
//! plots. [`Results`] holds all of it in memory.

pub(crate) mod figures;
mod folder;
mod hgrm;
mod hlog;
pub mod html;
pub(crate) mod junit;
mod objective;
mod text;
mod verdict;

pub use figures::TESTER;
pub use figures::{
    Disturbance, MeasureFigures, Point, ProcessFigures, Results, Sample, Second, Settings, TableFigures, TesterFigures,
};
pub use folder::{ResultsError, ResultsFolder, read_latencies};
pub use hgrm::hgrm;
pub use hlog::{LogWriter, read_log};
pub use junit::junit;
pub use objective::{Objective, ObjectiveFigures};
pub use text::{table, thousands};
pub use verdict::{Outcome, Verdict};
