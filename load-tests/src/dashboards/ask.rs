//! Requests charts, and measures the time until the whole response has arrived.
//!
//! Refuses a response that is not a complete chart: a fast error must not count as a figure.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::latencies::Latencies;
use crate::local_stack::Running;
use crate::store::Store;

use super::charts::Chart;
use super::history::History;
use super::table::{ChartFigures, OpenLoop};

/// Metrics that the dashboards use, so that each of their charts is requested often.
const DASHBOARD_METRICS: u32 = 10;
/// How often a batch of the aggregate stage lands while dashboards are requested.
const BATCH_EVERY: Duration = Duration::from_secs(1);

/// A client that requests charts.
#[derive(Clone)]
pub struct Asker {
    http: reqwest::Client,
    url: String,
    key: Arc<str>,
    history: History,
}

impl Asker {
    /// Uses the stack's key for load tests, which is not rate limited.
    pub fn new(running: &Running, history: &History) -> anyhow::Result<Self> {
        let key = running
            .load_tester_key()
            .context("the stack has no key for load tests")?;
        Ok(Self {
            http: running.http.clone(),
            url: running.status.query.url.clone(),
            key: key.into(),
            history: history.clone(),
        })
    }

    /// One kind of chart of every metric: a first request, and a repetition right after it.
    pub async fn first_and_again(&self, chart: Chart) -> anyhow::Result<ChartFigures> {
        let mut figures = ChartFigures {
            chart,
            bytes: 0,
            first: Latencies::new()?,
            again: Latencies::new()?,
        };
        for metric in 0..self.history.metrics() {
            let (first, _) = self.ask(chart, metric).await?;
            let (again, bytes) = self.ask(chart, metric).await?;
            figures.first.record(first);
            figures.again.record(again);
            figures.bytes = bytes;
        }
        Ok(figures)
    }

    /// Dashboards, one after the other, while nothing lands. A dashboard requests its charts concurrently and is
    /// complete with the last of them.
    pub async fn dashboards_at_rest(&self, count: u32) -> anyhow::Result<Latencies> {
        let mut latencies = Latencies::new()?;
        for number in 0..count {
            let begun = Instant::now();
            let mut charts = JoinSet::new();
            for chart in Chart::ALL {
                let asker = self.clone();
                charts.spawn(async move { asker.ask(chart, number % DASHBOARD_METRICS).await });
            }
            while let Some(asked) = charts.join_next().await {
                asked??;
            }
            latencies.record(begun.elapsed());
        }
        Ok(latencies)
    }

    /// The same while batches land.
    pub async fn dashboards(&self, store: &Store, count: u32) -> anyhow::Result<Latencies> {
        self.while_batches_land(store, self.dashboards_at_rest(count)).await
    }

    /// Dashboard charts at a rate, while batches land.
    pub async fn while_landing(&self, store: &Store, rate: u32, seconds: u32) -> anyhow::Result<OpenLoop> {
        let asks = self.open_loop(&Chart::ALL, rate, seconds);
        self.while_batches_land(store, asks).await
    }

    /// Single-line charts at a rate, while nothing lands.
    pub async fn at_rest(&self, rate: u32, seconds: u32) -> anyhow::Result<OpenLoop> {
        self.open_loop(&Chart::OF_ONE_LINE, rate, seconds).await
    }

    /// Charts in turn at a rate: each request is sent at its scheduled time, and its latency counts from then.
    async fn open_loop(&self, charts: &'static [Chart], rate: u32, seconds: u32) -> anyhow::Result<OpenLoop> {
        let mut latencies = Latencies::new()?;
        let count = rate * seconds;
        let (answered, mut answers) = mpsc::channel(count as usize);
        let begun = Instant::now();
        for number in 0..count {
            let due = begun + Duration::from_secs(1) * number / rate;
            sleep_until(due).await;
            let (asker, answered) = (self.clone(), answered.clone());
            tokio::spawn(async move {
                let (metric, chart) = (number as usize / charts.len(), number as usize % charts.len());
                let asked = asker.ask(charts[chart], metric as u32 % DASHBOARD_METRICS).await;
                // The receiver is gone if the measurement has failed.
                let _ = answered.send((asked.map(drop), due.elapsed())).await;
            });
        }
        drop(answered);
        let mut refused = 0;
        while let Some((asked, latency)) = answers.recv().await {
            match asked {
                Ok(()) => latencies.record(latency),
                Err(error) => {
                    refused += 1;
                    eprintln!("{error:#}");
                }
            }
        }
        Ok(OpenLoop {
            rate,
            answered_per_s: latencies.len() as f64 / begun.elapsed().as_secs_f64(),
            refused,
            latencies,
        })
    }

    async fn while_batches_land<T>(
        &self,
        store: &Store,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        let landing = async {
            let mut batches = interval(BATCH_EVERY);
            batches.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                batches.tick().await;
                if let Err(error) = self.history.add(store).await {
                    return error;
                }
            }
        };
        tokio::select! {
            done = work => done,
            failed = landing => Err(failed),
        }
    }

    async fn ask(&self, chart: Chart, metric: u32) -> anyhow::Result<(Duration, usize)> {
        let address = chart.address(&self.url, &self.history.metric(metric), self.history.ends());
        let begun = Instant::now();
        let answer = self.http.get(&address).bearer_auth(&self.key).send().await?;
        let status = answer.status();
        let body = answer.bytes().await?;
        let took = begun.elapsed();
        if !status.is_success() || !body.ends_with(b"\"next_cursor\":null}") {
            bail!(
                "{status} for {address}: {}",
                String::from_utf8_lossy(&body[..body.len().min(500)])
            );
        }
        Ok((took, body.len()))
    }
}
