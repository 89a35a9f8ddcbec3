//! How fast audit events are found and exported, on a local stack of its own with generated events.
//!
//! Enters: the number of events. Leaves: a table on standard output. The events are created by SQL inside the engine,
//! over the 24 months from 2024-01-01, with the ledger rows that ingest would have written; then the shipped query
//! service is queried over HTTP as a user would. The stack and its data are removed at the end.
//!
//! ```sh
//! cargo build --release --workspace --examples
//! target/release/examples/audit --events 10000000
//! ```

mod export;
mod history;
mod search;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;
use clap::Parser;
use horolog_load::local_stack::{LocalStack, Running};
use horolog_load::machine::{CpuTime, Machine};
use horolog_load::stop::Stop;

use crate::history::History;

#[derive(Debug, Parser)]
#[command(about = "Measure search and export of audit events")]
struct Options {
    /// Events, of one tenant, over 24 months
    #[arg(long, default_value_t = 10_000_000)]
    events: u64,
    /// Requests for each kind of search
    #[arg(long, default_value_t = 100)]
    requests: usize,
    /// Exports to measure, as FORMAT/COMPRESSION
    #[arg(long, value_delimiter = ',', default_value = "parquet/zstd,ndjson/zstd,csv/gzip")]
    exports: Vec<String>,
    /// Folder for the data, which must not exist [default: one among the temporary files]
    #[arg(long)]
    data: Option<PathBuf>,
    /// Keep the data
    #[arg(long)]
    keep: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let own = std::env::current_exe()?;
    let release = own
        .parent()
        .and_then(|examples| examples.parent())
        .context("not in a target folder")?;
    let stack = LocalStack::new(Some(release.join("horolog")), options.data.clone(), options.keep)?;
    let stop = Stop::on_signals()?;
    let measured = stack.during(&stop, async |running| measure(&running, &options).await);
    measured.await?.context("interrupted")
}

async fn measure(running: &Running, options: &Options) -> anyhow::Result<()> {
    let machine = Machine::this()?;
    println!("{} cores, {} GiB", machine.cores, machine.memory_bytes >> 30);
    let (begun, cpu) = (Instant::now(), CpuTime::now()?);
    let history = History::write(running, options.events).await?;
    println!(
        "{} events over {} months, {:.1} bytes each in {} parts, made in {:.0} s",
        options.events,
        history::MONTHS,
        history.bytes as f64 / options.events as f64,
        history.parts,
        begun.elapsed().as_secs_f64()
    );
    let asker = Asker::new(running)?;
    search::measure(&asker, options.requests).await?;
    for export in &options.exports {
        export::measure(&asker, running, export).await?;
    }
    let share = CpuTime::now()?.share_of_others(&cpu, used_s(running)?);
    println!("others used {:.0} % of the CPU", share * 100.0);
    Ok(())
}

fn used_s(running: &Running) -> anyhow::Result<f64> {
    let processes = running.processes()?;
    let used = processes.iter().map(|process| Ok(process.used()?.cpu_s));
    used.sum()
}

/// A client with a key for the query API.
struct Asker {
    http: reqwest::Client,
    url: String,
    key: String,
}

impl Asker {
    fn new(running: &Running) -> anyhow::Result<Self> {
        Ok(Self {
            http: running.http.clone(),
            url: running.status.query.url.clone(),
            key: running
                .load_tester_key()
                .context("the stack has no key for load tests")?,
        })
    }

    async fn get(&self, path: &str, parameters: &[(&str, &str)]) -> anyhow::Result<serde_json::Value> {
        let url = format!("{}{path}", self.url);
        let request = self
            .http
            .get(url)
            .query(&[("tenant_id", history::TENANT)])
            .query(parameters);
        let answer = request.bearer_auth(&self.key).send().await?.error_for_status()?;
        Ok(answer.json().await?)
    }

    async fn post(&self, path: &str, body: &serde_json::Value) -> anyhow::Result<serde_json::Value> {
        let url = format!("{}{path}", self.url);
        let request = self.http.post(url).query(&[("tenant_id", history::TENANT)]).json(body);
        let answer = request.bearer_auth(&self.key).send().await?.error_for_status()?;
        Ok(answer.json().await?)
    }
}
