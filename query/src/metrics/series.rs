//! `GET /v1/metrics/hourly`, `/daily`, `/monthly`: merged metrics of one tenant, and through when they are complete.
//!
//! Order: metric_name, start, the columns that are not merged over, metric_type, unit; a page continues after the last
//! of these keys. Completeness is read before the rows, so that the claim never exceeds what they contain.

use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::formats::{Answer, Format, Table};
use crate::api::parameters::Both;
use crate::api::{Instant, Problem};
use crate::handler::Asking;
use crate::metrics::completeness::{Completeness, LaggingPartition};
use crate::metrics::fresh;
use crate::metrics::page::{Rows, page, page_of_now};
use crate::metrics::point::PointSchema;
use crate::metrics::question::{MeasureParameters, Question};
use crate::metrics::selection::{Selection, SelectionParameters};
use crate::metrics::step::Step;
use crate::metrics::written::{self, PointNames, When, columns};

/// The counts of each row.
const COUNTS: &[&str] = &["count", "late_count", "fresh_count"];

/// Metrics over time.
#[derive(Debug, Serialize, ToSchema)]
pub struct SeriesAnswer<P> {
    /// Rows that end at or before this moment are complete; `null` while a partition of the topic has not reported yet.
    /// The same for every tenant: a tenant's records may be in any partition.
    complete_through: Option<Instant>,
    /// The partitions of the topic that limit it.
    held_back_by: Vec<LaggingPartition>,
    /// Only with `fresh`: partitions of which samples may have been counted both as aggregated and as fresh, or not at
    /// all. Storing a batch took too long, or the log was recreated or truncated, and not all stages have noticed yet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    in_motion: Vec<i32>,
    /// The moment as of which the state is shown, if one was requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    as_of: Option<Instant>,
    /// The rows of this page.
    rows: Vec<P>,
    /// Cursor of the next page; `null` at the end.
    next_cursor: Option<String>,
}

impl<P: Serialize> SeriesAnswer<P> {
    /// The answer as JSON; `write` appends the rows to the text.
    fn with_rows(&self, write: impl FnOnce(&mut Vec<u8>) -> serde_json::Result<()>) -> Option<Vec<u8>> {
        let frame = serde_json::to_string(self).ok()?;
        let (before, after) = frame.split_once("[],\"next_cursor\"")?;
        let mut whole = before.as_bytes().to_vec();
        write(&mut whole).ok()?;
        whole.extend_from_slice(b",\"next_cursor\"");
        whole.extend_from_slice(after.as_bytes());
        Some(whole)
    }
}

type Parameters = Both<SelectionParameters, MeasureParameters>;

/// Metrics by hour.
///
/// Order: metric, start, then the columns that are not merged over.
#[utoipa::path(
    get, path = "/v1/metrics/hourly", tag = "metrics", params(Parameters),
    responses((status = 200, description = "A page of hours.", content(
        (SeriesAnswer<PointSchema> = "application/json"), (String = "text/csv"),
        (Vec<u8> = "application/vnd.apache.arrow.stream"))))
)]
pub async fn hourly(asking: Asking, asked: Parameters) -> Result<Response, Problem> {
    answer(asking, Step::Hour, asked).await
}

/// Metrics by day of a time zone.
#[utoipa::path(
    get, path = "/v1/metrics/daily", tag = "metrics", params(Parameters),
    responses((status = 200, description = "A page of days.", content(
        (SeriesAnswer<PointSchema> = "application/json"), (String = "text/csv"),
        (Vec<u8> = "application/vnd.apache.arrow.stream"))))
)]
pub async fn daily(asking: Asking, asked: Parameters) -> Result<Response, Problem> {
    answer(asking, Step::Day, asked).await
}

/// Metrics by month of a time zone.
#[utoipa::path(
    get, path = "/v1/metrics/monthly", tag = "metrics", params(Parameters),
    responses((status = 200, description = "A page of months.", content(
        (SeriesAnswer<PointSchema> = "application/json"), (String = "text/csv"),
        (Vec<u8> = "application/vnd.apache.arrow.stream"))))
)]
pub async fn monthly(asking: Asking, asked: Parameters) -> Result<Response, Problem> {
    answer(asking, Step::Month, asked).await
}

async fn answer(asking: Asking, step: Step, Both(selection, measured): Parameters) -> Result<Response, Problem> {
    let Asking {
        api,
        caller,
        request,
        headers,
    } = asking;
    let _admitted = api.admit(caller.principal()).await?;
    let question = Question::new(&api.gate.cursor_key, caller, step, selection, measured)?;
    let selection = &question.selection;
    let format = Format::negotiate(selection.parameters.format, &headers)?;
    let (completeness, rows, in_motion) = match selection.as_of() {
        _ if question.is_fresh() => {
            let fresh = fresh::page(&api, &request, &question).await?;
            (Completeness::of(&fresh.progress), fresh.rows, fresh.in_motion)
        }
        Some(_) => {
            let topic = &api.config.source.metrics_topic;
            let progress = api.store.progress(&request, topic, selection.as_of()).await?;
            let rows = page(&api, &request, &question, None).await?;
            (Completeness::of(&progress), rows, Vec::new())
        }
        None => {
            let look = api.look(&request).await?;
            let rows = page_of_now(&api, &request, &question, &look).await?;
            (Completeness::of(&look.progress), rows, Vec::new())
        }
    };
    let names = PointNames {
        groups: selection.group_names(),
        counts: COUNTS,
        numbers: question.number_names(),
    };
    let known = Known {
        completeness,
        in_motion,
    };
    respond(selection, known, rows, &names, format)
}

/// What is known of an answer as a whole.
#[derive(Debug)]
pub struct Known {
    /// Through when it is complete.
    pub completeness: Completeness,
    /// Partitions of which samples may have been counted twice or not at all.
    pub in_motion: Vec<i32>,
}

/// The response in the requested format, with through when the rows are complete.
pub fn respond(
    selection: &Selection,
    known: Known,
    (points, next_cursor): Rows,
    names: &PointNames,
    format: Format,
) -> Result<Response, Problem> {
    let when = |start| {
        let end = selection.steps.end_of(start);
        When {
            end,
            complete: known.completeness.covers(end),
        }
    };
    let frame = SeriesAnswer::<PointSchema> {
        complete_through: known.completeness.through,
        held_back_by: known.completeness.held_back_by.clone(),
        in_motion: known.in_motion,
        as_of: selection.as_of(),
        rows: Vec::new(),
        next_cursor,
    };
    Answer {
        rows: points.len(),
        next_cursor: frame.next_cursor.as_deref(),
        complete_through: frame.complete_through,
        table: || Table::from(columns(&points, names, when)),
        json: || frame.with_rows(|text| written::json(text, &points, names, when)),
    }
    .respond(format)
}
