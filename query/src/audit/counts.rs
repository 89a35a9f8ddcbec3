//! `GET /v1/audit/counts`: how many audit events, by columns and over time.
//!
//! Enters: the filters of the search, columns to group by, a size of time buckets. Leaves: counts, largest first, or in the order
//! of time. Counted are distinct events: a repeated one counts once, in the group of any of its copies that match.

use axum::Json;
use axum::extract::State;
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::access::Caller;
use crate::api::page::Limit;
use crate::api::parameters::Both;
use crate::api::{Api, Instant, Problem, RequestId};
use crate::audit::filter::EventFilter;
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
    /// Address of the caller.
    IpAddress = "ip_address",
    /// The caller's session.
    SessionId = "session_id",
    /// The request, which events of several services may share.
    RequestId = "request_id",
    /// How it ended.
    Status = "status",
}

/// A size of buckets of time, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
    let select = TenantSelect::new(&caller, Relation::AuditLogs, columns(by, bucket));
    let select = filter.conditions()?.apply(select);
    let ordered = match bucket {
        None => "group by time, value order by count desc, value",
        Some(_) => "group by time, value order by time, count desc, value",
    };
    let _admitted = api.admit(caller.principal()).await?;
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

/// Text of the program alone: the column and the bucket are names of an enum each.
fn columns(by: Option<CountColumn>, bucket: Option<Bucket>) -> Sql {
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
        .then(" as value, uniqExact(r.event_id) as count")
}
