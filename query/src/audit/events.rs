//! `GET /v1/audit/events`: audit events of one tenant, newest or oldest first, in full.
//!
//! A repeated (tenant_id, event_id) is shown once: the copy whose Kafka coordinates come first. The first coordinates of
//! each event of a page are asked for, and copies that are not first leave the page, also those that claim another time
//! and those of which the filters match only a later copy. So a page may hold fewer events than `limit`: the end is
//! where `next_cursor` is null.
//!
//! `complete_through` is always null: ingest freezes no watermark, so nothing can be claimed about events to come.

use std::collections::HashMap;
use std::ops::ControlFlow;

use axum::Json;
use axum::extract::{Extension, State};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::access::Caller;
use crate::api::observe::RowsReturned;
use crate::api::page::Page;
use crate::api::parameters::Both;
use crate::api::{Instant, Problem, RequestId};
use crate::audit::event::{Coordinates, Event, StoredEvent};
use crate::audit::filter::EventFilter;
use crate::audit::question::{FirstCopy, Key, Paging, Question, SentAgain};
use crate::handler::Api;

/// A page of audit events.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventsAnswer {
    /// Nothing is claimed about events to come.
    complete_through: Option<Instant>,
    /// The events of this page.
    rows: Vec<Event>,
    /// For the parameter `cursor` of the next page; `null` at the end.
    next_cursor: Option<String>,
}

/// Audit events that match all filters that are given.
#[utoipa::path(
    get,
    path = "/v1/audit/events",
    tag = "audit",
    params(EventFilter, Paging),
    responses((status = 200, description = "A page of events.", body = EventsAnswer))
)]
pub async fn events(
    State(api): State<Api>,
    caller: Caller,
    request: RequestId,
    asked: Both<EventFilter, Paging>,
) -> Result<(Extension<RowsReturned>, Json<EventsAnswer>), Problem> {
    let _admitted = api.admit(caller.principal()).await?;
    let question = Question::new(&api.cursor_key, caller, asked)?;
    let page = page(&api, &request, &question).await?;
    let last = page.continues_after().map(Key::from);
    let next_cursor = last.as_ref().map(|last| question.cursor_after(last)).transpose()?;
    let mut rows = page.into_rows();
    let first = first_copies(&api, &request, &question, &rows).await?;
    rows.retain(|row| first.get(&row.event_id).is_none_or(|first| *first == row.coordinates()));
    // The page may end between copies, and the first of them be behind its end, where the next page does not look.
    if let Some(last) = last
        && let Some(first) = first.get(&last.event_id)
        && rows.last().is_none_or(|row| row.event_id != last.event_id)
    {
        let select = question.select_copy(&last, first.clone());
        rows.extend(api.store.first::<StoredEvent>(&request, &select).await?);
    }
    let rows: Vec<Event> = rows.into_iter().map(Event::from).collect();
    Ok((
        Extension(RowsReturned(rows.len())),
        Json(EventsAnswer {
            complete_through: None,
            rows,
            next_cursor,
        }),
    ))
}

/// The rows of the page, copies of an event each.
async fn page(api: &Api, request: &RequestId, question: &Question) -> Result<Page<StoredEvent>, Problem> {
    let months = api.audit_months.known(&api.store, request).await?;
    let mut page = Page::new(question.limit(), api.config.limits.page_bytes_max);
    let mut missing = question.limit() + 1;
    for stretch in question.stretches(&months) {
        let select = question.select(stretch, missing);
        let take = |event: StoredEvent| {
            missing -= 1;
            let bytes = event.bytes();
            page.push(event, bytes)
        };
        api.store.rows(request, &select, take).await?;
        if page.continues_after().is_some() {
            break;
        }
    }
    Ok(page)
}

/// The first copy of each of these events that may have been sent more than once.
async fn first_copies(
    api: &Api,
    request: &RequestId,
    question: &Question,
    events: &[StoredEvent],
) -> Result<HashMap<Uuid, Coordinates>, Problem> {
    if events.is_empty() {
        return Ok(HashMap::new());
    }
    let mut first = HashMap::new();
    let sent_again: Vec<SentAgain> = api.store.collect(request, &question.select_sent_again(events)).await?;
    if sent_again.is_empty() {
        return Ok(first);
    }
    let take = |copy: FirstCopy| {
        first.insert(copy.event_id, copy.coordinates);
        ControlFlow::Continue(())
    };
    api.store
        .rows(request, &question.select_first_copies(&sent_again), take)
        .await?;
    Ok(first)
}
