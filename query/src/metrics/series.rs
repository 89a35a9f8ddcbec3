//! `GET /v1/metrics/hourly`, `/daily`, `/monthly`: merged metrics of one tenant, and through when they are complete.
//!
//! Order: metric_name, start, the columns that are not merged over, metric_type, unit; a page continues after the last of these
//! keys. What is complete is read before the rows, so that the claim never exceeds what they hold.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::access::Caller;
use crate::api::formats::{Answer, Format, Table};
use crate::api::page::Page;
use crate::api::{Api, Asked, Instant, Problem, RequestId};
use crate::metrics::column::{KeyColumn, Measure};
use crate::metrics::completeness::{Completeness, LaggingPartition};
use crate::metrics::fresh::RawTail;
use crate::metrics::point::{Point, PointNames, PointSchema, StoredPoint, columns};
use crate::metrics::question::{PointKey, Question, SeriesParameters};
use crate::metrics::step::Step;

/// Merged metrics.
#[derive(Debug, Serialize, ToSchema)]
pub struct SeriesAnswer<P> {
    /// Rows that end at or before this moment are complete; `null` while a partition of the topic has not reported. The same for
    /// every tenant: the records of one may be in any partition.
    complete_through: Option<Instant>,
    /// The partitions of the topic that are no further than that.
    held_back_by: Vec<LaggingPartition>,
    /// The moment whose knowledge this is, where one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    as_of: Option<Instant>,
    /// The rows of this page.
    rows: Vec<P>,
    /// For the parameter `cursor` of the next page; `null` at the end.
    next_cursor: Option<String>,
}

/// Metrics by hour.
///
/// Order: metric, start, then the columns that are not merged over.
#[utoipa::path(
    get, path = "/v1/metrics/hourly", tag = "metrics", params(SeriesParameters),
    responses((status = 200, description = "A page of hours.", content(
        (SeriesAnswer<PointSchema> = "application/json"), (String = "text/csv"),
        (Vec<u8> = "application/vnd.apache.arrow.stream"))))
)]
pub async fn hourly(
    State(api): State<Api>,
    caller: Caller,
    request: RequestId,
    headers: HeaderMap,
    Asked(parameters): Asked<SeriesParameters>,
) -> Result<Response, Problem> {
    answer(&api, caller, &request, &headers, Step::Hour, parameters).await
}

/// Metrics by day of a time zone.
#[utoipa::path(
    get, path = "/v1/metrics/daily", tag = "metrics", params(SeriesParameters),
    responses((status = 200, description = "A page of days.", content(
        (SeriesAnswer<PointSchema> = "application/json"), (String = "text/csv"),
        (Vec<u8> = "application/vnd.apache.arrow.stream"))))
)]
pub async fn daily(
    State(api): State<Api>,
    caller: Caller,
    request: RequestId,
    headers: HeaderMap,
    Asked(parameters): Asked<SeriesParameters>,
) -> Result<Response, Problem> {
    answer(&api, caller, &request, &headers, Step::Day, parameters).await
}

/// Metrics by month of a time zone.
#[utoipa::path(
    get, path = "/v1/metrics/monthly", tag = "metrics", params(SeriesParameters),
    responses((status = 200, description = "A page of months.", content(
        (SeriesAnswer<PointSchema> = "application/json"), (String = "text/csv"),
        (Vec<u8> = "application/vnd.apache.arrow.stream"))))
)]
pub async fn monthly(
    State(api): State<Api>,
    caller: Caller,
    request: RequestId,
    headers: HeaderMap,
    Asked(parameters): Asked<SeriesParameters>,
) -> Result<Response, Problem> {
    answer(&api, caller, &request, &headers, Step::Month, parameters).await
}

async fn answer(
    api: &Api,
    caller: Caller,
    request: &RequestId,
    headers: &HeaderMap,
    step: Step,
    parameters: SeriesParameters,
) -> Result<Response, Problem> {
    let _admitted = api.admit(caller.principal())?;
    let question = Question::new(&api.cursor_key, caller, step, parameters)?;
    let format = Format::negotiate(question.format(), headers)?;
    let topic = &api.config.source.metrics_topic;
    let progress = api.store.progress(request, topic, question.as_of()).await?;
    let completeness = Completeness::of(&progress);
    let tail = question.is_fresh().then(|| RawTail::new(topic, &progress));
    let (points, next_cursor) = page(api, request, &question, tail.as_ref()).await?;
    let names = Arc::new(names(&question));
    let shown = |stored: StoredPoint| {
        let end = question.steps.end_of(stored.start());
        let complete = completeness.covers(end);
        Point::new(stored, end, complete, &names)
    };
    let rows: Vec<Point> = points.into_iter().map(shown).collect();
    let answer = SeriesAnswer {
        complete_through: completeness.through,
        held_back_by: completeness.held_back_by.clone(),
        as_of: question.as_of(),
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

async fn page(
    api: &Api,
    request: &RequestId,
    question: &Question,
    tail: Option<&RawTail>,
) -> Result<(Vec<StoredPoint>, Option<String>), Problem> {
    let end: Option<PointKey> = match question.select_end() {
        Some(select) => api.store.first(request, &select).await?,
        None => None,
    };
    let mut page = Page::new(question.limit(), api.config.limits.page_bytes_max);
    let take = |point: StoredPoint| {
        let bytes = point.bytes();
        page.push(point, bytes)
    };
    api.store
        .rows(request, &question.select(end.as_ref(), tail), take)
        .await?;
    let last = page.continues_after().map(StoredPoint::key);
    let next_cursor = last.map(|key| question.cursor_after(&key)).transpose()?;
    Ok((page.into_rows(), next_cursor))
}

fn names(question: &Question) -> PointNames {
    let share = question.has_threshold().then_some("share_under");
    PointNames {
        groups: question.groups().iter().map(|group: &KeyColumn| group.name()).collect(),
        numbers: question
            .measures()
            .iter()
            .map(|measure: &Measure| measure.name())
            .chain(share)
            .collect(),
    }
}
