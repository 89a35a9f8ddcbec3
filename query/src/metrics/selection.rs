//! Which rows of metrics are asked for: filters, a span in steps, the columns that are not merged over, and a page of the result.
//!
//! Enters: the parameters that all questions about metrics over time have in common. Leaves: the conditions of their statements, on the
//! columns that primary keys know, and the cursors between their pages. Pure.

use clickhouse::Row;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use crate::access::Caller;
use crate::api::Problem;
use crate::api::cursor::{CursorKey, Cursors};
use crate::api::formats::Format;
use crate::api::instant::{Edge, Instant, Span};
use crate::api::page::Limit;
use crate::metrics::column::{KeyColumn, MetricType, Words};
use crate::metrics::step::{Step, Steps};
use crate::store::{Parameter, Sql, TenantSelect};

/// A metric has fewer series than this almost always; more of them cost time, not correctness.
const SERIES_EXPECTED: u64 = 100;

/// The key of a row, as [`crate::metrics::merging::cursor_key`] names it.
pub const KEY: &str = "metric_name, start, groups, metric_type, unit";

/// What can be asked of everything that is kept by hours.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct SelectionParameters {
    /// Only these metrics. A filter may be given several times; given but empty it means the empty name.
    pub metric_name: Vec<String>,
    /// Only these services.
    pub service_id: Vec<String>,
    /// Only these plugins.
    pub plugin_id: Vec<String>,
    /// Only these environments.
    pub environment: Vec<String>,
    /// Only these teams.
    pub team_id: Vec<String>,
    /// Only these types of metrics.
    #[param(inline)]
    pub metric_type: Vec<MetricType>,
    /// Only these units.
    pub unit: Vec<String>,
    /// First moment inside: RFC 3339, a date (midnight in `zone`) or seconds since 1970. Rows that the span touches are whole.
    #[param(inline)]
    pub from: Option<Edge>,
    /// First moment after.
    #[param(inline)]
    pub to: Option<Edge>,
    /// Days and months of this time zone (`Europe/Berlin`); UTC when nothing is said. It must be whole hours off UTC throughout
    /// the span.
    pub zone: Option<String>,
    /// Columns that get rows of their own, with commas between them: `service_id`, `plugin_id`, `environment`, `team_id`. All
    /// when nothing is said; given but empty, everything of a metric is merged. Metrics, types and units are never merged.
    #[param(value_type = Option<String>, example = "service_id,environment")]
    pub group_by: Option<Words<KeyColumn>>,
    /// As it was known at this moment: without what came late after it, and with the rebuilds and the completeness of then. What
    /// was not complete then may hold samples that came in time but after it.
    pub as_of: Option<Instant>,
    /// Rows of a page at most.
    #[param(inline)]
    pub limit: Limit<1_000, 50_000>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// JSON when neither this nor `Accept` says otherwise.
    pub format: Option<Format>,
}

/// The place of a row in the order of the answer. Written into cursors.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Row)]
pub struct PointKey {
    /// Metric.
    pub metric_name: String,
    /// Start of the row, seconds since 1970.
    pub start: u32,
    /// Values of the columns that are not merged over.
    pub groups: Vec<String>,
    /// Counter, gauge or histogram.
    pub metric_type: String,
    /// Unit.
    pub unit: String,
}

/// Where a row's hour stands in a table, and how the span is compared with it: on the column itself, which is what keys and
/// indexes know.
#[derive(Debug, Clone, Copy)]
pub struct HourColumn {
    /// SQL of the hour.
    pub hour: &'static str,
    column: &'static str,
    from: &'static str,
    to: &'static str,
}

impl HourColumn {
    /// Of tables by hour.
    pub const OF_HOURS: Self = Self {
        hour: "r.hour",
        column: "r.hour",
        from: "r.hour >= toDateTime({from:UInt32}, 'UTC')",
        to: "r.hour < toDateTime({to:UInt32}, 'UTC')",
    };
    /// Of raw samples.
    pub const OF_SAMPLES: Self = Self {
        hour: "toStartOfHour(toDateTime(r.time, 'UTC'))",
        column: "r.time",
        from: "r.time >= toDateTime64({from:UInt32}, 6, 'UTC')",
        to: "r.time < toDateTime64({to:UInt32}, 6, 'UTC')",
    };

