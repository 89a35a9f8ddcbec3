//! `GET /v1/metrics/revisions`: what late records changed, by hour: when, how many, how late, and where they are in
//! Kafka.
//!
//! One row per batch and hour. The changed numbers are in the hours themselves (`late_count`, `as_of`). Revisions are
//! kept by tenant, not by team: a caller who sees only some teams is refused.

use axum::Json;
use axum::extract::{Extension, State};
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::access::Caller;
use crate::api::instant::{Instant, Span};
use crate::api::observe::RowsReturned;
use crate::api::page::Limit;
use crate::api::{Asked, Problem, RequestId};
use crate::handler::Api;
use crate::metrics::selection::HourColumn;
use crate::store::{Parameter, Relation, TenantSelect};

const COLUMNS: &str = "r.hour as hour, r.revised_at as revised_at, toString(r.kafka_topic) as kafka_topic, \
    r.kafka_partition as kafka_partition, r.log_epoch as log_epoch, r.first_offset as first_offset, \
    r.last_offset as last_offset, r.records as records, r.lateness_max_s as lateness_max_s";
const AFTER: &str = "r.hour >= toDateTime({after_hour:UInt32}, 'UTC') and \
    (r.hour, r.revised_at, toString(r.kafka_topic), r.kafka_partition, r.first_offset) > \
    (toDateTime({after_hour:UInt32}, 'UTC'), toDateTime({after_revised_at:UInt32}, 'UTC'), {after_topic:String}, \
    {after_partition:Int32}, {after_offset:Int64})";
const ORDER: &str = "order by r.hour, r.revised_at, toString(r.kafka_topic), r.kafka_partition, r.first_offset";

/// Parameters of a list of revisions.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct RevisionsParameters {
    /// Only hours that start at or after this moment.
    from: Option<Instant>,
    /// Only hours that start before this moment.
    to: Option<Instant>,
    /// Only revisions made at or after this moment, to the minute.
    revised_from: Option<Instant>,
    /// Maximum revisions per page.
    #[param(inline)]
    limit: Limit<100, 10_000>,
    /// `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// What a batch changed in an hour that was complete.
#[derive(Debug, Clone, Serialize, Deserialize, Row, ToSchema)]
pub struct Revision {
    /// Start of the hour that was changed.
    #[serde(serialize_with = "Instant::serialize_seconds")]
    #[schema(value_type = Instant)]
    hour: u32,
    /// Time of the change, to the minute.
    #[serde(serialize_with = "Instant::serialize_seconds")]
    #[schema(value_type = Instant)]
    revised_at: u32,
    /// Kafka topic of the late records.
    kafka_topic: String,
    /// Kafka partition of the late records.
    kafka_partition: i32,
    /// Life of the partition's log.
    log_epoch: u32,
    /// Offset of the first of them.
    first_offset: i64,
    /// Offset of the last of them.
    last_offset: i64,
    /// Number of late records.
    records: u64,
    /// The most that one of them was behind the watermark. Seconds.
    lateness_max_s: u32,
}

/// A page of revisions, ordered by hour.
#[derive(Debug, Serialize, ToSchema)]
pub struct RevisionsAnswer {
    /// The revisions of this page.
    rows: Vec<Revision>,
    /// Cursor of the next page; `null` at the end.
    next_cursor: Option<String>,
}

/// Lists what late records changed in hours that were complete.
#[utoipa::path(
    get, path = "/v1/metrics/revisions", tag = "metrics", params(RevisionsParameters),
    responses((status = 200, description = "A page of revisions.", body = RevisionsAnswer))
)]
pub async fn revisions(
    State(api): State<Api>,
    caller: Caller,
    request: RequestId,
    Asked(asked): Asked<RevisionsParameters>,
) -> Result<(Extension<RowsReturned>, Json<RevisionsAnswer>), Problem> {
    let _admitted = api.admit(caller.principal()).await?;
    if !caller.teams().is_empty() {
        return Err(Problem::forbidden(
            "revisions cover a whole tenant, but this key sees only some of its teams",
        ));
    }
    let cursors = api.gate.cursor_key.bind("metrics/revisions", &caller, &asked)?;
    let span = Span::new(asked.from, asked.to)?;
    let revised_from = asked
        .revised_from
        .map(|from| Parameter::Integer(from.datetime_bound().into()));
    let select = TenantSelect::new(&caller, Relation::HourRevisions, COLUMNS);
    let mut select = HourColumn::OF_HOURS.between(select, span).and_if(
        "r.revised_at >= toDateTime({revised_from:UInt32}, 'UTC')",
        "revised_from",
        revised_from,
    );
    if let Some((hour, revised_at, topic, partition, offset)) = cursors.key::<Place>(asked.cursor.as_deref())? {
        select = select
            .and(AFTER)
            .bind("after_hour", Parameter::Integer(hour.into()))
            .bind("after_revised_at", Parameter::Integer(revised_at.into()))
            .bind("after_topic", Parameter::Text(topic))
            .bind("after_partition", Parameter::Integer(partition.into()))
            .bind("after_offset", Parameter::Integer(offset));
    }
    let bytes = |row: &Revision| size_of::<Revision>() + row.kafka_topic.len();
    let page = api
        .page::<Revision, _>(&request, select.then(ORDER), asked.limit.rows(), bytes)
        .await?;
    let next_cursor = page
        .continues_after()
        .map(|row| cursors.after(&row.place()))
        .transpose()?;
    let rows = page.into_rows();
    Ok((
        Extension(RowsReturned(rows.len())),
        Json(RevisionsAnswer { rows, next_cursor }),
    ))
}

/// The order of revisions: hour, minute, topic, partition, first offset.
type Place = (u32, u32, String, i32, i64);

impl Revision {
    fn place(&self) -> Place {
        let topic = self.kafka_topic.clone();
        (
            self.hour,
            self.revised_at,
            topic,
            self.kafka_partition,
            self.first_offset,
        )
    }
}
