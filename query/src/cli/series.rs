//! `horolog-query metrics show` and `rate`: one metric by hours, days or months; for a counter, its increase and rate.

use chrono::Utc;
use clap::{Args, ValueEnum};

use super::client::{Client, Parameters, Take};
use super::error::CliError;
use super::filter::{self, SpanArgs};
use super::listing::Listing;
use super::output::Output;
use super::table::{Column, number, text};

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
    /// Resolution
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
    /// The state as of this time, without what arrived later
    #[arg(long)]
    as_of: Option<String>,
    /// Maximum number of rows
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

impl SeriesArgs {
    fn parameters(self) -> Parameters {
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
        given.chain(self.span.parameters(Utc::now())).collect()
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
    let take = Take::Pages(series.limit);
    let mut asked = series.parameters();
    asked.extend(more);
    let listing = Listing {
        path,
        asked,
        take,
        columns,
        nothing: "no values match",
    };
    listing.show(client, output).await
}