    /// Only the rows of a span.
    pub fn between(self, select: TenantSelect, span: Span) -> TenantSelect {
        let bound = |edge: Option<Instant>| edge.map(|edge| Parameter::Integer(edge.datetime_bound().into()));
        select
            .and_if(self.from, "from", bound(span.from))
            .and_if(self.to, "to", bound(span.to))
    }
}

/// How one end of a page is bound.
struct EdgeNames {
    metric_bound: &'static str,
    start_bound: &'static str,
    operator: &'static str,
    key: &'static str,
    metric_name: &'static str,
    start: &'static str,
    groups: &'static str,
    metric_type: &'static str,
    unit: &'static str,
}

const AFTER: EdgeNames = EdgeNames {
    metric_bound: "r.metric_name >= {after_metric_name:String}",
    start_bound: " >= toDateTime({after_start:UInt32}, 'UTC')",
    operator: " > ",
    key: "({after_metric_name:String}, toDateTime({after_start:UInt32}, 'UTC'), {after_groups:Array(String)}, \
        {after_metric_type:String}, {after_unit:String})",
    metric_name: "after_metric_name",
    start: "after_start",
    groups: "after_groups",
    metric_type: "after_metric_type",
    unit: "after_unit",
};

const UP_TO: EdgeNames = EdgeNames {
    metric_bound: "r.metric_name <= {end_metric_name:String}",
    start_bound: " < toDateTime({end_start:UInt32}, 'UTC') + interval 32 day",
    operator: " <= ",
    key: "({end_metric_name:String}, toDateTime({end_start:UInt32}, 'UTC'), {end_groups:Array(String)}, \
        {end_metric_type:String}, {end_unit:String})",
    metric_name: "end_metric_name",
    start: "end_start",
    groups: "end_groups",
    metric_type: "end_metric_type",
    unit: "end_unit",
};

/// The rows of one page that are asked for.
#[derive(Debug)]
pub struct Selection {
    /// Who asks.
    pub caller: Caller,
    /// What was asked.
    pub parameters: SelectionParameters,
    /// The columns that are not merged over.
    pub groups: Vec<KeyColumn>,
    /// Hours, days or months.
    pub steps: Steps,
    cursors: Cursors,
    after: Option<PointKey>,
}

impl Selection {
    /// Of one caller. `question` is everything that makes a cursor of this question one of no other.
    pub fn new(
        key: &CursorKey,
        caller: Caller,
        step: Step,
        parameters: SelectionParameters,
        (resource, question): (&str, &impl Serialize),
    ) -> Result<Self, Problem> {
        if step == Step::Hour && parameters.zone.is_some() {
            return Err(Problem::parameter(
                "zone",
                "hours are the same in every zone; leave it out",
            ));
        }
        let steps = Steps::new(step, parameters.zone.as_deref(), parameters.from, parameters.to)?;
        let groups = parameters
            .group_by
            .clone()
            .map_or(KeyColumn::ALL.to_vec(), |words| words.0);
        let cursors = key.bind(resource, &caller, question)?;
        let after: Option<PointKey> = cursors.key(parameters.cursor.as_deref())?;
        Ok(Self {
            caller,
            groups,
            steps,
            cursors,
            after,
            parameters,
        })
    }

    /// Rows of a page at most.
    pub fn limit(&self) -> u32 {
        self.parameters.limit.rows()
    }

    /// The moment whose knowledge is asked for.
    pub fn as_of(&self) -> Option<Instant> {
        self.parameters.as_of
    }

