//! A query of a table that holds rows of tenants.
//!
//! The predicates of tenant and teams are added here and nowhere else: a [`TenantSelect`] is built from a [`Caller`],
//! its text begins with them, every further condition follows in parentheses, and [`crate::store::Store`] runs nothing
//! else on these tables. All text is the program's own ([`Sql`]); what a caller sent is a bound parameter. Pure.

use horolog_schemas::Kind;
use serde::Serialize;

use crate::access::mask;
use crate::access::{Caller, KeyLimits};
use crate::store::Sql;

/// The tables and views with a column `tenant_id`. Conditions and columns refer to them as `r`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// Partial aggregates of all epochs.
    PartialHours,
    /// Daily roll-ups of them in UTC; valid if their counts equal those of the hours.
    DailyRollups,
    /// Hours over all series of a metric; valid under the same condition. They name no team.
    HourlyTotals,
    /// Days of them in UTC.
    DailyTotals,
    /// What late records changed.
    HourRevisions,
    /// Increase of counters by series and hour, as known at `{known_at:String}`.
    CounterHours,
    /// When the counters of which hours were computed. It contains nothing about teams, so a caller of some teams sees
    /// all of it.
    CounterDecisions,
    /// The health of services in the last complete hour.
    ServiceHealth,
    /// Samples as stored.
    Metrics,
    /// Audit events as stored.
    AuditLogs,
    /// The times of the events with an id. It contains nothing about teams, so a caller of some teams sees all of it.
    AuditEventIds,
}

impl Relation {
    fn name(self) -> &'static str {
        match self {
            Self::PartialHours => "metrics_hourly",
            Self::DailyRollups => "(select * from daily_rollups final)",
            Self::HourlyTotals => "(select * from hourly_totals final)",
            Self::DailyTotals => "(select * from daily_totals final)",
            Self::HourRevisions => "hour_revisions",
            Self::CounterHours => {
                "(select *, 'counter' as metric_type from counter_hourly_as_of(as_of = {known_at:String}))"
            }
            Self::CounterDecisions => "counter_revisions",
            Self::ServiceHealth => "service_health_summary",
            Self::Metrics => "metrics",
            Self::AuditLogs => "audit_logs",
            Self::AuditEventIds => "audit_event_ids",
        }
    }

    /// How its rows relate to teams.
    fn teams(self) -> Teams {
        match self {
            Self::CounterDecisions | Self::AuditEventIds => Teams::OfNone,
            Self::HourlyTotals | Self::DailyTotals | Self::HourRevisions | Self::ServiceHealth => Teams::NotTold,
            Self::PartialHours | Self::DailyRollups | Self::CounterHours | Self::Metrics | Self::AuditLogs => {
                Teams::Told
            }
        }
    }

    /// The kind of its records, if its rows are records as sent.
    fn kind(self) -> Option<Kind> {
        match self {
            Self::Metrics => Some(Kind::MetricSample),
            Self::AuditLogs => Some(Kind::AuditEvent),
            Self::PartialHours
            | Self::DailyRollups
            | Self::HourlyTotals
            | Self::DailyTotals
            | Self::HourRevisions
            | Self::CounterHours
            | Self::CounterDecisions
            | Self::ServiceHealth
            | Self::AuditEventIds => None,
        }
    }
}

/// The relation of a table's rows to teams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Teams {
    /// A column names the team.
    Told,
    /// They belong to teams that they do not name.
    NotTold,
    /// They contain nothing about teams.
    OfNone,
}

/// A value for `{name:Type}`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Parameter {
    /// For `String` and types parsed from text.
    Text(String),
    /// For integers.
    Integer(i64),
    /// For `Float64`.
    Number(f64),
    /// For arrays of types parsed from text.
    Texts(Vec<String>),
    /// For arrays of integers.
    Integers(Vec<i64>),
}

/// A `select` that sees one tenant, and within it the teams of the caller.
#[derive(Debug, Clone)]
pub struct TenantSelect {
    sql: String,
    parameters: Vec<(&'static str, Parameter)>,
    limits: KeyLimits,
}

impl TenantSelect {
    /// Columns of the rows that the caller may see.
    pub fn new(caller: &Caller, relation: Relation, columns: impl Into<Sql>) -> Self {
        let mut select = Self {
            sql: format!(
                "select {} from {} as r where (r.tenant_id = {{tenant_id:String}})",
                columns.into().as_str(),
                source(caller, relation)
            ),
            parameters: vec![("tenant_id", Parameter::Text(caller.tenant().as_str().to_owned()))],
            limits: caller.principal().facts().limits,
        };
        if select.sql.contains("{mask_key_0:") {
            let [first, second] = caller.pseudonym_key().map(|half| Parameter::Text(half.to_string()));
            select = select.bind("mask_key_0", first).bind("mask_key_1", second);
        }
        match (caller.teams(), relation.teams()) {
            ([], _) | (_, Teams::OfNone) => select,
            // Rows that do not name their team are not for callers of some teams.
            (_, Teams::NotTold) => select.and("1 = 0"),
            (teams, Teams::Told) => select
                .and("r.team_id in {team_ids:Array(String)}")
                .bind("team_ids", Parameter::Texts(teams.to_vec())),
        }
    }

