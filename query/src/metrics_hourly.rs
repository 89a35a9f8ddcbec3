//! `GET /v1/metrics/hourly`: merged hours of one tenant, and through when they are complete.
//!
//! Order: metric_name, hour, service_id, plugin_id, environment, team_id, metric_type, unit; a page continues after the last
//! of these keys. An hour is in the span when it starts in it. A filter that is given but empty asks for the hours
//! whose column is empty.

use axum::Json;
use axum::extract::{Extension, RawQuery, State};
use clickhouse::Row;
use serde::{Deserialize, Serialize, Serializer};

use crate::completeness::complete_through;
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
pub const PATH: &str = "/v1/metrics/hourly";
const PARAMETERS: [&str; 9] = [
    "tenant_id",
    "metric_name",
    "service_id",
    "plugin_id",
    "environment",
    "from",
    "to",
    "limit",
    "cursor",
];
const LIMIT_DEFAULT: u32 = 100;
const LIMIT_MAX: u32 = 10_000;

const COLUMNS: &str = "r.hour as hour, r.tenant_id as tenant_id, r.metric_name as metric_name, r.service_id as service_id, \
    r.plugin_id as plugin_id, r.environment as environment, r.team_id as team_id, toString(r.metric_type) as metric_type, \
    r.unit as unit, r.count as count, r.late_count as late_count, r.sum as sum, r.avg as avg, r.min as min, r.max as max, \
    r.last as last, r.p50 as p50, r.p95 as p95, r.p99 as p99";
const ORDER: &str = "order by r.metric_name, r.hour, r.service_id, r.plugin_id, r.environment, r.team_id, \
    toString(r.metric_type), r.unit";
/// The first condition is implied by the second; it is the one that the primary key can use.
const AFTER: &str = "r.metric_name >= {after_metric_name:String} and \
    (r.metric_name, r.hour, r.service_id, r.plugin_id, r.environment, r.team_id, toString(r.metric_type), r.unit) > \
    ({after_metric_name:String}, toDateTime({after_hour:UInt32}, 'UTC'), {after_service_id:String}, \
    {after_plugin_id:String}, {after_environment:String}, {after_team_id:String}, {after_metric_type:String}, \
    {after_unit:String})";
/// Implied by [`AFTER`] where there is one metric only.
const AFTER_WITHIN_METRIC: &str = "r.hour >= toDateTime({after_hour:UInt32}, 'UTC')";

/// What is asked.
#[derive(Debug)]
pub struct Question {
    tenant: TenantId,
    metric_name: Option<String>,
    service_id: Option<String>,
    plugin_id: Option<String>,
    environment: Option<String>,
    span: Span,
    limit: u32,
    fingerprint: Fingerprint,
    after: Option<Key>,
}

/// The key of an hour, in the order of the answer. Written into cursors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Key {
    metric_name: String,
    hour: u32,
    service_id: String,
    plugin_id: String,
    environment: String,
    team_id: String,
    metric_type: String,
    unit: String,
}

/// One hour of one key.
#[derive(Debug, Clone, PartialEq, Row, Serialize, Deserialize)]
pub struct Hour {
    /// Its start, seconds since 1970.
    #[serde(serialize_with = "rfc3339")]
    pub hour: u32,
    /// Key.
    pub tenant_id: String,
    /// Key.
    pub metric_name: String,
    /// Key.
    pub service_id: String,
    /// Key.
    pub plugin_id: String,
    /// Key.
    pub environment: String,
    /// Key.
    pub team_id: String,
    /// Key: counter, gauge or histogram.
    pub metric_type: String,
    /// Key.
    pub unit: String,
    /// Samples.
    pub count: u64,
    /// Those among them that came when the hour was complete already.
    pub late_count: u64,
    /// Their sum; JSON `null` where it is beyond what a double can hold.
    pub sum: f64,
    /// Their mean; `null` likewise.
    pub avg: f64,
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
    /// That of the latest time.
    pub last: f64,
    /// Median, off by less than 0.6 %.
    pub p50: f64,
    /// 95th percentile, likewise.
    pub p95: f64,
    /// 99th percentile, likewise.
    pub p99: f64,
}

/// The answer.
#[derive(Debug, Serialize)]
pub struct Answer {
    complete_through: Option<Instant>,
    rows: Vec<Hour>,
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
    let complete_through = complete_through(&api.store.progress(&request, &api.metrics_topic).await?);
    let mut page = Page::new(question.limit, api.page_bytes_max);
    api.store
        .rows(&request, &question.select(), |hour: Hour| {
            let bytes = hour.bytes();
            page.push(hour, bytes)
        })
        .await?;
    let next_cursor = page
        .continues_after()
        .map(|hour| question.cursor_after(hour))
        .transpose()?;
    let rows = page.into_rows();
    Ok((
        Extension(RowsReturned(rows.len())),
        Json(Answer {
            complete_through,
            rows,
            next_cursor,
        }),
    ))
}

