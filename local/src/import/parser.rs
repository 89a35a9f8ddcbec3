//! One line of a file, or one record of its documents, to records of ours.
//!
//! Enters: lines of any format. Leaves: what the parser of that format finds. Blank lines are ignored.

use horolog_schemas::AuditEvent;

use super::cloudtrail;
use super::json_documents;
use super::json_layout::fields;
use super::mapping::Mapping;
use super::metrics_long::MetricsLong;
use super::metrics_wide::MetricsWide;
use super::ndjson;
use super::output::{Output, Skip};
use super::windows_events;

/// What reads the lines of a file.
#[derive(Debug)]
pub enum Parser {
    /// See [`MetricsLong`].
    MetricsLong(Box<MetricsLong>),
    /// See [`MetricsWide`].
    MetricsWide(Box<MetricsWide>),
    /// CloudTrail events; a line may also be a delivered document.
    Cloudtrail,
    /// Events of Windows.
    WindowsEvents,
    /// Horolog's own records.
    Ndjson,
}

impl Parser {
    /// What a line was understood as.
    pub fn description(&self) -> String {
        match self {
            Self::MetricsLong(parser) => parser.description(),
            Self::MetricsWide(parser) => parser.description(),
            Self::Cloudtrail | Self::WindowsEvents => "one event per line".to_owned(),
            Self::Ndjson => "one record per line".to_owned(),
        }
    }

    /// Reads one line, or one record of a document. Blank lines are ignored.
    pub fn line(&mut self, line: &[u8], mapping: &Mapping, output: &mut dyn Output) {
        let Ok(line) = std::str::from_utf8(line) else {
            return output.skip(Skip::NotUtf8);
        };
        if line.trim().is_empty() {
            return;
        }
        match self {
            Self::MetricsLong(parser) => parser.line(line, output),
            Self::MetricsWide(parser) => parser.line(line, output),
            Self::Ndjson => ndjson::line(line, mapping, output),
            Self::WindowsEvents => audit_event(windows_events::audit_event(line, mapping), output),
            Self::Cloudtrail if is_delivered(line) => cloudtrail_document(line, mapping, output),
            Self::Cloudtrail => audit_event(cloudtrail::audit_event(line, mapping), output),
        }
    }
}

fn audit_event(read: Result<AuditEvent, Skip>, output: &mut dyn Output) {
    match read {
        Ok(event) => output.audit(&event),
        Err(skip) => output.skip(skip),
    }
}

fn is_delivered(line: &str) -> bool {
    fields(line.trim_start().as_bytes())
        .next()
        .is_some_and(|(name, _)| name == b"Records")
}

/// A whole delivered document on one line of a file of events.
fn cloudtrail_document(line: &str, mapping: &Mapping, output: &mut dyn Output) {
    let read = json_documents::read(line.as_bytes(), Some("Records"), |_, json| {
        audit_event(cloudtrail::audit_event(json, mapping), output);
        true
    });
    if let Err(error) = read {
        output.skip(error.into());
    }
}
