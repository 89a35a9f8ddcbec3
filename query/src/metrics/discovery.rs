//! What can be queried: metrics with their types and units, values of the key columns, labels.
//!
//! `GET /v1/metrics/names`, `/values`, `/labels`. Names and values come from the hours, labels from raw samples; each
//! within a span, by default a recent one, and at most `limit` of them.

use axum::Json;
use axum::extract::{Extension, State};
use clickhouse::{Row, RowOwned, RowRead};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::access::Caller;
use crate::api::instant::{Instant, Span};
use crate::api::observe::RowsReturned;
use crate::api::page::Limit;
use crate::api::{Asked, Problem, RequestId};
use crate::handler::Api;
use crate::metrics::column::KeyColumn;
use crate::metrics::epochs::{Epochs, visible};
use crate::metrics::selection::HourColumn;
use crate::store::{Parameter, Relation, Sql, TenantSelect};

/// Parameters of a list of metrics.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct NamesParameters {
    /// Only names that contain this text, ignoring case.
    contains: Option<String>,
    /// Only metrics of these services.
    service_id: Vec<String>,
    /// Start of the span, inclusive. Default: seven days ago, or any time if there is an end.
    from: Option<Instant>,
    /// End of the span, exclusive.
    to: Option<Instant>,
    /// Maximum number of metrics.
    #[param(inline)]
    limit: Limit<1_000, 10_000>,
}

/// Parameters of a list of values.
#[derive(Debug, Clone, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ValuesParameters {
    /// Column whose values to list.
    #[param(inline)]
    column: KeyColumn,
    /// Only values of these metrics.
    #[serde(default)]
    metric_name: Vec<String>,
    /// Only values that contain this text, ignoring case.
    contains: Option<String>,
    /// Start of the span, inclusive. Default: seven days ago, or any time if there is an end.
    from: Option<Instant>,
    /// End of the span, exclusive.
    to: Option<Instant>,
    /// Maximum number of values.
    #[serde(default)]
    #[param(inline)]
    limit: Limit<1_000, 10_000>,
}

/// Parameters of a list of labels.
#[derive(Debug, Clone, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct LabelsParameters {
    /// Metric whose labels to list.
    metric_name: String,
    /// Label whose values to list. Without it, the names of the labels are listed.
    label: Option<String>,
    /// Start of the span, inclusive. Default: an hour ago, or any time if there is an end.
    from: Option<Instant>,
    /// End of the span, exclusive.
    to: Option<Instant>,
    /// Maximum number of labels or values.
    #[serde(default)]
    #[param(inline)]
    limit: Limit<100, 1_000>,
}

/// A metric.
#[derive(Debug, Clone, Serialize, Deserialize, Row, ToSchema)]
pub struct MetricName {
    /// Its name.
    metric_name: String,
    /// Counter, gauge or histogram.
    metric_type: String,
    /// Unit.
    unit: String,
}

/// A value of a column or label, or the name of a label.
#[derive(Debug, Clone, Serialize, Deserialize, Row, ToSchema)]
pub struct FoundValue {
    /// The value; empty for samples without one.
    value: String,
    /// Number of samples in the span that have it.
    samples: u64,
}

/// What is listed.
trait Found: RowOwned + RowRead + Send {
    /// Size in memory.
    fn bytes(&self) -> usize;
}

impl Found for MetricName {
    fn bytes(&self) -> usize {
        let texts = [&self.metric_name, &self.metric_type, &self.unit];
        size_of::<Self>() + texts.map(String::len).iter().sum::<usize>()
    }
}

impl Found for FoundValue {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.value.len()
    }
}

/// A list of what was found.
#[derive(Debug, Serialize, ToSchema)]
pub struct FoundAnswer<T> {
    /// In alphabetical order.
    rows: Vec<T>,
    /// Whether there are more, beyond `limit` or the size of an answer; narrow the query to see them.
    more: bool,
}

/// Lists metrics with their types and units.
#[utoipa::path(
    get, path = "/v1/metrics/names", tag = "metrics", params(NamesParameters),
    responses((status = 200, description = "Metrics.", body = FoundAnswer<MetricName>))
)]
pub async fn names(
    State(api): State<Api>,
    caller: Caller,
    request: RequestId,
    Asked(asked): Asked<NamesParameters>,
) -> Result<(Extension<RowsReturned>, Json<FoundAnswer<MetricName>>), Problem> {
    let columns =
        "toString(r.metric_name) as metric_name, toString(r.metric_type) as metric_type, toString(r.unit) as unit";
    let select = TenantSelect::new(&caller, Relation::PartialHours, columns)
        .and_if(
            "r.metric_name ilike concat('%', {contains:String}, '%')",
            "contains",
            asked.contains.as_deref().map(like_pattern),
        )
        .and_among(
            "r.service_id in {service_id:Array(String)}",
            "service_id",
            &asked.service_id,
        );
    let select = visible(within(select, HOURS, asked.from, asked.to)?, Epochs::Now)
        .then("group by metric_name, metric_type, unit order by metric_name, metric_type, unit");
    found(&api, &caller, &request, select, asked.limit.rows()).await
}

