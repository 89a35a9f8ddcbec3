//! `horolog-query metrics show` and `rate`: one metric by hours, days or months; for a counter, its increase and rate.
//!
//! Without a span they show the newest rows, as the page does: the API begins with the oldest.

use chrono::{DateTime, Utc};
use clap::{Args, ValueEnum};

use super::client::{Client, Parameters, Take};
use super::error::CliError;
use super::filter::{self, SpanArgs};
use super::listing::Listing;
use super::output::Output;
use super::table::{Column, number, text};
use crate::api::Instant;

const MICROS_A_DAY: i64 = 86_400_000_000;
/// Where a span begins by default, in the words of the help.
pub const NEWEST: &str = "24 hours ago; with --by daily 30 days, with --by monthly 12 months";

const POINTS: [Column; 21] = [
    text("START", "start"),
    text("SERVICE", "service_id"),
    text("PLUGIN", "plugin_id"),
    text("ENVIRONMENT", "environment"),
    text("TEAM", "team_id"),
    text("TYPE", "metric_type"),
    text("UNIT", "unit"),
    number("COUNT", "count"),
    number("LATE", "late_count"),
    number("AVG", "avg"),
    number("MIN", "min"),
    number("MAX", "max"),
    number("SUM", "sum"),
    number("LAST", "last"),
    number("P50", "p50"),
    number("P90", "p90"),
    number("P95", "p95"),
    number("P99", "p99"),
    number("P999", "p999"),
    number("SHARE UNDER", "share_under"),
    number("FRESH", "fresh_count"),
];
const COUNTER_POINTS: [Column; 10] = [
    text("START", "start"),
    text("SERVICE", "service_id"),
    text("PLUGIN", "plugin_id"),
    text("ENVIRONMENT", "environment"),
    text("TEAM", "team_id"),
    text("UNIT", "unit"),
    number("COUNT", "count"),
    number("INCREASE", "increase"),
    number("RATE", "rate"),
    number("RESETS", "resets"),
];

/// One metric over time.
#[derive(Debug, Args)]
pub struct SeriesArgs {
    /// Name of the metric
    metric: String,
    /// When
    #[command(flatten)]
    span: SpanArgs,
    /// What a row is: an hour, a day or a month
    #[arg(long, default_value = "hourly")]
    by: Resolution,
    /// Time zone of days and months, for example Europe/Berlin [default: UTC]
    #[arg(long)]
    zone: Option<String>,
    /// Only this service; this and the other filters can be repeated
    #[arg(long)]
    service: Vec<String>,
    /// Only this plugin
    #[arg(long)]
    plugin: Vec<String>,
    /// Only this environment
    #[arg(long)]
    environment: Vec<String>,
    /// Only this team
    #[arg(long)]
    team: Vec<String>,
    /// Only this type: counter, gauge, histogram
    #[arg(long = "type", value_name = "TYPE")]
    metric_type: Vec<String>,
    /// Only this unit
    #[arg(long)]
    unit: Vec<String>,
    /// Separate rows by these columns: service_id, plugin_id, environment, team_id [default: none, all series of the
    /// metric are merged]
    #[arg(long, value_delimiter = ',')]
    group_by: Vec<String>,
    /// What was known at this time, without what arrived later: RFC 3339, a date, or seconds since 1970
    #[arg(long)]
    as_of: Option<String>,
    /// Maximum number of rows
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

impl SeriesArgs {
    /// If no span is given, that of the newest rows, and what to call it.
    fn newest(&self, now: DateTime<Utc>) -> Option<(Parameters, String)> {
        if self.span.is_given() {
            return None;
        }
        let (days, name) = self.by.newest();
        // If it is no time, the API says so.
        let as_of = self.as_of.as_deref().and_then(|text| Instant::parse(text).ok());
        let end = as_of.unwrap_or_else(|| Instant::from_millis(now.timestamp() * 1_000));
        let start = Instant::from_micros(end.micros() - days * MICROS_A_DAY);
        let from = ("from", start.to_rfc3339());
        Some(match as_of {
            None => (vec![from], format!("the last {name}")),
            Some(_) => (
                vec![from, ("to", end.to_rfc3339())],
                format!("the {name} before {}", end.to_rfc3339()),
            ),
        })
    }

