//! `horolog import`: existing data, through Kafka like everything else.
//!
//! Enters: files of metrics (CSV with one metric, with a sample a line, or wide), AWS CloudTrail events, events of the
//! Windows event log, or Horolog's own records as JSON; plain or gzip. Leaves: Kafka records, and an account of what
//! was sent and what was skipped and why. Guarantees: a malformed line costs no other line; a file of any size is read
//! in bounded memory; audit events keep or get ids by which a second import is recognised. Never does: write to a
//! table, or hold back records that the pipeline will reject: they are reported here and counted there.
//!
//! [`detect`] decides what a file is; one pure module per format turns it into [`output`]; [`run()`] owns the files,
//! the clock and Kafka.

mod cloudtrail;
mod content;
mod csv_format;
mod delimiter;
pub mod detect;
mod detect_error;
mod event_id;
mod event_ids;
mod fields;
mod folder;
mod foreign;
mod foreign_text;
mod head;
mod header;
mod json_documents;
mod json_fields;
mod json_format;
mod json_layout;
mod json_recipes;
mod json_text;
mod lines;
mod mapping;
mod metrics_long;
mod metrics_wide;
mod ndjson;
mod numbers;
mod options;
pub mod output;
mod parser;
mod reading;
mod report;
mod role;
mod run;
mod sending;
mod shift;
mod source;
#[cfg(test)]
mod testing;
mod time_columns;
mod times;
mod timestamp;
mod wide_columns;
mod wide_series;
mod windows_events;

pub use options::ImportOptions;
pub use run::run;
