//! What is asked of the hours of one tenant: from a query string to statements.
//!
//! A page is read with two statements. The first finds where it ends, by keys alone, in the order of the table; the
//! second merges what lies up to there. With one statement the engine would merge every hour that matches for each page:
//! 3.5 s instead of 0.03 s for the first hundred of 720,000 hours. Pure.

use clickhouse::Row;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use crate::access::Caller;
use crate::api::Problem;
use crate::api::cursor::{CursorKey, Cursors};
use crate::api::instant::{Instant, Span};
use crate::api::page::Limit;
use crate::metrics::hour::{Hour, Key};
use crate::store::{Parameter, Relation, TenantSelect};

const RESOURCE: &str = "metrics/hourly";

/// What can be asked of hours. A filter that is given but empty asks for the hours whose column is empty.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct HourlyParameters {
    /// Only this metric.
    metric_name: Option<String>,
    /// Only this service.
    service_id: Option<String>,
    /// Only this plugin.
    plugin_id: Option<String>,
    /// Only this environment.
    environment: Option<String>,
    /// First moment inside. An hour is in the span when it starts in it.
    from: Option<Instant>,
    /// First moment after.
    to: Option<Instant>,
    /// Hours of a page at most.
    limit: Limit<100, 10_000>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

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
/// The first condition is implied by the second, as in [`AFTER`].
const UP_TO: &str = "r.metric_name <= {end_metric_name:String} and \
    (r.metric_name, r.hour, r.service_id, r.plugin_id, r.environment, r.team_id) <= \
    ({end_metric_name:String}, toDateTime({end_hour:UInt32}, 'UTC'), {end_service_id:String}, {end_plugin_id:String}, \
    {end_environment:String}, {end_team_id:String})";
/// Implied by [`UP_TO`] where there is one metric only.
const UP_TO_WITHIN_METRIC: &str = "r.hour <= toDateTime({end_hour:UInt32}, 'UTC')";
/// Epoch 0 is what the view shows. The key without metric_type and unit is the beginning of the table's order, so the
/// engine reads only as far as it must.
const KEYS: &str = "r.metric_name as metric_name, r.hour as hour, r.service_id as service_id, r.plugin_id as plugin_id, \
    r.environment as environment, r.team_id as team_id";
const EACH_KEY: &str = "order by r.metric_name, r.hour, r.service_id, r.plugin_id, r.environment, r.team_id \
    limit 1 by r.metric_name, r.hour, r.service_id, r.plugin_id, r.environment, r.team_id";

/// What is asked.
#[derive(Debug)]
pub struct Question {
    caller: Caller,
    parameters: HourlyParameters,
    span: Span,
    cursors: Cursors,
    after: Option<Key>,
}

/// Where a page ends: a key at or after that of its last row.
#[derive(Debug, Clone, Row, Deserialize)]
pub struct PageEnd {
    metric_name: String,
    hour: u32,
    service_id: String,
    plugin_id: String,
    environment: String,
    team_id: String,
}

impl Question {
    /// Of one caller.
    pub fn new(cursor_key: &CursorKey, caller: Caller, parameters: HourlyParameters) -> Result<Self, Problem> {
        let cursors = cursor_key.bind(RESOURCE, &caller, &parameters)?;
        Ok(Self {
            span: Span::new(parameters.from, parameters.to)?,
            after: cursors.key(parameters.cursor.as_deref())?,
            caller,
            parameters,
            cursors,
        })
    }

    /// Hours of a page at most.
    pub fn limit(&self) -> u32 {
        self.parameters.limit.rows()
    }

    /// Where the page ends; no row when it is the last one. As many keys as the page has rows lie before it, and each has
    /// at least one.
    pub fn select_end(&self) -> TenantSelect {
        let select = TenantSelect::new(&self.caller, Relation::PartialHours, KEYS);
        self.filtered(select).then(EACH_KEY).only(self.limit())
    }

    /// The rows of the page, and one more where others follow.
    pub fn select(&self, end: Option<PageEnd>) -> TenantSelect {
        let select = self.filtered(TenantSelect::new(&self.caller, Relation::Hours, Hour::COLUMNS));
        self.up_to(select, end).then(ORDER).limit(self.limit() + 1)
    }

    /// What `next_cursor` is after a row.
    pub fn cursor_after(&self, hour: &Hour) -> Result<String, Problem> {
        self.cursors.after(&hour.key())
    }

