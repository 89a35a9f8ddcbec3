//! `GET /v1/audit/counts`: how many audit events, by columns and over time.
//!
//! Enters: the filters of the search, columns to group by, a size of time buckets. Leaves: counts, largest first, or in the order
//! of time. Counted is what the search shows: an event that was sent again counts once, as it was first, and not at all where the filters
//! match a later copy alone. The engine counts all rows that match, less the later copies among them, which it looks for by their ids: so
//! memory is that of the groups and of what was sent again, however many events there are.

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

/// How it is counted.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct Grouping {
    /// Column to count by.
    #[param(inline)]
    by: Option<CountColumn>,
    /// Size of the buckets of time to count in.
    #[param(inline)]
    bucket: Option<Bucket>,
    /// Groups at most; of a count without buckets the largest, with buckets the first.
    #[param(inline)]
    limit: Limit<1_000, 10_000>,
}

macro_rules! count_columns {
    ($($(#[$doc:meta])* $variant:ident = $column:literal,)*) => {
        /// A column to count by.
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
    /// Who did it.
    UserId = "user_id",
    /// The team of the user.
    TeamId = "team_id",
    /// The service that reports it.
    ServiceId = "service_id",
    /// The plugin inside the service.
    PluginId = "plugin_id",
    /// Where the action came from.
    Source = "source",
    /// What was done.
    Action = "action",
    /// The kind of thing it was done to.
    ResourceType = "resource_type",
    /// The thing it was done to.
    ResourceId = "resource_id",
    /// Its name at that time.
    ResourceName = "resource_name",
    /// Address of the caller.
    IpAddress = "ip_address",
    /// The caller's program.
    UserAgent = "user_agent",
    /// The caller's session.
    SessionId = "session_id",
    /// The request, which events of several services may share.
    RequestId = "request_id",
    /// How it ended.
    Status = "status",
    /// Why it did not succeed.
    ErrorMessage = "error_message",
}

/// A size of buckets of time, UTC.
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
    /// One row a group.
    rows: Vec<Count>,
    /// Whether there are more groups than `limit`.
    truncated: bool,
}

/// The events of a group.
#[derive(Debug, Serialize, ToSchema)]
pub struct Count {
    /// Where the bucket begins; absent without buckets.
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<Instant>,
    /// The value of the column; absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    /// Distinct events.
    count: u64,
}

const GROUPS: &str = "group by time, value";

/// A row after the last that is looked up.
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

/// How many audit events, by a column, over time, or both.
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
    let mut stored: Vec<StoredCount> = api
        .store
        .collect(&request, &select.then(ordered).limit(limit.rows() + 1))
        .await?;
    let truncated = stored.len() > limit.rows() as usize;
    stored.truncate(limit.rows() as usize);
    let shown = |row: StoredCount| Count {
        time: bucket.map(|_| Instant::from_seconds(row.time)),
        value: by.map(|_| row.value),
        count: row.count,
    };
    Ok(Json(CountsAnswer {
        rows: stored.into_iter().map(shown).collect(),
        truncated,
    }))
}

/// All rows that match, less the later copies among them. `looked_up` are the ids to look for copies of; all of the tenant's where it is absent.
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
        .outer(
            None,
            "i.time as time, i.value as value, toUInt64(sum(i.number)) as count",
        )
        .then("group by time, value having count > 0")
}

/// Text of the program alone: the column and the bucket are names of an enum each.
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
