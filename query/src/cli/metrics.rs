//! `horolog-query metrics`: which there are, with which values and labels; one of them over time; what late records changed; how
//! services do.

use chrono::Utc;
use clap::Subcommand;

use super::client::{Client, Parameters, Take};
use super::error::CliError;
use super::filter::SpanArgs;
use super::listing::Listing;
use super::output::Output;
use super::series::{self, MeasureArgs, SeriesArgs};
use super::table::{Column, number, text};

const NAMES: [Column; 3] = [
    text("METRIC", "metric_name"),
    text("TYPE", "metric_type"),
    text("UNIT", "unit"),
];
const VALUES: [Column; 2] = [text("VALUE", "value"), number("SAMPLES", "samples")];
const REVISIONS: [Column; 8] = [
    text("HOUR", "hour"),
    text("REVISED", "revised_at"),
    number("RECORDS", "records"),
    number("LATE BY S", "lateness_max_s"),
    text("TOPIC", "kafka_topic"),
    number("PARTITION", "kafka_partition"),
    number("FIRST OFFSET", "first_offset"),
    number("LAST OFFSET", "last_offset"),
];
const SERVICES: [Column; 10] = [
    text("SERVICE", "service_id"),
    text("ENVIRONMENT", "environment"),
    text("HOUR", "hour"),
    number("P50 S", "latency_p50_s"),
    number("P99 S", "latency_p99_s"),
    number("REQUESTS", "requests"),
    number("ERRORS", "errors"),
    number("AVAILABILITY", "availability"),
    number("OBJECTIVE", "objective"),
    number("BURN RATE", "burn_rate"),
];

/// What can be asked.
#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant)] // made once a process
pub enum MetricsCommand {
    /// The metrics there are
    List {
        /// Those whose names contain this
        #[arg(long)]
        contains: Option<String>,
        /// Those of this service; can be repeated
        #[arg(long)]
        service: Vec<String>,
        /// Those with values in this span [default: the last seven days]
        #[command(flatten)]
        span: SpanArgs,
        /// Metrics at most, up to 10000
        #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// One metric over time
    Show {
        /// Which, and when
        #[command(flatten)]
        series: SeriesArgs,
        /// What of it
        #[command(flatten)]
        told: MeasureArgs,
    },
    /// How much a counter rose, and how fast (a second)
    Rate {
        /// Which, and when
        #[command(flatten)]
        series: SeriesArgs,
    },
    /// The values that a column has: service_id, plugin_id, environment, team_id
    Values {
        /// The column
        column: String,
        /// Those of this metric; can be repeated
        #[arg(long)]
        metric: Vec<String>,
        /// Those that contain this
        #[arg(long)]
        contains: Option<String>,
        /// Those with values in this span [default: the last seven days]
        #[command(flatten)]
        span: SpanArgs,
        /// Values at most, up to 10000
        #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// The labels of a metric's raw samples, or the values of one
    Labels {
        /// The metric
        metric: String,
        /// The label whose values are asked for
        #[arg(long)]
        label: Option<String>,
        /// Those of samples in this span [default: the last hour]
        #[command(flatten)]
        span: SpanArgs,
        /// Labels or values at most, up to 1000
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// What late records changed in hours that were complete
    Revisions {
        /// In hours of this span
        #[command(flatten)]
        span: SpanArgs,
        /// Only what was revised at this moment or later
        #[arg(long)]
        revised_from: Option<String>,
        /// Revisions at most
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// How each service did in the last complete hour
    Health,
}

/// Does it.
pub async fn run(command: MetricsCommand, client: &Client, output: Output) -> Result<(), CliError> {
    let (path, asked, take, columns): (_, _, _, &[Column]) = match command {
        MetricsCommand::Show { series, told } => return series::show(series, told, client, output).await,
        MetricsCommand::Rate { series } => return series::rate(series, client, output).await,
        MetricsCommand::List {
            contains,
            service,
            span,
            limit,
        } => {
            let asked = given([("contains", contains)], repeated("service_id", service), &span);
            ("/v1/metrics/names", asked, Take::Once(limit), &NAMES)
        }
        MetricsCommand::Values {
            column,
            metric,
            contains,
            span,
            limit,
        } => {
            let one = [("column", Some(column)), ("contains", contains)];
            let asked = given(one, repeated("metric_name", metric), &span);
            ("/v1/metrics/values", asked, Take::Once(limit), &VALUES)
        }
        MetricsCommand::Labels {
            metric,
            label,
            span,
            limit,
        } => {
            let asked = given([("metric_name", Some(metric)), ("label", label)], [], &span);
            ("/v1/metrics/labels", asked, Take::Once(limit), &VALUES)
        }
        MetricsCommand::Revisions {
            span,
            revised_from,
            limit,
        } => {
            let asked = given([("revised_from", revised_from)], [], &span);
            ("/v1/metrics/revisions", asked, Take::Pages(limit), &REVISIONS)
        }
        MetricsCommand::Health => ("/v1/metrics/health", Vec::new(), Take::Everything, &SERVICES),
    };
    let listing = Listing {
        path,
        asked,
        take,
        columns,
        nothing: "nothing matches",
    };
    listing.show(client, output).await
}

/// What was typed, as parameters.
fn given<const N: usize>(
    one: [(&'static str, Option<String>); N],
    several: impl IntoIterator<Item = (&'static str, String)>,
    span: &SpanArgs,
) -> Parameters {
    let one = one.into_iter().filter_map(|(name, value)| Some((name, value?)));
    one.chain(several).chain(span.parameters(Utc::now())).collect()
}

fn repeated(name: &'static str, values: Vec<String>) -> impl Iterator<Item = (&'static str, String)> {
    values.into_iter().map(move |value| (name, value))
}
