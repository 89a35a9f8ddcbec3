//! Which rows of metrics are requested: filters, a span in steps, the columns that are not merged over, and a page of
//! the result.
//!
//! Enters: the parameters that all questions about metrics over time share. Leaves: the conditions of their statements,
//! on the columns of the primary keys, and the cursors between their pages. Pure.

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

/// A metric almost always has fewer series than this; more cost time, not correctness.
const SERIES_EXPECTED: u64 = 100;

/// The key of a row, as [`crate::metrics::merging::cursor_key`] names it.
pub const KEY: &str = "metric_name, start, groups, metric_type, unit";

/// Filters, span and page of everything that is stored by hour.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct SelectionParameters {
    /// Only these metrics. A filter may be repeated; an empty value matches the empty name.
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
    /// Start of the span, inclusive: RFC 3339, a date (midnight in `zone`) or seconds since 1970. Rows that overlap the
    /// span are included whole.
    #[param(inline)]
    pub from: Option<Edge>,
    /// End of the span, exclusive.
    #[param(inline)]
    pub to: Option<Edge>,
    /// Time zone of days and months (`Europe/Berlin`). Default: UTC. Its offset from UTC must be whole hours throughout
    /// the span.
    pub zone: Option<String>,
    /// Columns that are not merged, comma-separated: `service_id`, `plugin_id`, `environment`, `team_id`. Default: all
    /// of them; if empty, all series of a metric are merged. Different metrics, types and units are never merged.
    #[param(value_type = Option<String>, example = "service_id,environment")]
    pub group_by: Option<Words<KeyColumn>>,
    /// The state as of this moment: without samples that arrived late after it, and with the rebuilds and the
    /// completeness of that time. Rows that were not complete then may include samples that arrived later but in time.
    pub as_of: Option<Instant>,
    /// Maximum rows per page.
    #[param(inline)]
    pub limit: Limit<1_000, 50_000>,
    /// `next_cursor` of the previous page.
    pub cursor: Option<String>,
    /// Format of the answer. Takes precedence over `Accept`; JSON by default.
    pub format: Option<Format>,
}

/// The position of a row in the order of the answer. Written into cursors.
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

/// The hour of a table's rows, and how to compare it with the span: by the column itself, which primary key and indexes
/// use.
#[derive(Debug, Clone, Copy)]
pub struct HourColumn {
    /// SQL for the hour.
    pub hour: &'static str,
    column: &'static str,
    from: &'static str,
    to: &'static str,
    bound: fn(Instant) -> i64,
}

impl HourColumn {
    /// For tables by hour.
    pub const OF_HOURS: Self = Self {
        hour: "r.hour",
        column: "r.hour",
        from: "r.hour >= toDateTime({from:UInt32}, 'UTC')",
        to: "r.hour < toDateTime({to:UInt32}, 'UTC')",
        bound: |edge| edge.datetime_bound().into(),
    };
    /// For raw samples.
    pub const OF_SAMPLES: Self = Self {
        hour: "toStartOfHour(toDateTime(r.time, 'UTC'))",
        column: "r.time",
        from: "r.time >= fromUnixTimestamp64Micro({from:Int64}, 'UTC')",
        to: "r.time < fromUnixTimestamp64Micro({to:Int64}, 'UTC')",
        bound: Instant::datetime64_bound,
    };

    /// Restricts the statement to a span.
    pub fn between(self, select: TenantSelect, span: Span) -> TenantSelect {
        let bound = |edge: Option<Instant>| edge.map(|edge| Parameter::Integer((self.bound)(edge)));
        select
            .and_if(self.from, "from", bound(span.from))
            .and_if(self.to, "to", bound(span.to))
    }
}

/// Conditions and parameter names for one end of a page.
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

/// The requested rows of one page.
#[derive(Debug)]
pub struct Selection {
    /// Who asks.
    pub caller: Caller,
    /// The parameters.
    pub parameters: SelectionParameters,
    /// The columns that are not merged over.
    pub groups: Vec<KeyColumn>,
    /// Hours, days or months.
    pub steps: Steps,
    cursors: Cursors,
    after: Option<PointKey>,
}

impl Selection {
    /// For one caller. `question` is everything that must match for a cursor to be valid.
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

    /// Maximum rows per page.
    pub fn limit(&self) -> u32 {
        self.parameters.limit.rows()
    }

    /// The moment as of which the state is requested.
    pub fn as_of(&self) -> Option<Instant> {
        self.parameters.as_of
    }

    /// The names of the columns that are not merged over.
    pub fn group_names(&self) -> Vec<&'static str> {
        self.groups.iter().map(|group| group.name()).collect()
    }

    /// The `next_cursor` after a row.
    pub fn cursor_after(&self, key: &PointKey) -> Result<String, Problem> {
        self.cursors.after(key)
    }

    /// Whether everything that matches is likely to fit one page.
    pub fn is_one_page(&self) -> bool {
        let series = if self.groups.is_empty() { 1 } else { SERIES_EXPECTED };
        self.fits(series)
    }

    /// Whether everything that matches may fit one page: it is the first, and one series of each metric fits.
    pub fn may_be_one_page(&self) -> bool {
        self.after.is_none() && self.fits(1)
    }

    /// Whether this many series of each metric fit one page; requires named metrics and both ends of the span.
    fn fits(&self, series: u64) -> bool {
        let metrics = self.parameters.metric_name.len() as u64;
        let steps = self.steps.most().filter(|_| metrics > 0);
        steps.is_some_and(|steps| steps.saturating_mul(metrics).saturating_mul(series) <= self.limit().into())
    }

    /// Whether each row is of all series of a metric that there are.
    pub fn is_of_whole_metrics(&self) -> bool {
        let asked = &self.parameters;
        let filters = [&asked.service_id, &asked.plugin_id, &asked.environment, &asked.team_id];
        self.groups.is_empty() && self.caller.teams().is_empty() && filters.iter().all(|values| values.is_empty())
    }

    /// Restricts the statement to rows that match the filters.
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

    /// Restricts the statement to rows of a span that match the filters.
    pub fn within_span(&self, select: TenantSelect, hour: HourColumn, span: Span) -> TenantSelect {
        hour.between(self.filtered(select), span)
    }

    /// Restricts the statement to the question's span, after the previous page, and up to `end`.
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
        // The first conditions are implied by the last one, but only they can use the primary key.
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