    /// The names of the columns that are not merged over.
    pub fn group_names(&self) -> Vec<&'static str> {
        self.groups.iter().map(|group| group.name()).collect()
    }

    /// What `next_cursor` is after a row.
    pub fn cursor_after(&self, key: &PointKey) -> Result<String, Problem> {
        self.cursors.after(key)
    }

    /// Whether all that matches is likely to be one page.
    pub fn is_one_page(&self) -> bool {
        let series = if self.groups.is_empty() { 1 } else { SERIES_EXPECTED };
        self.fits(series)
    }

    /// Whether all that matches may be one page: the first, and of as many rows as a series of each metric has.
    pub fn may_be_one_page(&self) -> bool {
        self.after.is_none() && self.fits(1)
    }

    /// Whether as many series of each metric are one page; metrics have to be named for it, and both ends of the span.
    fn fits(&self, series: u64) -> bool {
        let metrics = self.parameters.metric_name.len() as u64;
        let steps = self.steps.most().filter(|_| metrics > 0);
        steps.is_some_and(|steps| steps.saturating_mul(metrics).saturating_mul(series) <= self.limit().into())
    }

    /// Only the rows that the filters let through.
    fn filtered(&self, select: TenantSelect) -> TenantSelect {
        let asked = &self.parameters;
        let types: Vec<String> = asked.metric_type.iter().map(|one| one.name().to_owned()).collect();
        [
            (
                "r.metric_name in {metric_name:Array(String)}",
                "metric_name",
                &asked.metric_name,
            ),
            (
                "r.service_id in {service_id:Array(String)}",
                "service_id",
                &asked.service_id,
            ),
            (
                "r.plugin_id in {plugin_id:Array(String)}",
                "plugin_id",
                &asked.plugin_id,
            ),
            (
                "r.environment in {environment:Array(String)}",
                "environment",
                &asked.environment,
            ),
            ("r.team_id in {team_id:Array(String)}", "team_id", &asked.team_id),
            (
                "toString(r.metric_type) in {metric_type:Array(String)}",
                "metric_type",
                &types,
            ),
            ("r.unit in {unit:Array(String)}", "unit", &asked.unit),
        ]
        .into_iter()
        .fold(select, |select, (condition, name, values)| {
            select.and_among(condition, name, values)
        })
    }

    /// Only the rows of a span.
    pub fn within_span(&self, select: TenantSelect, hour: HourColumn, span: Span) -> TenantSelect {
        hour.between(self.filtered(select), span)
    }

    /// Only the rows of the question's span, after what was shown before, and up to `end`.
    pub fn within(&self, select: TenantSelect, hour: HourColumn, end: Option<&PointKey>) -> TenantSelect {
        let mut select = self.within_span(select, hour, self.steps.span);
        for (key, names) in [(self.after.as_ref(), &AFTER), (end, &UP_TO)] {
            if let Some(key) = key {
                select = self.bounded(select, hour, key, names);
            }
        }
        select
    }

    fn bounded(&self, select: TenantSelect, hour: HourColumn, key: &PointKey, names: &EdgeNames) -> TenantSelect {
        // The first conditions are implied by the last one; they are those that the primary key can use.
        let mut select = select.and(names.metric_bound);
        if self.parameters.metric_name.len() == 1 {
            select = select.and(Sql::concat([hour.column, names.start_bound]));
        }
        let groups = self
            .groups
            .iter()
            .map(|group| Sql::concat(["toString(r.", group.name(), ")"]));
        let place = Sql::from("(toString(r.metric_name), ")
            .then(self.steps.start_sql(hour.hour))
            .then(", cast([")
            .then(Sql::join(groups, ", "))
            .then("], 'Array(String)'), toString(r.metric_type), toString(r.unit))");
        select
            .and(place.then(names.operator).then(names.key))
            .bind(names.metric_name, Parameter::Text(key.metric_name.clone()))
            .bind(names.start, Parameter::Integer(key.start.into()))
            .bind(names.groups, Parameter::Texts(key.groups.clone()))
            .bind(names.metric_type, Parameter::Text(key.metric_type.clone()))
            .bind(names.unit, Parameter::Text(key.unit.clone()))
    }
}