impl Question {
    /// From a query string.
    pub fn parse(raw: &str) -> Result<Self, Problem> {
        let parameters = Parameters::parse(raw, &PARAMETERS)?;
        let tenant = parameters.tenant()?;
        let [metric_name, service_id, plugin_id, environment] =
            ["metric_name", "service_id", "plugin_id", "environment"].map(|name| parameters.owned(name));
        let span = parameters.span()?;
        let limit = parameters.limit(LIMIT_DEFAULT, LIMIT_MAX)?;
        let [from, to] = [span.from, span.to].map(|end| end.map(Instant::to_rfc3339));
        let filters = [
            Some(tenant.as_str()),
            metric_name.as_deref(),
            service_id.as_deref(),
            plugin_id.as_deref(),
            environment.as_deref(),
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
            metric_name,
            service_id,
            plugin_id,
            environment,
            span,
            limit,
            fingerprint,
            after,
        })
    }

    fn select(&self) -> TenantSelect {
        let text = |value: &Option<String>| value.clone().map(Parameter::Text);
        let bound = |end: Option<Instant>| end.map(|end| Parameter::Integer(end.datetime_bound().into()));
        let select = TenantSelect::new(&self.tenant, Relation::MetricsHourly, COLUMNS)
            .and_if(
                "r.metric_name = {metric_name:String}",
                "metric_name",
                text(&self.metric_name),
            )
            .and_if(
                "r.service_id = {service_id:String}",
                "service_id",
                text(&self.service_id),
            )
            .and_if("r.plugin_id = {plugin_id:String}", "plugin_id", text(&self.plugin_id))
            .and_if(
                "r.environment = {environment:String}",
                "environment",
                text(&self.environment),
            )
            .and_if(
                "r.hour >= toDateTime({from:UInt32}, 'UTC')",
                "from",
                bound(self.span.from),
            )
            .and_if("r.hour < toDateTime({to:UInt32}, 'UTC')", "to", bound(self.span.to));
        // One row more than the page holds tells whether another page follows.
        self.continued(select).then(ORDER).limit(self.limit + 1)
    }

    fn continued(&self, select: TenantSelect) -> TenantSelect {
        let Some(after) = self.after.clone() else { return select };
        let select = match self.metric_name {
            Some(_) => select.and(AFTER_WITHIN_METRIC),
            None => select,
        };
        select
            .and(AFTER)
            .bind("after_metric_name", Parameter::Text(after.metric_name))
            .bind("after_hour", Parameter::Integer(after.hour.into()))
            .bind("after_service_id", Parameter::Text(after.service_id))
            .bind("after_plugin_id", Parameter::Text(after.plugin_id))
            .bind("after_environment", Parameter::Text(after.environment))
            .bind("after_team_id", Parameter::Text(after.team_id))
            .bind("after_metric_type", Parameter::Text(after.metric_type))
            .bind("after_unit", Parameter::Text(after.unit))
    }

    fn cursor_after(&self, hour: &Hour) -> Result<String, Problem> {
        cursor::encode(self.fingerprint, &hour.key()).map_err(|_| Problem::Internal)
    }
}

impl Hour {
    fn key(&self) -> Key {
        Key {
            metric_name: self.metric_name.clone(),
            hour: self.hour,
            service_id: self.service_id.clone(),
            plugin_id: self.plugin_id.clone(),
            environment: self.environment.clone(),
            team_id: self.team_id.clone(),
            metric_type: self.metric_type.clone(),
            unit: self.unit.clone(),
        }
    }

    /// About what it takes in memory.
    fn bytes(&self) -> usize {
        let texts = [
            &self.tenant_id,
            &self.metric_name,
            &self.service_id,
            &self.plugin_id,
            &self.environment,
            &self.team_id,
            &self.metric_type,
            &self.unit,
        ];
        size_of::<Self>() + texts.iter().map(|text| text.len()).sum::<usize>()
    }
}

fn rfc3339<S: Serializer>(seconds: &u32, serializer: S) -> Result<S::Ok, S::Error> {
    Instant::from_seconds(*seconds).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::parameters::any_query_string;

    fn is_scoped(select: &TenantSelect) -> bool {
        select.sql().contains(" where (r.tenant_id = {tenant_id:String})")
    }

    fn key() -> impl Strategy<Value = Key> {
        (any::<[String; 7]>(), any::<u32>()).prop_map(|(texts, hour)| {
            let [
                metric_name,
                service_id,
                plugin_id,
                environment,
                team_id,
                metric_type,
                unit,
            ] = texts;
            Key {
                metric_name,
                hour,
                service_id,
                plugin_id,
                environment,
                team_id,
                metric_type,
                unit,
            }
        })
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
        fn a_cursor_continues_after_its_key(key in key()) {
            let first = Question::parse("tenant_id=a&metric_name=m&from=2026-01-01&limit=3").unwrap();
            let cursor = cursor::encode(first.fingerprint, &key).unwrap();
            let next = Question::parse(&format!("cursor={cursor}&from=1767225600&metric_name=m&tenant_id=a")).unwrap();
            prop_assert_eq!(next.after, Some(key));
            let other = Question::parse(&format!("tenant_id=b&metric_name=m&from=2026-01-01&cursor={cursor}")).unwrap_err();
            prop_assert_eq!(other.named_parameter(), Some("cursor"));
        }
    }

    #[test]
    fn every_filter_becomes_a_bound_condition() {
        let raw = "tenant_id=a&metric_name=m&service_id=s&plugin_id=&environment=e&from=2026-01-01&to=2026-02-01";
        let select = Question::parse(raw).unwrap().select();
        let bound: Vec<_> = select.parameters().iter().map(|(name, _)| *name).collect();
        assert_eq!(
            bound,
            [
                "tenant_id",
                "metric_name",
                "service_id",
                "plugin_id",
                "environment",
                "from",
                "to"
            ]
        );
        for name in bound {
            assert!(select.sql().contains(&format!("{{{name}:")), "{name}: {}", select.sql());
        }
    }
}
