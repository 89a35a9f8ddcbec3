//! `horolog-query metrics`: which there are, and one of them by hours, days or months; of a counter, how fast it rose.

use super::client::{Client, Parameters};
use super::error::CliError;
use super::filter::{self, SpanArgs};
use super::output::Output;
use super::table::{self, Column, number, text};
use chrono::Utc;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;

const NAMES: [Column; 3] = [
    text("METRIC", "metric_name"),
    text("TYPE", "metric_type"),
    text("UNIT", "unit"),
];
const ROWS: [Column; 16] = [
    text("START", "start"),
    text("SERVICE", "service_id"),
    text("PLUGIN", "plugin_id"),
    text("ENVIRONMENT", "environment"),
    text("TEAM", "team_id"),
    text("UNIT", "unit"),
    number("COUNT", "count"),
    number("LATE", "late_count"),
    number("AVG", "avg"),
    number("MIN", "min"),
    number("MAX", "max"),
    number("SUM", "sum"),
    number("P50", "p50"),
    number("P95", "p95"),
    number("P99", "p99"),
    number("FRESH", "fresh_count"),
];

const COUNTER_ROWS: [Column; 10] = [
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

/// What a table shows of each row.
const MEASURES: &str = "sum,avg,min,max,p50,p95,p99";

/// What can be asked.
#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant)] // made once a process
pub enum MetricsCommand {
    /// The metrics there are
    List {
        /// Those whose names contain this
        #[arg(long)]
        contains: Option<String>,
        /// Those of this service
        #[arg(long)]
        service: Option<String>,
        /// Those with values in this span [default: the last seven days]
        #[command(flatten)]
        span: SpanArgs,
        /// Metrics at most
        #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// One metric over time
    Show {
        /// Which, and when
        #[command(flatten)]
        series: SeriesArgs,
        /// Add records that are not aggregated yet
        #[arg(long)]
        fresh: bool,
    },
    /// How much a counter rose, and how fast (a second)
    Rate {
        /// Which, and when
        #[command(flatten)]
        series: SeriesArgs,
    },
}

/// One metric over time.
#[derive(Debug, Args)]
pub struct SeriesArgs {
    /// Its name
    metric: String,
    /// When
    #[command(flatten)]
    span: SpanArgs,
    /// In steps of this length
    #[arg(long, default_value = "hourly")]
    by: Resolution,
    /// Of this service only
    #[arg(long)]
    service: Option<String>,
    /// Of this plugin only
    #[arg(long)]
    plugin: Option<String>,
    /// Of this environment only
    #[arg(long)]
    environment: Option<String>,
    /// Of this team only
    #[arg(long)]
    team: Option<String>,
    /// A row for each value of these columns: service_id, plugin_id, environment, team_id
    /// [default: none, everything of the metric is merged]
    #[arg(long, value_delimiter = ',')]
    group_by: Vec<String>,
    /// As it was known at this moment, without what came late after it
    #[arg(long)]
    as_of: Option<String>,
    /// Rows at most
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

impl SeriesArgs {
    fn parameters(self) -> Parameters {
        let filters = [
            ("metric_name", Some(self.metric)),
            ("service_id", self.service),
            ("plugin_id", self.plugin),
            ("environment", self.environment),
            ("team_id", self.team),
            // Given but empty: everything of the metric is merged.
            ("group_by", Some(self.group_by.join(","))),
            ("as_of", self.as_of),
        ];
        let given = filters.into_iter().filter_map(|(name, value)| Some((name, value?)));
        given.chain(self.span.parameters(Utc::now())).collect()
    }
}

/// Steps of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Resolution {
    /// Hours.
    Hourly,
    /// Days, UTC.
    Daily,
    /// Months, UTC.
    Monthly,
}

/// Does it.
pub async fn run(command: MetricsCommand, client: &Client, output: Output) -> Result<(), CliError> {
    match command {
        MetricsCommand::List {
            contains,
            service,
            span,
            limit,
        } => {
            let given = [("contains", contains), ("service_id", service)];
            let given = given.into_iter().filter_map(|(name, value)| Some((name, value?)));
            let asked = given.chain(span.parameters(Utc::now())).collect();
            show("/v1/metrics/names", &asked, &NAMES, limit, client, output).await
        }
        MetricsCommand::Show { series, fresh } => {
            let path = format!("/v1/metrics/{}", filter::name(series.by));
            let limit = series.limit;
            let mut asked = series.parameters();
            asked.push(("measures", MEASURES.to_owned()));
            asked.extend(fresh.then(|| ("fresh", "true".to_owned())));
            show(&path, &asked, &ROWS, limit, client, output).await
        }
        MetricsCommand::Rate { series } => {
            let path = format!("/v1/metrics/counters/{}", filter::name(series.by));
            let limit = series.limit;
            show(&path, &series.parameters(), &COUNTER_ROWS, limit, client, output).await
        }
    }
}

async fn show(
    path: &str,
    asked: &Parameters,
    columns: &[Column],
    limit: u32,
    client: &Client,
    output: Output,
) -> Result<(), CliError> {
    let (mut rows, mut complete_through): (Vec<Value>, _) = (Vec::new(), None);
    let more = client
        .pages(path, asked, limit as usize, |page| {
            complete_through = page.complete_through;
            for row in &page.rows {
                if output.is_json() {
                    output.document(row.get())?;
                } else {
                    rows.push(client.parsed(path, row.get())?);
                }
            }
            Ok(())
        })
        .await?;
    if output.is_json() {
        return Ok(());
    }
    if rows.is_empty() {
        output.hint("no values match");
    } else {
        output.line(&table::of_rows(columns, &rows))?;
    }
    match complete_through {
        Some(None) => output.hint("not complete: not every partition has been heard of"),
        Some(Some(moment)) => output.hint(&format!("complete through {moment}")),
        None => {}
    }
    if more {
        output.hint("there are more: raise --limit, or narrow the question");
    }
    Ok(())
}
