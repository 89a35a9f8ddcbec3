//! `GET /v1/system/ledger`: whether every record is accounted for (rows + rejected = records), by stage and topic.

use axum::Json;
use axum::extract::State;
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::Principal;
use crate::api::{Problem, RequestId};
use crate::handler::Api;

const SQL: &str = "\
    select toString(l.stage) as stage, toString(l.kafka_topic) as topic, \
    countIf(l.entry in ('batch', 'recovered')) as batches, countIf(l.entry = 'recovered') as recovered, \
    sumIf(l.records, l.entry in ('batch', 'recovered')) as records, sumIf(l.rows, l.entry in ('batch', 'recovered')) as rows, \
    sumIf(l.rejected, l.entry in ('batch', 'recovered')) as rejected, sumIf(l.late, l.entry in ('batch', 'recovered')) as late, \
    sumIf(l.expired, l.entry in ('batch', 'recovered')) as expired, countIf(l.entry = 'gap') as gaps, \
    toUInt64(greatest(0, sumIf(l.end_offset - l.start_offset - toInt64(l.rows + l.rejected), l.entry = 'gap'))) as lost_offsets, \
    toBool(countIf(l.entry in ('batch', 'recovered') and l.rows + l.rejected != l.records) = 0) as balanced \
    from batch_ledger as l final group by l.stage, l.kafka_topic order by stage, topic";

/// What became of a topic's records in a stage.
#[derive(Debug, Clone, Serialize, Deserialize, Row, ToSchema)]
pub struct Balance {
    /// Stage: ingest or aggregate.
    stage: String,
    /// Topic.
    topic: String,
    /// Batches stored.
    batches: u64,
    /// Of these, batches finished after a crash.
    recovered: u64,
    /// Records in the batches.
    records: u64,
    /// Records that became rows, or samples in the hours.
    rows: u64,
    /// Records that were rejected and stored as such.
    rejected: u64,
    /// Samples that arrived when their hour was already complete.
    late: u64,
    /// Rows that were past their retention on arrival.
    expired: u64,
    /// How often the broker no longer had records that were due.
    gaps: u64,
    /// Offsets in those gaps, except those that are stored after all.
    lost_offsets: u64,
    /// Whether rows + rejected = records in every single batch.
    balanced: bool,
}

/// The totals of the ledger.
#[derive(Debug, Serialize, ToSchema)]
pub struct LedgerAnswer {
    /// Ordered by stage and topic.
    rows: Vec<Balance>,
}

/// Shows whether every record is accounted for.
#[utoipa::path(
    get, path = "/v1/system/ledger", tag = "system",
    responses((status = 200, description = "The balance of each stage and topic.", body = LedgerAnswer))
)]
pub async fn ledger(
    State(api): State<Api>,
    principal: Principal,
    request: RequestId,
) -> Result<Json<LedgerAnswer>, Problem> {
    let _admitted = api.admit(&principal).await?;
    let rows = api.store.system(&request, &principal.facts().limits, SQL).await?;
    Ok(Json(LedgerAnswer { rows }))
}
