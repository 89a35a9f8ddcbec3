//! What is asked of metrics: from parameters to statements.
//!
//! One statement merges partial aggregates into the rows of a page, straight from `metrics_hourly`: filters and the span reach
//! its primary key, distributions are read only where a quantile or a share is asked for. Where more than a page may match,
//! a first statement finds the end of the page by keys alone, so that a page costs what it shows: 0.03 s instead of 3.5 s
//! for the first hundred of 720,000 hours. Pure.

use clickhouse::Row;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use crate::access::Caller;
use crate::api::Problem;
use crate::api::cursor::{CursorKey, Cursors};
use crate::api::formats::Format;
use crate::api::instant::{Edge, Instant};
use crate::api::page::Limit;
use crate::metrics::column::{KeyColumn, Measure, Words};
use crate::metrics::epochs::{VISIBLE, VISIBLE_THEN};
use crate::metrics::fresh::RawTail;
use crate::metrics::merging;
use crate::metrics::step::{Step, Steps};
use crate::store::{Parameter, Relation, Sql, TenantSelect};

/// A metric has fewer series than this almost always; more of them cost time, not correctness.
const SERIES_EXPECTED: u64 = 100;

/// The key of a row, as [`merging::cursor_key`] names it.
const KEY: &str = "metric_name, start, groups, metric_type, unit";
/// The hour of a sample.
const SAMPLE_HOUR: &str = "toStartOfHour(toDateTime(r.time, 'UTC'))";

/// How one end of a page is bound.
struct EdgeNames {
    metric_bound: &'static str,
    start_bound: &'static str,
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
    key: "({end_metric_name:String}, toDateTime({end_start:UInt32}, 'UTC'), {end_groups:Array(String)}, \
        {end_metric_type:String}, {end_unit:String})",
    metric_name: "end_metric_name",
    start: "end_start",
    groups: "end_groups",
    metric_type: "end_metric_type",
    unit: "end_unit",
};

/// What can be asked of hours, days and months.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct SeriesParameters {
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
    /// Only these units.
    pub unit: Vec<String>,
    /// First moment inside: RFC 3339, a date (midnight in `zone`) or seconds since 1970. Rows that the span touches are whole.
    pub from: Option<Edge>,
    /// First moment after.
    pub to: Option<Edge>,
    /// Days and months of this time zone (`Europe/Berlin`); UTC when nothing is said. It must be whole hours off UTC throughout
    /// the span.
    pub zone: Option<String>,
    /// Columns that get rows of their own, with commas between them: `service_id`, `plugin_id`, `environment`, `team_id`. All
    /// when nothing is said; given but empty, everything of a metric is merged. Metrics, types and units are never merged.
    #[param(value_type = Option<String>, example = "service_id,environment")]
    pub group_by: Option<Words<KeyColumn>>,
    /// What is told of the samples, with commas between: `sum`, `avg`, `min`, `max`, `last`, `p50`, `p90`, `p95`, `p99`, `p999`.
    /// The fewer, the faster: quantiles need the distributions.
    #[param(value_type = Option<String>, example = "avg,p99")]
    pub measures: Option<Words<Measure>>,
    /// Also tell the share of samples at or under this value (`share_under`), off by the samples within 1 % of it.
    pub threshold: Option<f64>,
    /// As it was known at this moment: without what came late after it, and with the rebuilds and the completeness of then. What
    /// was not complete then may hold samples that came in time but after it.
    pub as_of: Option<Instant>,
    /// Also count samples that are stored but not aggregated yet. `fresh_count` says how many of a row's samples they are.
    pub fresh: bool,
    /// Rows of a page at most.
    pub limit: Limit<1_000, 50_000>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// JSON when neither this nor `Accept` says otherwise.
    pub format: Option<Format>,
}

/// The place of a row in the order of the answer. Written into cursors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Row)]
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

/// What is asked.
#[derive(Debug)]
pub struct Question {
    caller: Caller,
    parameters: SeriesParameters,
    groups: Vec<KeyColumn>,
    measures: Vec<Measure>,
    /// Hours, days or months.
    pub steps: Steps,
    cursors: Cursors,
    after: Option<PointKey>,
}

