//! `horolog-load dashboards`: how fast charts of a long history are, on a new local stack.
//!
//! Enters: the size of the history. Leaves: a table of latencies. The history is generated in the engine from a seed,
//! as the partial aggregates that a year of records would have left. Measures in turn: every kind of chart, requested
//! for the first time and again; a dashboard of six charts at once, while nothing and while records arrive; requests at
//! a rate, open loop. The stack is removed at the end, also on Ctrl-C.

mod ask;
mod charts;
mod history;
mod table;

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::local_stack::{LocalStack, Running};
use crate::mode::with_runtime;
use crate::results::Outcome;

use ask::Asker;
use charts::Chart;
use history::History;
use table::Figures;

/// Options of `horolog-load dashboards`.
#[derive(Debug, Clone, clap::Args)]
pub struct DashboardsOptions {
    /// Number of metrics. The cost of a chart depends on services and days; more metrics only add rows beside it.
    #[arg(long, value_name = "COUNT", default_value_t = 40, value_parser = clap::value_parser!(u32).range(10..=1_000))]
    metrics: u32,
    /// Number of services that send each metric.
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    services: u32,
    /// Days of history.
    #[arg(long, value_name = "DAYS", default_value_t = 365, value_parser = clap::value_parser!(u32).range(31..=700))]
    days: u32,
    /// Number of dashboards to request, one after the other, while nothing lands and again while batches land.
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    dashboards: u32,
    /// Dashboard chart requests per second, while batches land.
    #[arg(long, value_name = "RATE", default_value = "20")]
    rate: NonZeroU32,
    /// Single-line chart requests per second, while nothing lands.
    #[arg(long, value_name = "RATE", default_value = "200")]
    rate_at_rest: NonZeroU32,
    /// Duration of each of the two.
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: u32,
    /// Seed of the values.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder for the stack's data, which must not exist [default: a temporary folder].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The `horolog` program [default: the one beside this program].
    #[arg(long, value_name = "FILE")]
    horolog: Option<PathBuf>,
}

/// Runs the subcommand.
pub fn run(options: &DashboardsOptions) -> anyhow::Result<ExitCode> {
    let stack = LocalStack::new(options.horolog.clone(), options.data.clone(), false)?;
    with_runtime(async |stop| {
        let measured = stack.during(&stop, async |running| measure(options, &running).await);
        let Some(figures) = measured.await? else {
            return Ok(ExitCode::from(Outcome::Interrupted.exit_code()));
        };
        print!("{}", table::text(&figures));
        let outcome = match figures.while_landing.refused + figures.at_rest.refused {
            0 => Outcome::Passed,
            _ => Outcome::Failed,
        };
        Ok(ExitCode::from(outcome.exit_code()))
    })
}

async fn measure(options: &DashboardsOptions, running: &Running) -> anyhow::Result<Figures> {
    let history = History::new(options.metrics, options.services, options.days, options.seed);
    eprintln!("generating {} hours", history.rows());
    history.write(&running.store).await?;
    eprintln!("waiting until its days are rolled up");
    history.rolled_up(&running.store).await?;
    let asker = Asker::new(running, &history)?;
    eprintln!("asking for each chart, of {} metrics", history.metrics());
    let mut charts = Vec::new();
    for chart in Chart::ALL {
        charts.push(asker.first_and_again(chart).await?);
    }
    eprintln!("looking at {} dashboards", options.dashboards);
    let dashboards_at_rest = asker.dashboards_at_rest(options.dashboards).await?;
    eprintln!("looking at {} dashboards while batches land", options.dashboards);
    let dashboards = asker.dashboards(&running.store, options.dashboards).await?;
    eprintln!("{} requests a second", options.rate);
    let (rate, seconds) = (options.rate.get(), options.seconds);
    let while_landing = asker.while_landing(&running.store, rate, seconds).await?;
    eprintln!("{} requests a second while nothing lands", options.rate_at_rest);
    let at_rest = asker.at_rest(options.rate_at_rest.get(), seconds).await?;
    Ok(Figures {
        rows: history.rows(),
        bytes: history.bytes(&running.store).await?,
        charts,
        dashboards_at_rest,
        dashboards,
        while_landing,
        at_rest,
    })
}
