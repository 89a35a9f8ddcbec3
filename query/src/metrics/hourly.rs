//! `GET /v1/metrics/hourly`: merged hours of one tenant, and through when they are complete.
//!
//! Order: metric_name, hour, service_id, plugin_id, environment, team_id, metric_type, unit; a page continues after the last
//! of these keys. An hour is in the span when it starts in it. A filter that is given but empty asks for the hours
//! whose column is empty.

use axum::Json;
use axum::extract::{Extension, State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::access::Caller;
use crate::api::observe::RowsReturned;
use crate::api::page::Page;
use crate::api::{Api, Asked, Instant, Problem, RequestId};
use crate::metrics::completeness::complete_through;
use crate::metrics::hour::Hour;
use crate::metrics::question::{HourlyParameters, Question};

/// Merged hours.
#[derive(Debug, Serialize, ToSchema)]
pub struct HourlyAnswer {
    /// Hours that end at or before this moment are complete; `null` while a partition has not reported.
    complete_through: Option<Instant>,
    /// The hours of this page.
    rows: Vec<Hour>,
    /// For the parameter `cursor` of the next page; `null` at the end.
    next_cursor: Option<String>,
}

/// Merged hours, and through when they are complete.
#[utoipa::path(
    get,
    path = "/v1/metrics/hourly",
    tag = "metrics",
    params(HourlyParameters),
    responses((status = 200, description = "A page of hours.", body = HourlyAnswer))
)]
pub async fn hourly(
    State(api): State<Api>,
    caller: Caller,
    request: RequestId,
    Asked(parameters): Asked<HourlyParameters>,
) -> Result<(Extension<RowsReturned>, Json<HourlyAnswer>), Problem> {
    let question = Question::new(&api.cursor_key, caller, parameters)?;
    let _admitted = api.admit()?;
    let complete_through = complete_through(&api.store.progress(&request, &api.config.source.metrics_topic).await?);
    let end = api.store.first(&request, &question.select_end()).await?;
    let mut page = Page::new(question.limit(), api.config.limits.page_bytes_max);
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
        Json(HourlyAnswer {
            complete_through,
            rows,
            next_cursor,
        }),
    ))
}