impl Question {
    /// Of one caller.
    pub fn new(key: &CursorKey, caller: Caller, step: Step, parameters: SeriesParameters) -> Result<Self, Problem> {
        if parameters.threshold.is_some_and(|threshold| !threshold.is_finite()) {
            return Err(Problem::parameter("threshold", "expected a finite number"));
        }
        if parameters.fresh && parameters.as_of.is_some() {
            return Err(Problem::parameter("fresh", "cannot be asked together with as_of"));
        }
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
        let measures = parameters
            .measures
            .clone()
            .map_or(Measure::DEFAULT.to_vec(), |words| words.0);
        let cursors = key.bind(step.path(), &caller, &parameters)?;
        let after: Option<PointKey> = cursors.key(parameters.cursor.as_deref())?;
        Ok(Self {
            caller,
            groups,
            measures,
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

    /// Whether samples that are not aggregated yet are counted too.
    pub fn is_fresh(&self) -> bool {
        self.parameters.fresh
    }

    /// The form of the answer that a parameter asks for.
    pub fn format(&self) -> Option<Format> {
        self.parameters.format
    }

    /// The columns that are not merged over.
    pub fn groups(&self) -> &[KeyColumn] {
        &self.groups
    }

    /// What is told of the samples.
    pub fn measures(&self) -> &[Measure] {
        &self.measures
    }

    /// Whether the share under a threshold is told.
    pub fn has_threshold(&self) -> bool {
        self.parameters.threshold.is_some()
    }

    /// Where the page ends: the key of the first row that is not on it. Nothing is asked where all that matches is likely to
    /// be one page.
    pub fn select_end(&self) -> Option<TenantSelect> {
        if self.is_one_page() || self.parameters.fresh {
            return None;
        }
        let key = merging::cursor_key("r", self.steps.start_sql("r.hour"), &self.groups);
        let select = TenantSelect::new(&self.caller, Relation::PartialHours, key);
        let select = self.within(self.visible(select), "r.hour", None);
        let grouped = select.then(Sql::concat(["group by ", KEY, " order by ", KEY]));
        Some(grouped.only(self.limit()))
    }

    /// The rows of the page, and one more where others follow.
    pub fn select(&self, end: Option<&PointKey>, tail: Option<&RawTail>) -> TenantSelect {
        let distribution = self.needs_distribution();
        let columns = merging::key_columns(&self.steps, "r.hour", &self.groups).then(merging::of_hours(distribution));
        let hours = TenantSelect::new(&self.caller, Relation::PartialHours, columns);
        let hours = self.grouped(self.within(self.visible(hours), "r.hour", end));
        let merged = match tail {
            None => hours,
            Some(tail) => {
                let both = hours.union_all(self.samples(tail, end));
                self.grouped(both.outer(None, merging::of_both(&self.groups, distribution)))
            }
        };
        let row = merging::cursor_key("i", "i.start".into(), &self.groups)
            .then(", ")
            .then(merging::numbers(&self.measures, self.parameters.threshold.is_some()));
        let mut select = merged.outer(distribution.then(merging::sorted_buckets), row);
        if let Some(threshold) = self.parameters.threshold {
            select = select.bind("threshold", Parameter::Number(threshold));
        }
        select.then(Sql::concat(["order by ", KEY])).limit(self.limit() + 1)
    }

    /// What `next_cursor` is after a row.
    pub fn cursor_after(&self, key: &PointKey) -> Result<String, Problem> {
        self.cursors.after(key)
    }

    /// Samples that are stored and not aggregated, as partial aggregates.
    fn samples(&self, tail: &RawTail, end: Option<&PointKey>) -> TenantSelect {
        let columns = merging::key_columns(&self.steps, SAMPLE_HOUR, &self.groups);
        let columns = columns.then(merging::of_samples(self.needs_distribution()));
        let select = TenantSelect::new(&self.caller, Relation::Metrics, columns);
        self.grouped(self.within(tail.only(select), SAMPLE_HOUR, end))
    }

    fn grouped(&self, select: TenantSelect) -> TenantSelect {
        select.then(Sql::from("group by ").then(merging::key_names(&self.groups)))
    }

    fn visible(&self, select: TenantSelect) -> TenantSelect {
        match self.parameters.as_of {
            None => select.and(VISIBLE),
            Some(as_of) => select
                .and(VISIBLE_THEN)
                .bind("as_of", Parameter::Integer(as_of.datetime64_bound())),
        }
    }

    /// The filters, what was shown before, and up to where the page goes. `hour` is SQL of the hour of a row.
    fn within(&self, select: TenantSelect, hour: &'static str, end: Option<&PointKey>) -> TenantSelect {
        let asked = &self.parameters;
        let bound = |edge: Option<Instant>| edge.map(|edge| Parameter::Integer(edge.datetime_bound().into()));
        // On the column itself, which is what keys and indexes know.
        let (at, seconds) = match hour {
            SAMPLE_HOUR => (
                "r.time",
                [
                    "r.time >= toDateTime64({from:UInt32}, 6, 'UTC')",
                    "r.time < toDateTime64({to:UInt32}, 6, 'UTC')",
                ],
            ),
            _ => (
                hour,
                [
                    "r.hour >= toDateTime({from:UInt32}, 'UTC')",
                    "r.hour < toDateTime({to:UInt32}, 'UTC')",
                ],
            ),
        };
        let mut select = select
            .and_among(
                "r.metric_name in {metric_name:Array(String)}",
                "metric_name",
                &asked.metric_name,
            )
            .and_among(
                "r.service_id in {service_id:Array(String)}",
                "service_id",
                &asked.service_id,
            )
            .and_among(
                "r.plugin_id in {plugin_id:Array(String)}",
                "plugin_id",
                &asked.plugin_id,
            )
            .and_among(
                "r.environment in {environment:Array(String)}",
                "environment",
                &asked.environment,
            )
            .and_among("r.team_id in {team_id:Array(String)}", "team_id", &asked.team_id)
            .and_among("r.unit in {unit:Array(String)}", "unit", &asked.unit)
            .and_if(seconds[0], "from", bound(self.steps.span.from))
            .and_if(seconds[1], "to", bound(self.steps.span.to));
        let edges = [(self.after.as_ref(), &AFTER, " > "), (end, &UP_TO, " <= ")];
        for (key, names, operator) in edges {
            let Some(key) = key else { continue };
            // The first conditions are implied by the last one; they are those that the primary key can use.
            select = select.and(names.metric_bound);
            if asked.metric_name.len() == 1 {
                select = select.and(Sql::concat([at, names.start_bound]));
            }
            let groups = self
                .groups
                .iter()
                .map(|group| Sql::concat(["toString(r.", group.name(), ")"]));
            let place = Sql::from("(toString(r.metric_name), ")
                .then(self.steps.start_sql(hour))
                .then(", cast([")
                .then(Sql::join(groups, ", "))
                .then("], 'Array(String)'), toString(r.metric_type), toString(r.unit))");
            select = select
                .and(place.then(operator).then(names.key))
                .bind(names.metric_name, Parameter::Text(key.metric_name.clone()))
                .bind(names.start, Parameter::Integer(key.start.into()))
                .bind(names.groups, Parameter::Texts(key.groups.clone()))
                .bind(names.metric_type, Parameter::Text(key.metric_type.clone()))
                .bind(names.unit, Parameter::Text(key.unit.clone()));
        }
        select
    }

    fn needs_distribution(&self) -> bool {
        self.parameters.threshold.is_some() || self.measures.iter().any(|measure| measure.quantile().is_some())
    }

    /// Whether all that matches is likely to be one page.
    fn is_one_page(&self) -> bool {
        let metrics = self.parameters.metric_name.len() as u64;
        let series = if self.groups.is_empty() { 1 } else { SERIES_EXPECTED };
        let rows = self
            .steps
            .most()
            .map(|steps| steps.saturating_mul(metrics).saturating_mul(series));
        metrics > 0 && rows.is_some_and(|rows| rows <= self.limit().into())
    }
}