/// Lists the values of a key column: services, plugins, environments, teams.
#[utoipa::path(
    get, path = "/v1/metrics/values", tag = "metrics", params(ValuesParameters),
    responses((status = 200, description = "Values.", body = FoundAnswer<FoundValue>))
)]
pub async fn values(
    State(api): State<Api>,
    caller: Caller,
    request: RequestId,
    Asked(asked): Asked<ValuesParameters>,
) -> Result<(Extension<RowsReturned>, Json<FoundAnswer<FoundValue>>), Problem> {
    let column = asked.column.name();
    let columns = Sql::concat(["toString(r.", column, ") as value, sum(r.count) as samples"]);
    let mut select = TenantSelect::new(&caller, Relation::PartialHours, columns).and_among(
        "r.metric_name in {metric_name:Array(String)}",
        "metric_name",
        &asked.metric_name,
    );
    if let Some(contains) = asked.contains.as_deref() {
        let condition = Sql::concat(["r.", column, " ilike concat('%', {contains:String}, '%')"]);
        select = select.and(condition).bind("contains", like_pattern(contains));
    }
    let select =
        visible(within(select, HOURS, asked.from, asked.to)?, Epochs::Now).then("group by value order by value");
    found(&api, &caller, &request, select, asked.limit.rows()).await
}

/// Lists the labels of a metric: their names, or the values of one label.
#[utoipa::path(
    get, path = "/v1/metrics/labels", tag = "metrics", params(LabelsParameters),
    responses((status = 200, description = "Names or values.", body = FoundAnswer<FoundValue>))
)]
pub async fn labels(
    State(api): State<Api>,
    caller: Caller,
    request: RequestId,
    Asked(asked): Asked<LabelsParameters>,
) -> Result<(Extension<RowsReturned>, Json<FoundAnswer<FoundValue>>), Problem> {
    let columns = match asked.label {
        None => "toString(arrayJoin(mapKeys(r.labels))) as value, count() as samples",
        Some(_) => "r.labels[{label:String}] as value, count() as samples",
    };
    let select = TenantSelect::new(&caller, Relation::Metrics, columns)
        .and("r.metric_name = {metric_name:String}")
        .bind("metric_name", Parameter::Text(asked.metric_name))
        .and_if(
            "mapContains(r.labels, {label:String})",
            "label",
            asked.label.map(Parameter::Text),
        );
    let select = within(select, SAMPLES, asked.from, asked.to)?.then("group by value order by value");
    found(&api, &caller, &request, select, asked.limit.rows()).await
}

/// The span's conditions for one table.
struct SpanSql {
    /// Time covered by a row of the table. Microseconds.
    row_us: i64,
    recent: &'static str,
    column: HourColumn,
}

const HOURS: SpanSql = SpanSql {
    row_us: 3_600_000_000,
    recent: "r.hour >= now('UTC') - interval 7 day",
    column: HourColumn::OF_HOURS,
};
const SAMPLES: SpanSql = SpanSql {
    row_us: 1,
    recent: "r.time >= now('UTC') - interval 1 hour",
    column: HourColumn::OF_SAMPLES,
};

fn within(
    select: TenantSelect,
    sql: SpanSql,
    from: Option<Instant>,
    to: Option<Instant>,
) -> Result<TenantSelect, Problem> {
    let Span { from, to } = Span::new(from, to)?;
    if from.is_none() && to.is_none() {
        return Ok(select.and(sql.recent));
    }
    // A row that began before the span may contain samples of it.
    let begun = |from: i64| Instant::from_micros(from - from.rem_euclid(sql.row_us));
    let from = from.map(|from| begun(from.micros()));
    Ok(sql.column.between(select, Span { from, to }))
}

/// Escapes a text so that it matches itself in `like`.
fn like_pattern(text: &str) -> Parameter {
    let mut pattern = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    Parameter::Text(pattern)
}

async fn found<T: Found>(
    api: &Api,
    caller: &Caller,
    request: &RequestId,
    select: TenantSelect,
    limit: u32,
) -> Result<(Extension<RowsReturned>, Json<FoundAnswer<T>>), Problem> {
    let _admitted = api.admit(caller.principal()).await?;
    let page = api.page::<T, _>(request, select, limit, T::bytes).await?;
    let (more, rows) = (page.has_more(), page.into_rows());
    Ok((Extension(RowsReturned(rows.len())), Json(FoundAnswer { rows, more })))
}
