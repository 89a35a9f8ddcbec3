//! The formats of an answer: JSON, CSV, and Arrow's stream format.
//!
//! Enters: the answer, as JSON and as a table, and the requested format: the parameter `format` takes precedence over
//! `Accept`. Leaves: the response. What is not a row is also sent in headers (`x-complete-through`, `x-next-cursor`),
//! because a table has no room for it. Pure.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::Schema;
use arrow::ipc::writer::StreamWriter;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::accept::weighted;
use crate::api::observe::RowsReturned;
use crate::api::{Instant, Problem};

static COMPLETE_THROUGH: HeaderName = HeaderName::from_static("x-complete-through");
static NEXT_CURSOR: HeaderName = HeaderName::from_static("x-next-cursor");

/// The format of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// An object with the rows and their metadata.
    Json,
    /// RFC 4180, with a header line.
    Csv,
    /// Arrow IPC stream format.
    Arrow,
}

impl Format {
    const ALL: [Self; 3] = [Self::Json, Self::Csv, Self::Arrow];
    const AVAILABLE: &str = "application/json, text/csv, application/vnd.apache.arrow.stream";

    fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => "text/csv",
            Self::Arrow => "application/vnd.apache.arrow.stream",
        }
    }

    /// The format that the parameter names, else the one that `Accept` prefers (RFC 9110, 12.5.1).
    pub fn negotiate(parameter: Option<Self>, headers: &HeaderMap) -> Result<Self, Problem> {
        if let Some(format) = parameter {
            return Ok(format);
        }
        let accepted = weighted(headers, header::ACCEPT);
        if accepted.is_empty() {
            return Ok(Self::Json);
        }
        let weight = |format: &Self| preference(&accepted, format.media_type());
        // Among equals the first: JSON for `*/*`.
        let best = Self::ALL
            .into_iter()
            .rev()
            .max_by_key(weight)
            .filter(|format| weight(format) > 0);
        best.ok_or(Problem::NotAcceptable {
            available: Self::AVAILABLE,
        })
    }
}

/// The weight of a media type, in thousandths; the most specific range decides.
fn preference(accepted: &[(&str, u32)], media_type: &str) -> u32 {
    let kind = media_type.split('/').next().unwrap_or_default();
    let weights = accepted.iter().filter_map(|(range, weight)| {
        let specific = match range.split_once('/')? {
            _ if range.eq_ignore_ascii_case(media_type) => 2,
            (of, "*") if of.eq_ignore_ascii_case(kind) => 1,
            ("*", "*") => 0,
            _ => return None,
        };
        Some((specific, *weight))
    });
    weights.max().map_or(0, |(_, weight)| weight)
}

/// Rows as columns.
#[derive(Debug)]
pub struct Table {
    schema: Schema,
    columns: Vec<ArrayRef>,
}

impl From<(Schema, Vec<ArrayRef>)> for Table {
    fn from((schema, columns): (Schema, Vec<ArrayRef>)) -> Self {
        Self { schema, columns }
    }
}

impl Table {
    fn batch(self, rows: usize) -> Option<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::new(self.schema), self.columns, &options).ok()
    }

    fn csv(self, rows: usize) -> Option<Vec<u8>> {
        let batch = self.batch(rows)?;
        let mut text = Vec::new();
        let mut writer = arrow::csv::WriterBuilder::new()
            .with_header(true)
            .with_timestamp_tz_format("%Y-%m-%dT%H:%M:%SZ".to_owned())
            .build(&mut text);
        writer.write(&batch).ok()?;
        drop(writer);
        Some(text)
    }

    fn arrow(self, rows: usize) -> Option<Vec<u8>> {
        let batch = self.batch(rows)?;
        let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).ok()?;
        writer.write(&batch).ok()?;
        writer.into_inner().ok()
    }
}

/// An answer that can be sent in every format.
#[derive(Debug)]
pub struct Answer<'a, J, T> {
    /// Number of rows.
    pub rows: usize,
    /// Cursor of the next page.
    pub next_cursor: Option<&'a str>,
    /// The time through which it is complete.
    pub complete_through: Option<Instant>,
    /// The rows as columns.
    pub table: T,
    /// The whole answer as JSON.
    pub json: J,
}

impl<J: FnOnce() -> Option<Vec<u8>>, T: FnOnce() -> Table> Answer<'_, J, T> {
    /// The response in this format.
    pub fn respond(self, format: Format) -> Result<Response, Problem> {
        let body = match format {
            Format::Json => (self.json)(),
            Format::Csv => (self.table)().csv(self.rows),
            Format::Arrow => (self.table)().arrow(self.rows),
        };
        let mut response = body.ok_or(Problem::Internal)?.into_response();
        response.extensions_mut().insert(RowsReturned(self.rows));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
        let mut tell = |name: &HeaderName, text: Option<&str>| {
            if let Some(value) = text.and_then(|text| HeaderValue::from_str(text).ok()) {
                headers.insert(name.clone(), value);
            }
        };
        tell(
            &COMPLETE_THROUGH,
            self.complete_through.map(Instant::to_rfc3339).as_deref(),
        );
        tell(&NEXT_CURSOR, self.next_cursor);
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn negotiated(accept: &str) -> Option<Format> {
        let headers = HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]);
        Format::negotiate(None, &headers).ok()
    }

    #[test]
    fn the_best_accepted_form_is_given_and_json_where_all_are_equal() {
        for (accept, format) in [
            ("*/*", Some(Format::Json)),
            ("text/html,application/xhtml+xml,*/*;q=0.8", Some(Format::Json)),
            ("text/csv", Some(Format::Csv)),
            ("text/*", Some(Format::Csv)),
            ("application/json;q=0.1, text/csv;q=0.9", Some(Format::Csv)),
            ("application/vnd.apache.arrow.stream, */*;q=0.1", Some(Format::Arrow)),
            ("application/json;q=0, application/*", Some(Format::Arrow)),
            ("image/png", None),
            ("*/*;q=0", None),
            (";;,,=", None),
        ] {
            assert_eq!(negotiated(accept), format, "{accept}");
        }
        assert_eq!(Format::negotiate(None, &HeaderMap::new()), Ok(Format::Json));
    }
}
