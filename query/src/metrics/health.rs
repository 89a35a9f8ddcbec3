//! `GET /v1/metrics/health`: the health of each service of a tenant in the last complete hour of the topic.
//!
//! Enters: only the caller. Leaves: latency, requests, errors, availability against its objective and the burn rate, by
//! service and environment. What no metric measures is `null`, not zero. The definitions are those of
//! `service_health_summary`.

use axum::Json;
use axum::extract::{Extension, State};
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::Caller;
use crate::api::observe::RowsReturned;
use crate::api::{Instant, Problem, RequestId};
use crate::handler::Api;
use crate::store::{Parameter, Relation, TenantSelect};

/// Maximum number of rows, one per service and environment; more would not be an overview.
const ROWS_MAX: u32 = 10_000;
const COLUMNS: &str = "toString(r.service_id) as service_id, toString(r.environment) as environment, toUInt32(r.hour) as hour, \
    r.latency_p50_s as latency_p50_s, r.latency_p99_s as latency_p99_s, r.requests as requests, r.errors as errors, \
    r.throughput_per_s as throughput_per_s, r.error_rate as error_rate, r.availability as availability, \
    toFloat64(r.objective) as objective, r.burn_rate as burn_rate";

/// The health of a service in an environment.
#[derive(Debug, Clone, Serialize, Deserialize, Row, ToSchema)]
pub struct ServiceHealth {
    /// The service.
    service_id: String,
    /// The environment that it runs in.
    environment: String,
    /// Start of the hour.
    #[serde(serialize_with = "Instant::serialize_seconds")]
    #[schema(value_type = Instant)]
    hour: u32,
    /// Median latency. Seconds.
    latency_p50_s: Option<f64>,
    /// 99th percentile of the latency. Seconds.
    latency_p99_s: Option<f64>,
    /// Requests in the hour.
    requests: Option<f64>,
    /// Failed requests in the hour.
    errors: Option<f64>,
    /// Requests per second.
    throughput_per_s: Option<f64>,
    /// Share of requests that failed.
    error_rate: Option<f64>,
    /// Share of requests that did not fail.
    availability: Option<f64>,
    /// Objective for the availability.
    objective: f64,
    /// How fast the error budget of the objective is used up: 1 uses up exactly all of it.
    burn_rate: Option<f64>,
}

/// The health of all services.
#[derive(Debug, Serialize, ToSchema)]
pub struct HealthAnswer {
    /// Ordered by service and environment.
    rows: Vec<ServiceHealth>,
    /// Whether there are more, beyond 10,000 rows or the size of an answer.
    more: bool,
}

/// Shows the health of each service in the last complete hour.
#[utoipa::path(
    get, path = "/v1/metrics/health", tag = "metrics",
    responses((status = 200, description = "All services.", body = HealthAnswer))
)]
pub async fn health(
    State(api): State<Api>,
    caller: Caller,
    request: RequestId,
) -> Result<(Extension<RowsReturned>, Json<HealthAnswer>), Problem> {
    let _admitted = api.admit(caller.principal()).await?;
    if !caller.teams().is_empty() {
        return Err(Problem::forbidden(
            "the health of a service covers all its teams, but this key sees only some of them",
        ));
    }
    let topic = Parameter::Text(api.config.source.metrics_topic.clone());
    let select = TenantSelect::new(&caller, Relation::ServiceHealth, COLUMNS)
        .and("r.kafka_topic = {topic:String}")
        .bind("topic", topic)
        .then("order by service_id, environment");
    let bytes = |row: &ServiceHealth| size_of::<ServiceHealth>() + row.service_id.len() + row.environment.len();
    let page = api.page::<ServiceHealth, _>(&request, select, ROWS_MAX, bytes).await?;
    let (more, rows) = (page.has_more(), page.into_rows());
    Ok((Extension(RowsReturned(rows.len())), Json(HealthAnswer { rows, more })))
}
