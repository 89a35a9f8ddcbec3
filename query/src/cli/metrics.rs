//! `horolog-query metrics`: list metrics, their values and labels; one metric over time; what late records changed; the
//! health of services.

use chrono::Utc;
use clap::Subcommand;

use super::client::{Client, Parameters, Take};
use super::error::CliError;
use super::filter::{SpanArgs, begins};
use super::listing::Listing;
use super::output::Output;
use super::series::{self, MeasureArgs, NEWEST, SeriesArgs};
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

const NOTHING: &str = "nothing matches";
const NOTHING_THIS_WEEK: &str = "nothing in the last seven days; try --from";
const NOTHING_THIS_HOUR: &str = "nothing in the last hour; try --from";

/// Commands about metrics.
#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant)] // created once per process
pub enum MetricsCommand {
    /// List metrics
    #[command(mut_arg("from", begins("seven days ago")))]
    List {
        /// Only names that contain this text
        #[arg(long)]
        contains: Option<String>,
        /// Only metrics of this service; can be repeated
        #[arg(long)]
        service: Vec<String>,
        /// Only metrics with values in this span
        #[command(flatten)]
        span: SpanArgs,
        /// Maximum number of metrics, up to 10000
        #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Show one metric over time
    #[command(mut_arg("from", begins(NEWEST)))]
    Show {
        /// Metric and span
        #[command(flatten)]
        series: SeriesArgs,
        /// Measures
        #[command(flatten)]
        told: MeasureArgs,
    },
    /// Show the increase of a counter, and its rate per second
    #[command(mut_arg("from", begins(NEWEST)))]
    Rate {
        /// Metric and span
        #[command(flatten)]
        series: SeriesArgs,
    },
    /// List the values of a column, such as all services
    #[command(mut_arg("from", begins("seven days ago")))]
    Values {
        /// Column: service_id, plugin_id, environment or team_id
        column: String,
        /// Only values of this metric; can be repeated
        #[arg(long)]
        metric: Vec<String>,
        /// Only values that contain this text
        #[arg(long)]
        contains: Option<String>,
        /// Only values used in this span
        #[command(flatten)]
        span: SpanArgs,
        /// Maximum number of values, up to 10000
        #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// List the labels of a metric's raw samples, or the values of one label
    #[command(mut_arg("from", begins("an hour ago")))]
    Labels {
        /// Name of the metric
        metric: String,
        /// Label whose values to list
        #[arg(long)]
        label: Option<String>,
        /// Only samples in this span
        #[command(flatten)]
        span: SpanArgs,
        /// Maximum number of labels or values, up to 1000
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// List what late records changed in hours that were complete
    Revisions {
        /// Hours of this span
        #[command(flatten)]
        span: SpanArgs,
        /// Only revisions made at or after this time
        #[arg(long)]
        revised_from: Option<String>,
        /// Maximum number of revisions
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Show the health of each service in the last complete hour
    Health,
}

/// Runs a command.
pub async fn run(command: MetricsCommand, client: &Client, output: Output) -> Result<(), CliError> {
    let (path, asked, take, columns, nothing): (_, _, _, &[Column], _) = match command {
        MetricsCommand::Show { series, told } => return series::show(series, told, client, output).await,
        MetricsCommand::Rate { series } => return series::rate(series, client, output).await,
        MetricsCommand::List {
            contains,
            service,
            span,
            limit,
        } => {
            let asked = given([("contains", contains)], repeated("service_id", service), &span);
            let nothing = if span.is_given() { NOTHING } else { NOTHING_THIS_WEEK };
            ("/v1/metrics/names", asked, Take::Once(limit), &NAMES, nothing)
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
            let nothing = if span.is_given() { NOTHING } else { NOTHING_THIS_WEEK };
            ("/v1/metrics/values", asked, Take::Once(limit), &VALUES, nothing)
        }
        MetricsCommand::Labels {
            metric,
            label,
            span,
            limit,
        } => {
            let asked = given([("metric_name", Some(metric)), ("label", label)], [], &span);
            let nothing = if span.is_given() { NOTHING } else { NOTHING_THIS_HOUR };
            ("/v1/metrics/labels", asked, Take::Once(limit), &VALUES, nothing)
        }
        MetricsCommand::Revisions {
            span,
            revised_from,
            limit,
        } => {
            let asked = given([("revised_from", revised_from)], [], &span);
            ("/v1/metrics/revisions", asked, Take::Pages(limit), &REVISIONS, NOTHING)
        }
        MetricsCommand::Health => ("/v1/metrics/health", Vec::new(), Take::Everything, &SERVICES, NOTHING),
    };
    let listing = Listing {
        path,
        asked,
        take,
        columns,
        nothing,
    };
    listing.show(client, output).await
}

/// The given arguments as parameters.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_says_where_a_span_begins_that_nobody_typed() {
        let mut command = MetricsCommand::augment_subcommands(clap::Command::new("metrics"));
        for (name, default) in [
            ("list", "seven days ago"),
            ("values", "seven days ago"),
            ("labels", "an hour ago"),
            ("show", NEWEST),
            ("rate", NEWEST),
        ] {
            let help = command.find_subcommand_mut(name).unwrap().render_help().to_string();
            let words = help.split_whitespace().collect::<Vec<_>>().join(" ");
            let says = format!("or seconds since 1970 [default: {default}]");
            assert!(words.contains(&says), "{name}: {help}");
        }
    }
}
