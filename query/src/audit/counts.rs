//! `GET /v1/audit/counts`: the number of audit events, by columns and over time.
//!
//! Enters: the filters of the search, columns to group by, a bucket size. Leaves: counts, largest first, or in order of
//! time. It counts what the search shows: an event that was sent again counts once, as its first copy, and not at all
//! if the filters match only a later copy. The engine counts all rows that match, minus the later copies among them,
//! which it finds by their ids: so memory is proportional to the groups and to the events sent again, not to all
//! events.

use axum::Json;
use axum::extract::State;
use clap::ValueEnum;
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::access::Caller;
use crate::api::page::Limit;
use crate::api::parameters::Both;
use crate::api::{Instant, Problem, RequestId};
use crate::audit::copies;
use crate::audit::filter::{Conditions, EventFilter};
use crate::handler::Api;
use crate::store::{Relation, Sql, TenantSelect};

/// Grouping of a count.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct Grouping {
    /// Column to count by.
    #[param(inline)]
    by: Option<CountColumn>,
    /// Size of the time buckets.
    #[param(inline)]
    bucket: Option<Bucket>,
    /// Maximum number of groups: without buckets the largest groups, with buckets the first in order of time.
    #[param(inline)]
    limit: Limit<1_000, 10_000>,
}

macro_rules! count_columns {
    ($($(#[$doc:meta])* $variant:ident = $column:literal,)*) => {
        /// A column to group by.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum CountColumn { $($(#[$doc])* $variant,)* }

        impl CountColumn {
            fn name(self) -> &'static str {
                match self { $(Self::$variant => $column,)* }
            }
        }
    };
}

count_columns! {
    /// The user who acted.
    UserId = "user_id",
    /// The team of the user.
    TeamId = "team_id",
    /// The service that reported the event.
    ServiceId = "service_id",
    /// The plugin within the service.
    PluginId = "plugin_id",
    /// Where the action came from.
    Source = "source",
    /// The action.
    Action = "action",
    /// The type of the resource.
    ResourceType = "resource_type",
    /// The resource that the action was applied to.
    ResourceId = "resource_id",
    /// The name of the resource at that time.
    ResourceName = "resource_name",
    /// IP address of the client.
    IpAddress = "ip_address",
    /// User agent of the client.
    UserAgent = "user_agent",
    /// Session of the user.
    SessionId = "session_id",
    /// The request; events of several services may share one.
    RequestId = "request_id",
    /// The outcome.
    Status = "status",
    /// Why it did not succeed.
    ErrorMessage = "error_message",
}

/// A size of time buckets (UTC).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Bucket {
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// A month.
    Month,
}

/// Counts.
#[derive(Debug, Serialize, ToSchema)]
pub struct CountsAnswer {
    /// One row per group.
    rows: Vec<Count>,
    /// Whether there are more groups, beyond `limit` or the size of an answer.
    truncated: bool,
}

/// The count of one group.
#[derive(Debug, Serialize, ToSchema)]
pub struct Count {
    /// Start of the bucket; absent without buckets.
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<Instant>,
    /// The value of the column; absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    /// Number of distinct events.
    count: u64,
}

const GROUPS: &str = "group by time, value";

/// Marks that more rows match than are looked up.
#[derive(Debug, Row, Deserialize)]
struct Beyond {
    #[serde(rename = "row")]
    _row: u8,
}

#[derive(Debug, Row, Deserialize)]
struct StoredCount {
    time: u32,
    value: String,
    count: u64,
}

/// Counts audit events by a column, over time, or both.
#[utoipa::path(
    get,
    path = "/v1/audit/counts",
    tag = "audit",
    params(EventFilter, Grouping),
    responses((status = 200, description = "The counts.", body = CountsAnswer))
)]
pub async fn counts(
    State(api): State<Api>,
    caller: Caller,
    request: RequestId,
    Both(filter, Grouping { by, bucket, limit }): Both<EventFilter, Grouping>,
) -> Result<Json<CountsAnswer>, Problem> {
    let conditions = filter.conditions()?;
    let _admitted = api.admit(caller.principal()).await?;
    let matching = |columns: Sql| conditions.apply(TenantSelect::new(&caller, Relation::AuditLogs, columns));
    let beyond: Option<Beyond> = api
        .store
        .first(
            &request,
            &matching(Sql::from("toUInt8(1) as row")).only(copies::LOOKED_UP_MAX),
        )
        .await?;
    let looked_up = beyond.is_none().then(|| matching(Sql::from(copies::ID)));
    let select = select(&caller, &conditions, looked_up, by, bucket);
    let ordered = match bucket {
        None => "order by count desc, value",
        Some(_) => "order by time, count desc, value",
    };
    let bytes = |row: &StoredCount| size_of::<StoredCount>() + row.value.len();
    let page = api
        .page::<StoredCount, _>(&request, select.then(ordered), limit.rows(), bytes)
        .await?;
    let shown = |row: StoredCount| Count {
        time: bucket.map(|_| Instant::from_seconds(row.time)),
        value: by.map(|_| row.value),
        count: row.count,
    };
    Ok(Json(CountsAnswer {
        truncated: page.has_more(),
        rows: page.into_rows().into_iter().map(shown).collect(),
    }))
}

/// All rows that match, minus the later copies among them. `looked_up` are the ids whose copies to look for; if absent,
/// all ids of the tenant.
fn select(
    caller: &Caller,
    conditions: &Conditions,
    looked_up: Option<TenantSelect>,
    by: Option<CountColumn>,
    bucket: Option<Bucket>,
) -> TenantSelect {
    let grouped = |number| {
        let columns = columns(by, bucket, number);
        conditions.apply(TenantSelect::new(caller, Relation::AuditLogs, columns))
    };
    let told_ids = copies::told(caller, copies::ID);
    let told_ids = match looked_up {
        Some(ids) => told_ids.and_in("r.event_id", ids),
        None => told_ids,
    };
    let told_keys = copies::told(caller, copies::KEY).and_in("r.event_id", copies::sent_again(told_ids));
    let later = copies::only_later(grouped("-toInt64(count())"), caller, told_keys);
    grouped("toInt64(count())")
        .then(GROUPS)
        .union_all(later.then(GROUPS))
        .outer("i.time as time, i.value as value, toUInt64(sum(i.number)) as count")
        .then("group by time, value having count > 0")
}

/// Made of the program's own texts only: column and bucket are variants of an enum.
fn columns(by: Option<CountColumn>, bucket: Option<Bucket>, number: &'static str) -> Sql {
    let time = match bucket {
        None => "toUInt32(0)",
        Some(Bucket::Hour) => "toUInt32(toStartOfHour(r.occurred_at))",
        Some(Bucket::Day) => "toUInt32(toStartOfDay(r.occurred_at))",
        Some(Bucket::Month) => "toUInt32(toDateTime(toStartOfMonth(r.occurred_at), 'UTC'))",
    };
    let value = match by {
        None => Sql::from("''"),
        Some(column) => Sql::concat(["toString(r.", column.name(), ")"]),
    };
    Sql::concat([time, " as time, "])
        .then(value)
        .then(Sql::concat([" as value, ", number, " as number"]))
}
