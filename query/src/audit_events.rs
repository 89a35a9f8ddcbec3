//! `GET /v1/audit/events`: audit events of one tenant, newest first, in full.
//!
//! A repeated (tenant_id, event_id) is shown once: the copy whose Kafka coordinates come first. Copies that agree in time
//! are neighbours, and the statement keeps one of them. Copies that differ in time, or of which the filters match only
//! some, are found by asking for the first coordinates of each event of the page; those that are not first leave the
//! page. So a page may hold fewer events than `limit`: the end is where `next_cursor` is null.
//!
//! `complete_through` is always null: ingest freezes no watermark, so nothing can be claimed about events to come.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{Extension, RawQuery, State};
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::audit_event::{Coordinates, Event, StoredEvent};
use crate::cursor::{self, Fingerprint};
use crate::instant::Instant;
use crate::observe::{RequestId, RowsReturned};
use crate::page::Page;
use crate::parameters::{Parameters, Span};
use crate::problem::Problem;
use crate::select::{Parameter, Relation, TenantSelect};
use crate::server::Api;
use crate::tenant::TenantId;

/// Where it is served.
pub const PATH: &str = "/v1/audit/events";
const PARAMETERS: [&str; 10] = [
    "tenant_id",
    "user_id",
    "action",
    "resource_type",
    "resource_id",
    "status",
    "from",
    "to",
    "limit",
    "cursor",
];
const STATUSES: [&str; 3] = ["success", "failure", "error"];
const LIMIT_DEFAULT: u32 = 100;
/// Also bounds the ids in one statement: 1,000 of them stay far below the 128 KiB that ClickHouse takes for a parameter.
const LIMIT_MAX: u32 = 1_000;

/// The first condition is implied by the second; it is the one that the primary key can use.
const AFTER: &str = "r.occurred_at <= fromUnixTimestamp64Micro({after_time:Int64}, 'UTC') and \
    (r.occurred_at, r.event_id) < (fromUnixTimestamp64Micro({after_time:Int64}, 'UTC'), {after_id:UUID})";
/// `limit 1 by` keeps the first copy of those that agree in time and id.
const NEWEST_FIRST: &str = "order by r.occurred_at desc, r.event_id desc, \
    r.kafka_topic, r.log_epoch, r.kafka_partition, r.kafka_offset limit 1 by r.occurred_at, r.event_id";
const FIRST_COPY: &str = "r.event_id as event_id, \
    min((toString(r.kafka_topic), r.log_epoch, r.kafka_partition, r.kafka_offset)) as coordinates";

/// What is asked.
#[derive(Debug)]
pub struct Question {
    tenant: TenantId,
    user_id: Option<String>,
    action: Option<String>,
    resource_type: Option<String>,
    resource_id: Option<String>,
    status: Option<&'static str>,
    span: Span,
    limit: u32,
    fingerprint: Fingerprint,
    after: Option<Key>,
}

/// The key of an event, in the order of the answer. Written into cursors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Key {
    occurred_at_micros: i64,
    event_id: Uuid,
}

/// Where the first copy of an event is.
#[derive(Debug, Row, Deserialize)]
struct FirstCopy {
    #[serde(with = "clickhouse::serde::uuid")]
    event_id: Uuid,
    coordinates: Coordinates,
}

/// The answer.
#[derive(Debug, Serialize)]
pub struct Answer {
    complete_through: Option<Instant>,
    rows: Vec<Event>,
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
    let mut page = Page::new(question.limit, api.page_bytes_max);
    let take = |event: StoredEvent| {
        let bytes = event.bytes();
        page.push(event, bytes)
    };
    api.store.rows(&request, &question.select(), take).await?;
    let next_cursor = page
        .continues_after()
        .map(|event| question.cursor_after(event))
        .transpose()?;
    let first = first_copies(&api, &request, &question, page.rows()).await?;
    let is_first = |event: &StoredEvent| {
        first
            .get(&event.event_id)
            .is_none_or(|first| *first == event.coordinates())
    };
    let rows: Vec<Event> = page.into_rows().into_iter().filter(is_first).map(Event::from).collect();
    Ok((
        Extension(RowsReturned(rows.len())),
        Json(Answer {
            complete_through: None,
            rows,
            next_cursor,
        }),
    ))
}

/// The first copy of each event of a page.
async fn first_copies(
    api: &Api,
    request: &RequestId,
    question: &Question,
    events: &[StoredEvent],
) -> Result<HashMap<Uuid, Coordinates>, Problem> {
    let mut first = HashMap::with_capacity(events.len());
    if events.is_empty() {
        return Ok(first);
    }
    let take = |copy: FirstCopy| {
        first.insert(copy.event_id, copy.coordinates);
        std::ops::ControlFlow::Continue(())
    };
    api.store
        .rows(request, &question.select_first_copies(events), take)
        .await?;
    Ok(first)
}

