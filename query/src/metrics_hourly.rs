//! `GET /v1/metrics/hourly`: merged hours of one tenant, and through when they are complete.
//!
//! Order: metric_name, hour, service_id, plugin_id, environment, team_id, metric_type, unit; a page continues after the last
//! of these keys. An hour is in the span when it starts in it. A filter that is given but empty asks for the hours
//! whose column is empty.

use axum::Json;
use axum::extract::{Extension, RawQuery, State};
use serde::Serialize;

use crate::completeness::complete_through;
use crate::hourly_question::Question;
use crate::instant::Instant;
use crate::metric_hour::Hour;
use crate::observe::{RequestId, RowsReturned};
use crate::page::Page;
use crate::problem::Problem;
use crate::server::Api;

/// Where it is served.
pub const PATH: &str = "/v1/metrics/hourly";

/// The answer.
#[derive(Debug, Serialize)]
pub struct Answer {
    complete_through: Option<Instant>,
    rows: Vec<Hour>,
    next_cursor: Option<String>,
}

/// Answers one request.
pub async fn get(
    State(api): State<Api>,
    Extension(request): Extension<RequestId>,
    RawQuery(raw): RawQuery,
) -> Result<(Extension<RowsReturned>, Json<Answer>), Problem> {
    let question = Question::parse(&raw.unwrap_or_default())?;
    let _admitted = api.admit()?;
    let complete_through = complete_through(&api.store.progress(&request, &api.metrics_topic).await?);
    let end = api.store.first(&request, &question.select_end()).await?;
    let mut page = Page::new(question.limit, api.page_bytes_max);
    api.store
        .rows(&request, &question.select(end), |hour: Hour| {
            let bytes = hour.bytes();
            page.push(hour, bytes)
        })
        .await?;
    let next_cursor = page
        .continues_after()
        .map(|hour| question.cursor_after(hour))
        .transpose()?;
    let rows = page.into_rows();
    Ok((
        Extension(RowsReturned(rows.len())),
        Json(Answer {
            complete_through,
            rows,
            next_cursor,
        }),
    ))
}
