//! `GET /v1/system/progress`: how far each stage is with each partition, and what limits the completeness of metrics.

use axum::Json;
use axum::extract::State;
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::Principal;
use crate::api::{Instant, Problem, RequestId};
use crate::handler::Api;
use crate::metrics::completeness::{Completeness, LaggingPartition};

const SQL: &str = "\
    select toString(l.stage) as stage, toString(l.kafka_topic) as topic, l.kafka_partition as partition, \
    l.log_epoch as log_epoch, max(l.end_offset) as end_offset, \
    toUnixTimestamp64Milli(max(l.last_timestamp)) as last_record_at, \
    toUnixTimestamp64Milli(max(l.inserted_at)) as last_batch_at, \
    toInt64(dateDiff('second', max(l.last_timestamp), now64(3))) as behind_s \
    from batch_ledger as l where l.entry in ('batch', 'recovered') \
    group by l.stage, l.kafka_topic, l.kafka_partition, l.log_epoch \
    order by stage, topic, partition, log_epoch desc limit 1 by stage, topic, partition";

/// The progress of a stage in a partition.
#[derive(Debug, Clone, Serialize, Deserialize, Row, ToSchema)]
pub struct PartitionState {
    /// Stage: ingest or aggregate.
    stage: String,
    /// Topic.
    topic: String,
    /// Partition.
    partition: i32,
    /// Life of the partition's log.
    log_epoch: u32,
    /// Offset up to which records are stored; exclusive.
    end_offset: i64,
    /// Kafka timestamp of the last stored record.
    #[serde(serialize_with = "Instant::serialize_millis")]
    #[schema(value_type = Instant)]
    last_record_at: i64,
    /// When the last batch was stored.
    #[serde(serialize_with = "Instant::serialize_millis")]
    #[schema(value_type = Instant)]
    last_batch_at: i64,
    /// Age of the last stored record, which is the lag if records keep coming. Seconds.
    behind_s: i64,
}

/// The progress of the stages.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProgressAnswer {
    /// Hours of metrics that end at or before this moment are complete; `null` while a partition has not reported yet.
    complete_through: Option<Instant>,
    /// The partitions that limit it.
    held_back_by: Vec<LaggingPartition>,
    /// Every partition that ever had a record, by stage.
    rows: Vec<PartitionState>,
}

/// Shows how far each stage is with each partition.
#[utoipa::path(
    get, path = "/v1/system/progress", tag = "system",
    responses((status = 200, description = "The partitions.", body = ProgressAnswer))
)]
pub async fn progress(
    State(api): State<Api>,
    principal: Principal,
    request: RequestId,
) -> Result<Json<ProgressAnswer>, Problem> {
    let _admitted = api.admit(&principal).await?;
    let topic = &api.config.source.metrics_topic;
    let completeness = Completeness::of(&api.store.progress(&request, topic, None).await?);
    Ok(Json(ProgressAnswer {
        complete_through: completeness.through,
        held_back_by: completeness.held_back_by,
        rows: api.store.system(&request, &principal.facts().limits, SQL).await?,
    }))
}
