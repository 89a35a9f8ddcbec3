//! The hours, tenants and metrics that an operator's command is about.

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use clickhouse::query::Query;

use crate::key::HOUR_S;

/// Hours of all tenants and metrics, or of some.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Start of the first hour, seconds since 1970.
    pub from: u32,
    /// End of the last hour, seconds since 1970.
    pub to: u32,
    /// Only this tenant; empty for all.
    pub tenant: String,
    /// Only this metric; empty for all.
    pub metric: String,
}

impl Scope {
    /// All tenants and metrics of the hours from `from` to before `to`.
    pub const fn all(from: u32, to: u32) -> Self {
        Self {
            from,
            to,
            tenant: String::new(),
            metric: String::new(),
        }
    }

    /// Whether an hour is included.
    pub fn has_hour(&self, hour: u32) -> bool {
        (self.from..self.to).contains(&hour)
    }

    /// Whether a key is included.
    pub fn has_key(&self, tenant: &str, metric: &str) -> bool {
        (self.tenant.is_empty() || self.tenant == tenant) && (self.metric.is_empty() || self.metric == metric)
    }

    /// The condition on `hour`, `tenant_id` and `metric_name`; [`Self::bind`] gives its parameters.
    pub fn hourly_condition(&self) -> String {
        format!(
            "hour >= toDateTime({}, 'UTC') and hour < toDateTime({}, 'UTC'){}",
            self.from,
            self.to,
            self.key_condition()
        )
    }

    /// The condition on `time`, `tenant_id` and `metric_name` of raw rows.
    pub fn raw_condition(&self) -> String {
        format!(
            "time >= toDateTime64({}, 6, 'UTC') and time < toDateTime64({}, 6, 'UTC'){}",
            self.from,
            self.to,
            self.key_condition()
        )
    }

    /// The entries of a batch's `hours` in the ledger that belong to these hours, as pairs of hour and records.
    pub fn ledger_hours(&self) -> String {
        format!(
            "mapFilter((hour, n) -> hour >= toDateTime({}, 'UTC') and hour < toDateTime({}, 'UTC'), hours)\
             ::Array(Tuple(DateTime('UTC'), UInt64))",
            self.from, self.to
        )
    }

    fn key_condition(&self) -> String {
        let mut condition = String::new();
        if !self.tenant.is_empty() {
            condition.push_str(" and tenant_id = {tenant:String}");
        }
        if !self.metric.is_empty() {
            condition.push_str(" and metric_name = {metric:String}");
        }
        condition
    }

    /// Binds the parameters of the conditions to a statement.
    pub fn bind(&self, mut query: Query) -> Query {
        if !self.tenant.is_empty() {
            query = query.param("tenant", &self.tenant);
        }
        if !self.metric.is_empty() {
            query = query.param("metric", &self.metric);
        }
        query
    }

    /// The same tenants and metrics in other hours.
    pub fn in_hours(&self, from: u32, to: u32) -> Self {
        Self {
            from,
            to,
            ..self.clone()
        }
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} to {}", show_hour(self.from), show_hour(self.to))?;
        if !self.tenant.is_empty() {
            write!(f, ", tenant {}", self.tenant)?;
        }
        if !self.metric.is_empty() {
            write!(f, ", metric {}", self.metric)?;
        }
        Ok(())
    }
}

/// An hour as people write it.
pub fn show_hour(hour: u32) -> String {
    DateTime::from_timestamp_secs(i64::from(hour)).map_or_else(
        || hour.to_string(),
        |time| time.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
    )
}

/// Reads the start of an hour: RFC 3339, `2026-01-31T14`, or a date.
pub fn parse_hour(text: &str) -> Result<u32, String> {
    let seconds = DateTime::parse_from_rfc3339(text)
        .map(|time| time.timestamp())
        .or_else(|_| {
            let text = text.trim_end_matches('Z');
            let date = |text: &str| {
                text.parse::<NaiveDate>()
                    .map(|date| date.and_time(chrono::NaiveTime::MIN))
            };
            let hour = |text: &str| NaiveDateTime::parse_from_str(&format!("{text}:00"), "%Y-%m-%dT%H:%M");
            let minute = |text: &str| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M");
            date(text)
                .or_else(|_| hour(text))
                .or_else(|_| minute(text))
                .map(|time| time.and_utc().timestamp())
        })
        .map_err(|_| "expected a time such as 2026-01-31T14:00:00Z, 2026-01-31T14 or 2026-01-31 (UTC)".to_owned())?;
    match u32::try_from(seconds) {
        Ok(seconds) if seconds % HOUR_S == 0 => Ok(seconds),
        Ok(_) => Err("expected the start of an hour (UTC)".to_owned()),
        Err(_) => Err("expected a time between 1970 and 2106".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_read_in_the_ways_people_write_them() {
        let hour = 1_769_868_000;
        for text in [
            "2026-01-31T14:00:00Z",
            "2026-01-31T16:00:00+02:00",
            "2026-01-31T14",
            "2026-01-31T14Z",
            "2026-01-31T14:00",
        ] {
            assert_eq!(parse_hour(text), Ok(hour), "{text}");
        }
        assert_eq!(parse_hour("2026-01-31"), Ok(hour - 14 * HOUR_S));
        assert_eq!(show_hour(hour), "2026-01-31T14:00:00Z");
    }

    #[test]
    fn what_is_no_hour_is_refused() {
        for text in ["", "yesterday", "2026-01-31T14:30:00Z", "1969-12-31", "2026-02-30"] {
            assert!(parse_hour(text).is_err(), "{text}");
        }
    }
}