    fn parameters(self, now: DateTime<Utc>) -> Parameters {
        let filters = [
            ("metric_name", vec![self.metric]),
            ("service_id", self.service),
            ("plugin_id", self.plugin),
            ("environment", self.environment),
            ("team_id", self.team),
            ("metric_type", self.metric_type),
            ("unit", self.unit),
            // Given but empty: all series of the metric are merged.
            ("group_by", vec![self.group_by.join(",")]),
            ("zone", Vec::from_iter(self.zone)),
            ("as_of", Vec::from_iter(self.as_of)),
        ];
        let given = filters
            .into_iter()
            .flat_map(|(name, values)| values.into_iter().map(move |value| (name, value)));
        given.chain(self.span.parameters(now)).collect()
    }
}

/// What to show of the samples.
#[derive(Debug, Args)]
pub struct MeasureArgs {
    /// Measures of each row beside its counts: sum, avg, min, max, last, p50, p90, p95, p99, p999
    #[arg(long, default_value = "sum,avg,min,max,p50,p95,p99")]
    measures: String,
    /// Also show the share of samples at or below this value
    #[arg(long, allow_negative_numbers = true)]
    threshold: Option<f64>,
    /// Include records that are not aggregated yet
    #[arg(long)]
    fresh: bool,
}

/// Resolution of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Resolution {
    /// Hours.
    Hourly,
    /// Days.
    Daily,
    /// Months.
    Monthly,
}

impl Resolution {
    /// How much to show if no span is given, in days and in words: what a reader can still take in.
    fn newest(self) -> (i64, &'static str) {
        match self {
            Self::Hourly => (1, "24 hours"),
            Self::Daily => (30, "30 days"),
            Self::Monthly => (365, "12 months"),
        }
    }
}

/// One metric with its measures.
pub async fn show(series: SeriesArgs, told: MeasureArgs, client: &Client, output: Output) -> Result<(), CliError> {
    let path = format!("/v1/metrics/{}", filter::name(series.by));
    let measures = ("measures", told.measures);
    let threshold = told.threshold.map(|value| ("threshold", value.to_string()));
    let fresh = told.fresh.then(|| ("fresh", "true".to_owned()));
    let more = [measures].into_iter().chain(threshold).chain(fresh);
    listed(&path, series, more, &POINTS, client, output).await
}

/// Increase and rate of a counter.
pub async fn rate(series: SeriesArgs, client: &Client, output: Output) -> Result<(), CliError> {
    let path = format!("/v1/metrics/counters/{}", filter::name(series.by));
    listed(&path, series, [], &COUNTER_POINTS, client, output).await
}

async fn listed(
    path: &str,
    series: SeriesArgs,
    more: impl IntoIterator<Item = (&'static str, String)>,
    columns: &[Column],
    client: &Client,
    output: Output,
) -> Result<(), CliError> {
    let (take, now) = (Take::Pages(series.limit), Utc::now());
    let (newest, name) = series.newest(now).unzip();
    let mut asked = series.parameters(now);
    asked.extend(newest.into_iter().flatten());
    asked.extend(more);
    let nothing = match &name {
        None => "no values match".to_owned(),
        Some(name) => format!("nothing in {name}; try --last or --from"),
    };
    let shown = name.map(|name| format!("{name}; --last and --from show others"));
    let listing = Listing {
        path,
        asked,
        take,
        columns,
        nothing: &nothing,
    };
    listing.show_of(shown.as_deref(), client, output).await
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches;

    use super::*;

    fn series(line: &[&str]) -> SeriesArgs {
        let command = SeriesArgs::augment_args(clap::Command::new("show"));
        let matches = command.try_get_matches_from([&["show", "cpu"][..], line].concat());
        SeriesArgs::from_arg_matches(&matches.unwrap()).unwrap()
    }

    #[test]
    fn without_a_span_the_newest_rows_are_shown() {
        let now: DateTime<Utc> = "2026-03-01T12:00:00.5Z".parse().unwrap();
        for (line, from, to, name) in [
            (&[] as &[&str], "2026-02-28T12:00:00Z", None, "the last 24 hours"),
            (&["--by", "daily"], "2026-01-30T12:00:00Z", None, "the last 30 days"),
            (&["--by", "monthly"], "2025-03-01T12:00:00Z", None, "the last 12 months"),
            (
                &["--as-of", "2026-01-01"],
                "2025-12-31T00:00:00Z",
                Some("2026-01-01T00:00:00Z"),
                "the 24 hours before 2026-01-01T00:00:00Z",
            ),
            (&["--as-of", "noon"], "2026-02-28T12:00:00Z", None, "the last 24 hours"),
        ] {
            let ends = [("from", Some(from)), ("to", to)].into_iter();
            let ends: Parameters = ends.filter_map(|(end, at)| Some((end, at?.to_owned()))).collect();
            assert_eq!(series(line).newest(now), Some((ends, name.to_owned())), "{line:?}");
        }
        for given in [["--last", "7d"], ["--from", "2026-01-01"], ["--to", "2026-01-01"]] {
            assert_eq!(series(&given).newest(now), None, "{given:?}");
        }
    }
}