    /// Adds a condition. Must be called before [`Self::then`].
    pub fn and(mut self, condition: impl Into<Sql>) -> Self {
        self.sql.push_str(" and (");
        self.sql.push_str(condition.into().as_str());
        self.sql.push(')');
        self
    }

    /// Adds a condition on a value, if the value is given.
    pub fn and_if(self, condition: impl Into<Sql>, name: &'static str, value: Option<Parameter>) -> Self {
        match value {
            Some(value) => self.and(condition).bind(name, value),
            None => self,
        }
    }

    /// Adds the condition that the column is one of the values, if any are given.
    pub fn and_among(self, condition: &'static str, name: &'static str, values: &[String]) -> Self {
        match values {
            [] => self,
            values => self.and(condition).bind(name, Parameter::Texts(values.to_vec())),
        }
    }

    /// Adds the condition that `column` is in the result of another select of the same tenant. Both may share
    /// parameters.
    pub fn and_in(mut self, column: &'static str, inner: Self) -> Self {
        self.sql.push_str(" and (");
        self.sql.push_str(column);
        self.sql.push_str(" in (");
        self.sql.push_str(&inner.sql);
        self.sql.push_str("))");
        for parameter in inner.parameters {
            if !self.parameters.contains(&parameter) {
                self.parameters.push(parameter);
            }
        }
        self
    }

    /// Binds a value to `{name:Type}`.
    pub fn bind(mut self, name: &'static str, value: Parameter) -> Self {
        self.parameters.push((name, value));
        self
    }

    /// Adds what follows the conditions: `group by`, `order by`, `limit 1 by`.
    pub fn then(mut self, clause: impl Into<Sql>) -> Self {
        self.sql.push(' ');
        self.sql.push_str(clause.into().as_str());
        self
    }

    /// Limits the number of rows.
    pub fn limit(mut self, rows: u32) -> Self {
        self.sql.push_str(&format!(" limit {rows}"));
        self
    }

    /// Only the row after this many others.
    pub fn only(mut self, after_rows: u32) -> Self {
        self.sql.push_str(&format!(" limit 1 offset {after_rows}"));
        self
    }

    /// The rows of this and of another select of the same tenant.
    pub fn union_all(mut self, other: Self) -> Self {
        self.sql = format!("{} union all {}", self.sql, other.sql);
        for (name, value) in other.parameters {
            match self.parameters.iter().find(|(known, _)| *known == name) {
                Some((_, known)) => assert!(*known == value, "both sides of a union mean the same by {name}"),
                None => self.parameters.push((name, value)),
            }
        }
        self
    }

    /// Columns of this select's result, referred to as `i`.
    pub fn outer(mut self, columns: impl Into<Sql>) -> Self {
        self.sql = format!("select {} from ({}) as i", columns.into().as_str(), self.sql);
        self
    }

    /// The statement.
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// The bound parameters.
    pub fn parameters(&self) -> &[(&'static str, Parameter)] {
        &self.parameters
    }

    /// The limits of the caller's key.
    pub fn limits(&self) -> &KeyLimits {
        &self.limits
    }
}

/// The source of the rows: for records, with masked columns replaced, so that neither an answer nor a condition ever
/// sees more than the caller may.
fn source(caller: &Caller, relation: Relation) -> String {
    let masked = relation.kind().map(|kind| caller.masked(kind)).unwrap_or_default();
    if masked.is_empty() {
        return relation.name().to_owned();
    }
    let replaced: Vec<String> = masked
        .into_iter()
        .map(|(column, mask)| format!("{} as {column}", mask::expression(column, mask)))
        .collect();
    format!("(select * replace({}) from {})", replaced.join(", "), relation.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::TenantId;

    fn caller() -> Caller {
        Caller::of(TenantId::new("a' or 1 = 1 --").unwrap())
    }

    #[test]
    fn the_tenant_stands_before_everything_and_outside_every_or() {
        let select = TenantSelect::new(&caller(), Relation::AuditLogs, "r.event_id")
            .and("r.action = 'x' or 1 = 1")
            .and_if("r.user_id = {user_id:String}", "user_id", None)
            .and_among("r.team_id in {team_id:Array(String)}", "team_id", &[])
            .then("order by r.occurred_at")
            .limit(3);
        assert_eq!(
            select.sql(),
            "select r.event_id from audit_logs as r where (r.tenant_id = {tenant_id:String}) and (r.action = 'x' or 1 = 1) \
             order by r.occurred_at limit 3"
        );
        assert_eq!(
            select.parameters(),
            [("tenant_id", Parameter::Text(caller().tenant().as_str().to_owned()))]
        );
    }

    #[test]
    fn both_sides_of_a_union_have_the_predicate() {
        let side = |relation| TenantSelect::new(&caller(), relation, "r.unit as unit");
        let select = side(Relation::PartialHours)
            .union_all(side(Relation::Metrics))
            .outer("i.unit");
        assert_eq!(
            select.sql().matches("where (r.tenant_id = {tenant_id:String})").count(),
            2
        );
        assert_eq!(select.parameters().len(), 1);
    }
}