impl Question {
    /// From a query string.
    pub fn parse(raw: &str) -> Result<Self, Problem> {
        let parameters = Parameters::parse(raw, &PARAMETERS)?;
        let tenant = parameters.tenant()?;
        let [user_id, action, resource_type, resource_id] =
            ["user_id", "action", "resource_type", "resource_id"].map(|name| parameters.owned(name));
        let status = parameters.one_of("status", &STATUSES)?;
        let span = parameters.span()?;
        let limit = parameters.limit(LIMIT_DEFAULT, LIMIT_MAX)?;
        let [from, to] = [span.from, span.to].map(|end| end.map(Instant::to_rfc3339));
        let filters = [
            Some(tenant.as_str()),
            user_id.as_deref(),
            action.as_deref(),
            resource_type.as_deref(),
            resource_id.as_deref(),
            status,
            from.as_deref(),
            to.as_deref(),
        ];
        let fingerprint = Fingerprint::of(PATH, &filters);
        let after = parameters
            .text("cursor")
            .map(|text| cursor::decode(fingerprint, text))
            .transpose();
        let after = after.map_err(|error| Problem::parameter("cursor", error))?;
        Ok(Self {
            tenant,
            user_id,
            action,
            resource_type,
            resource_id,
            status,
            span,
            limit,
            fingerprint,
            after,
        })
    }

    fn select(&self) -> TenantSelect {
        let text = |value: &Option<String>| value.clone().map(Parameter::Text);
        let bound = |end: Option<Instant>| end.map(|end| Parameter::Integer(end.datetime64_bound()));
        let status = self.status.map(|status| Parameter::Text(status.to_owned()));
        let mut select = TenantSelect::new(&self.tenant, Relation::AuditLogs, StoredEvent::COLUMNS)
            .and_if("r.user_id = {user_id:String}", "user_id", text(&self.user_id))
            .and_if("r.action = {action:String}", "action", text(&self.action))
            .and_if(
                "r.resource_type = {resource_type:String}",
                "resource_type",
                text(&self.resource_type),
            )
            .and_if(
                "r.resource_id = {resource_id:String}",
                "resource_id",
                text(&self.resource_id),
            )
            .and_if("r.status = {status:String}", "status", status)
            .and_if(
                "r.occurred_at >= fromUnixTimestamp64Micro({from:Int64}, 'UTC')",
                "from",
                bound(self.span.from),
            )
            .and_if(
                "r.occurred_at < fromUnixTimestamp64Micro({to:Int64}, 'UTC')",
                "to",
                bound(self.span.to),
            );
        if let Some(after) = &self.after {
            select = select
                .and(AFTER)
                .bind("after_time", Parameter::Integer(after.occurred_at_micros))
                .bind("after_id", Parameter::Text(after.event_id.to_string()));
        }
        // One row more than the page holds tells whether another page follows.
        select.then(NEWEST_FIRST).limit(self.limit + 1)
    }

    fn select_first_copies(&self, events: &[StoredEvent]) -> TenantSelect {
        let ids = events.iter().map(|event| event.event_id.to_string()).collect();
        TenantSelect::new(&self.tenant, Relation::AuditLogs, FIRST_COPY)
            .and("r.event_id in {event_ids:Array(UUID)}")
            .bind("event_ids", Parameter::Texts(ids))
            .then("group by r.event_id")
    }

    fn cursor_after(&self, event: &StoredEvent) -> Result<String, Problem> {
        let key = Key {
            occurred_at_micros: event.occurred_at,
            event_id: event.event_id,
        };
        cursor::encode(self.fingerprint, &key).map_err(|_| Problem::Internal)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::parameters::any_query_string;

    fn is_scoped(select: &TenantSelect) -> bool {
        select.sql().contains(" where (r.tenant_id = {tenant_id:String})")
    }

    proptest! {
        #[test]
        fn any_query_string_is_a_question_or_a_problem(raw in any_query_string(&PARAMETERS)) {
            match Question::parse(&raw) {
                Ok(question) => prop_assert!(is_scoped(&question.select())),
                Err(problem) => prop_assert!(problem.named_parameter().is_some(), "{problem}"),
            }
        }

        #[test]
        fn a_cursor_continues_after_its_key(occurred_at_micros in any::<i64>(), id in any::<u128>(), limit in 1u32..1_000) {
            let key = Key { occurred_at_micros, event_id: Uuid::from_u128(id) };
            let first = Question::parse("tenant_id=a&status=error&to=2026-01-01").unwrap();
            let cursor = cursor::encode(first.fingerprint, &key).unwrap();
            let next = format!("tenant_id=a&status=error&to=2026-01-01T00:00:00Z&limit={limit}&cursor={cursor}");
            prop_assert_eq!(Question::parse(&next).unwrap().after, Some(key));
            let other = Question::parse(&format!("tenant_id=a&to=2026-01-01&cursor={cursor}")).unwrap_err();
            prop_assert_eq!(other.named_parameter(), Some("cursor"));
        }
    }

    #[test]
    fn every_filter_becomes_a_bound_condition() {
        let raw =
            "tenant_id=a&user_id=u&action=x&resource_type=t&resource_id=&status=error&from=2026-01-01&to=2026-02-01";
        let select = Question::parse(raw).unwrap().select();
        let bound: Vec<_> = select.parameters().iter().map(|(name, _)| *name).collect();
        assert_eq!(
            bound,
            [
                "tenant_id",
                "user_id",
                "action",
                "resource_type",
                "resource_id",
                "status",
                "from",
                "to"
            ]
        );
        for name in bound {
            assert!(select.sql().contains(&format!("{{{name}:")), "{name}: {}", select.sql());
        }
    }

    #[test]
    fn a_status_that_does_not_exist_is_named() {
        let problem = Question::parse("tenant_id=a&status=ok").unwrap_err();
        assert_eq!(
            problem,
            Problem::parameter("status", "expected one of success, failure, error")
        );
    }
}
