//! `horolog-query metrics`: which there are, and one of them by hours, days or months.

use super::client::{Client, Parameters};
use super::error::CliError;
use super::filter::{self, SpanArgs};
use super::output::Output;
use super::table::{self, Column, number, shown, text};
use chrono::Utc;
use clap::{Subcommand, ValueEnum};

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
        /// Metrics at most
        #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// One metric over time
    Show {
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
        /// Add records that are not aggregated yet
        #[arg(long)]
        fresh: bool,
        /// Rows at most
        #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
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
        MetricsCommand::List { contains, limit } => {
            let asked: Parameters = contains.into_iter().map(|text| ("contains", text)).collect();
            show("/v1/metrics/names", &asked, &NAMES, limit, client, output).await
        }
        MetricsCommand::Show {
            metric,
            span,
            by,
            service,
            plugin,
            environment,
            team,
            group_by,
            as_of,
            fresh,
            limit,
        } => {
            let filters = [
                ("metric_name", Some(metric)),
                ("service_id", service),
                ("plugin_id", plugin),
                ("environment", environment),
                ("team_id", team),
                // Given but empty: everything of the metric is merged.
                ("group_by", Some(group_by.join(","))),
                ("measures", Some(MEASURES.to_owned())),
                ("as_of", as_of),
                ("fresh", fresh.then(|| "true".to_owned())),
            ];
            let mut asked: Parameters = filters
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?)))
                .collect();
            asked.extend(span.parameters(Utc::now()));
            let path = format!("/v1/metrics/{}", filter::name(by));
            show(&path, &asked, &ROWS, limit, client, output).await
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
    let (mut rows, mut complete_through) = (Vec::new(), None);
    let more = client
        .rows(path, asked, limit as usize, |page, answer| {
            complete_through.get_or_insert_with(|| shown(&answer["complete_through"]));
            if output.is_json() {
                return output.documents(&page);
            }
            rows.extend(page);
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
    remarks(complete_through.as_deref(), more, output);
    Ok(())
}

fn remarks(complete_through: Option<&str>, more: bool, output: Output) {
    match complete_through {
        Some("") => output.hint("not complete: not every partition has been heard of"),
        Some(moment) => output.hint(&format!("complete through {moment}")),
        None => {}
    }
    if more {
        output.hint("there are more: raise --limit, or narrow the question");
    }
}
