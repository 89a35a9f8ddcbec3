//! One line of a file, or one document of CloudTrail, to records.
//!
//! Enters: lines of any format. Leaves: what the parser of that format finds. Blank lines are ignored.

use horolog_schemas::AuditEvent;

use super::cloudtrail;
use super::json_documents;
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
    /// One CloudTrail event, or one delivered document, a line.
    Cloudtrail,
    /// One event of Windows a line.
    WindowsEvents,
    /// One record a line.
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

    /// Reads one line. Blank lines are ignored.
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
            Self::Cloudtrail if starts_with_field(line.trim_start().as_bytes(), "Records") => {
                cloudtrail_document(line, mapping, output)
            }
            Self::Cloudtrail => cloudtrail_event(line, mapping, output),
        }
    }
}

/// Passes one CloudTrail event to the output, or the reason why it is none.
pub fn cloudtrail_event(json: &str, mapping: &Mapping, output: &mut dyn Output) {
    audit_event(cloudtrail::audit_event(json, mapping), output);
}

fn audit_event(read: Result<AuditEvent, Skip>, output: &mut dyn Output) {
    match read {
        Ok(event) => output.audit(&event),
        Err(skip) => output.skip(skip),
    }
}

/// A whole delivered document on one line of a file of events.
fn cloudtrail_document(line: &str, mapping: &Mapping, output: &mut dyn Output) {
    let read = json_documents::read(line.as_bytes(), |_, json| {
        cloudtrail_event(json, mapping, output);
        true
    });
    if let Err(error) = read {
        output.skip(error.into());
    }
}

/// `{"NAME"`, with spaces anywhere.
pub fn starts_with_field(json: &[u8], name: &str) -> bool {
    let field = json.strip_prefix(b"{").map(<[u8]>::trim_ascii_start);
    let after = field.and_then(|field| field.strip_prefix(b"\"")?.strip_prefix(name.as_bytes()));
    after.is_some_and(|rest| rest.starts_with(b"\""))
}
