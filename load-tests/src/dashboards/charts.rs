//! The charts of a dashboard, as parameters of the API. Pure.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use super::history::TENANT;

/// A kind of chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chart {
    /// A year by day, all services in one line with its quantiles.
    YearByDay,
    /// A year by day, mean and p99 of each service.
    YearByDayAndService,
    /// A year by month, mean and p99 of each service.
    YearByMonthAndService,
    /// A month by hour, all services in one line with its quantiles.
    MonthByHour,
    /// A month by hour, the mean of each service.
    MonthByHourAndService,
    /// Two days by hour, p99 of each service.
    DaysByHourAndService,
}

impl Chart {
    /// Every kind; a dashboard has each once.
    pub const ALL: [Self; 6] = [
        Self::YearByDay,
        Self::YearByDayAndService,
        Self::YearByMonthAndService,
        Self::MonthByHour,
        Self::MonthByHourAndService,
        Self::DaysByHourAndService,
    ];

    /// The single-line charts, as on the page of a metric.
    pub const OF_ONE_LINE: [Self; 2] = [Self::YearByDay, Self::MonthByHour];

    /// Its description.
    pub fn name(self) -> &'static str {
        match self {
            Self::YearByDay => "a year by day, p50 p95 p99",
            Self::YearByDayAndService => "a year by day and service, avg p99",
            Self::YearByMonthAndService => "a year by month and service, avg p99",
            Self::MonthByHour => "a month by hour, p50 p95 p99",
            Self::MonthByHourAndService => "a month by hour and service, avg",
            Self::DaysByHourAndService => "two days by hour and service, p99",
        }
    }

    /// Its address for a metric.
    pub fn address(self, base: &str, metric: &str, ends: DateTime<Utc>) -> String {
        let (step, days, group_by, measures) = match self {
            Self::YearByDay => ("daily", 365, "", "p50,p95,p99"),
            Self::YearByDayAndService => ("daily", 365, "service_id", "avg,p99"),
            Self::YearByMonthAndService => ("monthly", 365, "service_id", "avg,p99"),
            Self::MonthByHour => ("hourly", 30, "", "p50,p95,p99"),
            Self::MonthByHourAndService => ("hourly", 30, "service_id", "avg"),
            Self::DaysByHourAndService => ("hourly", 2, "service_id", "p99"),
        };
        let moment = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
        let (from, to) = (moment(ends - TimeDelta::days(days)), moment(ends));
        format!(
            "{base}/v1/metrics/{step}?tenant_id={TENANT}&metric_name={metric}&group_by={group_by}&measures={measures}\
             &from={from}&to={to}&limit=50000"
        )
    }
}
