//! `GET /v1/metrics/hourly`, `/daily`, `/monthly`: merged metrics of one tenant, and through when they are complete.
//!
//! Order: metric_name, start, the columns that are not merged over, metric_type, unit; a page continues after the last of these
//! keys. What is complete is read before the rows, so that the claim never exceeds what they hold.

use std::sync::Arc;

use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::formats::{Answer, Format, Table};
use crate::api::parameters::Both;
use crate::api::{Asking, Instant, Problem};
use crate::metrics::completeness::{Completeness, LaggingPartition};
use crate::metrics::fresh;
use crate::metrics::page::{Rows, page};
use crate::metrics::point::{Point, PointNames, PointSchema, When, columns};
use crate::metrics::question::{MeasureParameters, Question};
use crate::metrics::selection::{Selection, SelectionParameters};
use crate::metrics::step::Step;

/// What is counted in each row.
const COUNTS: &[&str] = &["count", "late_count", "fresh_count"];

/// Metrics over time.
#[derive(Debug, Serialize, ToSchema)]
pub struct SeriesAnswer<P> {
    /// Rows that end at or before this moment are complete; `null` while a partition of the topic has not reported. The same for
    /// every tenant: the records of one may be in any partition.
    complete_through: Option<Instant>,
    /// The partitions of the topic that are no further than that.
    held_back_by: Vec<LaggingPartition>,
    /// Only with `fresh`: partitions of which a batch was being stored for longer than was waited. Its samples may have been counted
    /// both as aggregated and as fresh.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    in_motion: Vec<i32>,
    /// The moment whose knowledge this is, where one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    as_of: Option<Instant>,
    /// The rows of this page.
    rows: Vec<P>,
    /// For the parameter `cursor` of the next page; `null` at the end.
    next_cursor: Option<String>,
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
    let _admitted = api.admit(caller.principal())?;
    let question = Question::new(&api.cursor_key, caller, step, selection, measured)?;
    let selection = &question.selection;
    let format = Format::negotiate(selection.parameters.format, &headers)?;
    let topic = &api.config.source.metrics_topic;
    let (progress, rows, in_motion) = match question.is_fresh() {
        true => {
            let fresh = fresh::page(&api, &request, &question).await?;
            (fresh.progress, fresh.rows, fresh.in_motion)
        }
        false => {
            let progress = api.store.progress(&request, topic, selection.as_of()).await?;
            let rows = page(&api, &request, &question, None).await?;
            (progress, rows, Vec::new())
        }
    };
    let names = PointNames {
        groups: selection.group_names(),
        counts: COUNTS,
        numbers: question.number_names(),
    };
    let known = Known {
        completeness: Completeness::of(&progress),
        in_motion,
    };
    respond(selection, known, rows, names, format)
}

/// What is known of an answer as a whole.
#[derive(Debug)]
pub struct Known {
    /// Through when it is complete.
    pub completeness: Completeness,
    /// Partitions of which a batch may have been counted twice.
    pub in_motion: Vec<i32>,
}

/// Rows in the form that is asked for, with through when they are complete.
pub fn respond(
    selection: &Selection,
    known: Known,
    (points, next_cursor): Rows,
    names: PointNames,
    format: Format,
) -> Result<Response, Problem> {
    let names = Arc::new(names);
    let mut rows: Vec<Point> = Vec::with_capacity(points.len());
    let mut when: Option<Arc<When>> = None;
    for stored in points {
        let start = stored.start();
        let known_when = when.take().filter(|when| when.start() == start).unwrap_or_else(|| {
            let end = selection.steps.end_of(start);
            Arc::new(When::new(start, end, known.completeness.covers(end)))
        });
        rows.push(Point::new(stored, &known_when, &names));
        when = Some(known_when);
    }
    let answer = SeriesAnswer {
        complete_through: known.completeness.through,
        held_back_by: known.completeness.held_back_by.clone(),
        in_motion: known.in_motion,
        as_of: selection.as_of(),
        next_cursor,
        rows,
    };
    Answer {
        rows: answer.rows.len(),
        next_cursor: answer.next_cursor.as_deref(),
        complete_through: answer.complete_through,
        table: || Table::from(columns(&answer.rows, &names)),
        json: &answer,
    }
    .respond(format)
}
