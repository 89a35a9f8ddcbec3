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
use crate::api::{Api, Instant, Problem, RequestId};
use crate::audit::event::{Coordinates, Event, StoredEvent};
use crate::audit::filter::EventFilter;
use crate::audit::question::{FirstCopy, Key, Paging, Question, SentAgain};

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
    let keys: Vec<Key> = api.store.collect(&request, &question.select_keys()).await?;
    let mut page = Page::new(question.limit(), api.config.limits.page_bytes_max);
    let first = match keys.is_empty() {
        true => HashMap::new(),
        false => {
            let take = |event: StoredEvent| {
                let bytes = event.bytes();
                page.push(event, bytes)
            };
            let select = question.select(&keys);
            let read = async { api.store.rows(&request, &select, take).await.map_err(Problem::from) };
            let copies = first_copies(&api, &request, &question, &keys);
            tokio::try_join!(read, copies)?.1
        }
    };
    let next_cursor = page
        .continues_after()
        .map(|event| question.cursor_after(event))
        .transpose()?;
    let is_first = |event: &StoredEvent| {
        first
            .get(&event.event_id)
            .is_none_or(|first| *first == event.coordinates())
    };
    let rows: Vec<Event> = page.into_rows().into_iter().filter(is_first).map(Event::from).collect();
    Ok((
        Extension(RowsReturned(rows.len())),
        Json(EventsAnswer {
            complete_through: None,
            rows,
            next_cursor,
        }),
    ))
}

/// The first copy of each of these events that was sent more than once.
async fn first_copies(
    api: &Api,
    request: &RequestId,
    question: &Question,
    events: &[Key],
) -> Result<HashMap<Uuid, Coordinates>, Problem> {
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
