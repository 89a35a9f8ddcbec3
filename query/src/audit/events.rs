//! `GET /v1/audit/events`: audit events of one tenant in full, newest or oldest first.
//!
//! A repeated (tenant_id, event_id) is shown once: the copy that was stored first. For each event of a
//! page these are queried, and copies that are not the first are dropped from the page, even if the copies claim
//! different times or the filters match only a later copy. So a page may hold fewer events than `limit`: the end is
//! where `next_cursor` is null.
//!
//! `complete_through` is always null: ingest records no watermark, so nothing can be claimed about events still to
//! come.

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
    /// Always null: nothing can be claimed about events still to come.
    complete_through: Option<Instant>,
    /// The events of this page.
    rows: Vec<Event>,
    /// Cursor of the next page; `null` at the end.
    next_cursor: Option<String>,
}

/// Lists the audit events that match all given filters.
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
    let question = Question::new(&api.gate.cursor_key, caller, asked)?;
    let page = page(&api, &request, &question).await?;
    let last = page.continues_after().map(Key::from);
    let next_cursor = last.as_ref().map(|last| question.cursor_after(last)).transpose()?;
    let mut rows = page.into_rows();
    let first = first_copies(&api, &request, &question, &rows).await?;
    rows.retain(|row| first.get(&row.event_id).is_none_or(|first| *first == row.coordinates()));
    // The page may end between copies whose first one is beyond its end, where the next page does not look.
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

/// The rows of the page, including copies.
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

/// The first copy of each of these events, for those that may have been sent more than once.
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
