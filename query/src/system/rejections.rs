//! `GET /v1/system/rejections`: why records were rejected, by topic and reason, with the newest of each.
//!
//! In words, and without what the records say: whoever sent one finds it in Kafka by its offset.

use axum::Json;
use axum::extract::State;
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::Principal;
use crate::api::{Instant, Problem, RequestId};
use crate::handler::Api;

/// What ClickHouse says of a row that it refuses may quote the row.
const SQL: &str = "\
    select toString(r.kafka_topic) as topic, toString(r.step) as step, toString(r.reason) as reason, count() as records, \
    toUnixTimestamp64Milli(min(r.kafka_timestamp)) as first_at, \
    (argMax((r.kafka_timestamp, r.kafka_partition, r.kafka_offset, r.detail), (r.kafka_timestamp, r.kafka_partition, r.kafka_offset)) as newest).2 as newest_partition, \
    newest.3 as newest_offset, toUnixTimestamp64Milli(newest.1) as newest_at, \
    if(step = 'insert', null, newest.4) as newest_detail \
    from rejected_records as r group by r.kafka_topic, r.step, r.reason order by topic, records desc, reason";

/// Records of a topic that were rejected for the same reason.
#[derive(Debug, Clone, Serialize, Deserialize, Row, ToSchema)]
pub struct Rejections {
    /// Topic.
    topic: String,
    /// Where they failed: framing, decode, validate or insert.
    step: String,
    /// Why: a stable code.
    reason: String,
    /// How many are kept.
    records: u64,
    /// Kafka timestamp of the first of them.
    #[serde(serialize_with = "Instant::serialize_millis")]
    #[schema(value_type = Instant)]
    first_at: i64,
    /// Partition of the newest.
    newest_partition: i32,
    /// Offset of the newest.
    newest_offset: i64,
    /// Kafka timestamp of the newest.
    #[serde(serialize_with = "Instant::serialize_millis")]
    #[schema(value_type = Instant)]
    newest_at: i64,
    /// What is wrong with the newest, in words that quote nothing of it; `null` if ClickHouse refused it.
    newest_detail: Option<String>,
}

/// Why records were rejected.
#[derive(Debug, Serialize, ToSchema)]
pub struct RejectionsAnswer {
    /// By topic, the most frequent reason first.
    rows: Vec<Rejections>,
}

/// Shows why records were rejected.
#[utoipa::path(
    get, path = "/v1/system/rejections", tag = "system",
    responses((status = 200, description = "The reasons by topic, with the newest record of each.", body = RejectionsAnswer))
)]
pub async fn rejections(
    State(api): State<Api>,
    principal: Principal,
    request: RequestId,
) -> Result<Json<RejectionsAnswer>, Problem> {
    let _admitted = api.admit(&principal).await?;
    let rows = api.store.system(&request, &principal.facts().limits, SQL).await?;
    Ok(Json(RejectionsAnswer { rows }))
}
