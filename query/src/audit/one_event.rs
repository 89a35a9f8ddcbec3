//! `GET /v1/audit/events/{event_id}`: one audit event, what it changed, and its later copies.
//!
//! Enters: an id. Leaves: the first copy of the event, the difference of its values, and the later copies with their
//! coordinates. An event of another tenant is not found.

use std::ops::ControlFlow;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::access::Caller;
use crate::api::{Named, Problem, RequestId};
use crate::audit::copies;
use crate::audit::difference::Difference;
use crate::audit::event::{Event, StoredEvent};
use crate::handler::Api;
use crate::store::{Parameter, Relation, TenantSelect};

/// Maximum number of copies that are returned.
const COPIES_MAX: u32 = 100;

/// An event, and what it changed.
#[derive(Debug, Serialize, ToSchema)]
pub struct OneEventAnswer {
    /// The event, as in its first copy.
    event: Event,
    /// The changes from `old_value` to `new_value`.
    difference: Difference,
    /// Later copies of the event, at most a hundred.
    repeats: Vec<Event>,
}

/// Shows one audit event and what it changed.
#[utoipa::path(
    get,
    path = "/v1/audit/events/{event_id}",
    tag = "audit",
    params(("event_id" = Uuid, Path, description = "The event.")),
    responses((status = 200, description = "The event.", body = OneEventAnswer))
)]
pub async fn one_event(
    State(api): State<Api>,
    caller: Caller,
    request: RequestId,
    Named(event_id): Named<String>,
) -> Result<Json<OneEventAnswer>, Problem> {
    let event_id: Uuid = event_id.parse().map_err(|_| Problem::NotFound)?;
    let _admitted = api.admit(caller.principal()).await?;
    let keys = copies::told(&caller, copies::KEY)
        .and("r.event_id = {event_id:UUID}")
        .bind("event_id", Parameter::Text(event_id.to_string()));
    let events = TenantSelect::new(&caller, Relation::AuditLogs, StoredEvent::select());
    let select = copies::with_keys(events, keys)
        .then("order by")
        .then(copies::ORDER)
        .limit(COPIES_MAX);
    let (mut copies, mut bytes) = (Vec::new(), 0);
    let take = |stored: StoredEvent| {
        bytes += stored.bytes();
        copies.push(Event::from(stored));
        if bytes < api.config.limits.page_bytes_max {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    };
    api.store.rows(&request, &select, take).await?;
    let mut copies = copies.into_iter();
    let event = copies.next().ok_or(Problem::NotFound)?;
    Ok(Json(OneEventAnswer {
        difference: event.difference(),
        event,
        repeats: copies.collect(),
    }))
}