    /// The filters, and what was shown before; all on key columns, which the table and the view have in common.
    fn filtered(&self, select: TenantSelect) -> TenantSelect {
        let text = |value: &Option<String>| value.clone().map(Parameter::Text);
        let bound = |end: Option<Instant>| end.map(|end| Parameter::Integer(end.datetime_bound().into()));
        let (from, to) = (bound(self.span.from), bound(self.span.to));
        let select = select
            .and_if(
                "r.metric_name = {metric_name:String}",
                "metric_name",
                text(&self.parameters.metric_name),
            )
            .and_if(
                "r.service_id = {service_id:String}",
                "service_id",
                text(&self.parameters.service_id),
            )
            .and_if(
                "r.plugin_id = {plugin_id:String}",
                "plugin_id",
                text(&self.parameters.plugin_id),
            )
            .and_if(
                "r.environment = {environment:String}",
                "environment",
                text(&self.parameters.environment),
            )
            .and_if("r.hour >= toDateTime({from:UInt32}, 'UTC')", "from", from)
            .and_if("r.hour < toDateTime({to:UInt32}, 'UTC')", "to", to);
        let Some(after) = self.after.clone() else { return select };
        self.and_within_metric(select.and(AFTER), AFTER_WITHIN_METRIC)
            .bind("after_metric_name", Parameter::Text(after.metric_name))
            .bind("after_hour", Parameter::Integer(after.hour.into()))
            .bind("after_service_id", Parameter::Text(after.service_id))
            .bind("after_plugin_id", Parameter::Text(after.plugin_id))
            .bind("after_environment", Parameter::Text(after.environment))
            .bind("after_team_id", Parameter::Text(after.team_id))
            .bind("after_metric_type", Parameter::Text(after.metric_type))
            .bind("after_unit", Parameter::Text(after.unit))
    }

    fn up_to(&self, select: TenantSelect, end: Option<PageEnd>) -> TenantSelect {
        let Some(end) = end else { return select };
        self.and_within_metric(select.and(UP_TO), UP_TO_WITHIN_METRIC)
            .bind("end_metric_name", Parameter::Text(end.metric_name))
            .bind("end_hour", Parameter::Integer(end.hour.into()))
            .bind("end_service_id", Parameter::Text(end.service_id))
            .bind("end_plugin_id", Parameter::Text(end.plugin_id))
            .bind("end_environment", Parameter::Text(end.environment))
            .bind("end_team_id", Parameter::Text(end.team_id))
    }

    fn and_within_metric(&self, select: TenantSelect, condition: &'static str) -> TenantSelect {
        match self.parameters.metric_name {
            Some(_) => select.and(condition),
            None => select,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::access::TenantId;
    use crate::api::parameters::{any_query_string, parse};

    fn question(raw: &str) -> Result<Question, Problem> {
        let caller = Caller::of(TenantId::new("a").unwrap());
        Question::new(&CursorKey::derive(""), caller, parse(raw)?)
    }

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
        fn any_query_string_is_a_question_or_a_problem(raw in any_query_string::<HourlyParameters>()) {
            match question(&raw) {
                Ok(question) => prop_assert!(is_scoped(&question.select_end())),
                Err(problem) => prop_assert!(problem.named_parameter().is_some(), "{problem}"),
            }
        }

        #[test]
        fn a_cursor_continues_after_its_key(key in key()) {
            let first = question("metric_name=m&from=2026-01-01&limit=3").unwrap();
            let cursor = first.cursors.after(&key).unwrap();
            let next = question(&format!("cursor={cursor}&from=1767225600&metric_name=m")).unwrap();
            prop_assert_eq!(next.after, Some(key));
            let other = question(&format!("metric_name=n&from=2026-01-01&cursor={cursor}")).unwrap_err();
            prop_assert_eq!(other.named_parameter(), Some("cursor"));
        }
    }

    #[test]
    fn every_filter_becomes_a_bound_condition() {
        let raw = "metric_name=m&service_id=s&plugin_id=&environment=e&from=2026-01-01&to=2026-02-01";
        let select = question(raw).unwrap().select_end();
        let names: Vec<_> = raw
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, _)| name)
            .collect();
        let bound: Vec<_> = select.parameters().iter().map(|(name, _)| *name).skip(1).collect();
        assert_eq!(bound, names);
        for name in bound {
            assert!(select.sql().contains(&format!("{{{name}:")), "{name}: {}", select.sql());
        }
    }
}
