//! Exports of all events, one after the other.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use horolog_load::local_stack::Running;
use serde_json::json;

use crate::Asker;

const EXPORTS: &str = "/v1/audit/exports";
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
const QUERY: &str = "horolog-query";
const CLICKHOUSE: &str = "clickhouse";

/// Prints events per second from the request to the manifest, and the resources that the processes used.
pub async fn measure(asker: &Asker, running: &Running, export: &str) -> anyhow::Result<()> {
    let (format, compression) = export
        .split_once('/')
        .context("--exports: expected FORMAT/COMPRESSION")?;
    let (query, clickhouse) = (running.process(QUERY)?, running.process(CLICKHOUSE)?);
    let before = (query.used()?, clickhouse.used()?);
    let begun = Instant::now();
    let mut job = asker
        .post(EXPORTS, &json!({"format": format, "compression": compression}))
        .await?;
    let id = job["id"].as_str().context("no id")?.to_owned();
    while ["queued", "running"].contains(&job["state"].as_str().unwrap_or_default()) {
        tokio::time::sleep(LOOK_INTERVAL).await;
        job = asker.get(&format!("{EXPORTS}/{id}"), &[]).await?;
    }
    if job["state"] != "complete" {
        bail!("the export is {}: {}", job["state"], job["error"]);
    }
    let seconds = begun.elapsed().as_secs_f64();
    let after = (query.used()?, clickhouse.used()?);
    let rows = job["rows"].as_u64().context("no rows")?;
    let bytes = job["bytes"].as_u64().context("no bytes")?;
    println!(
        "export {export:<14} {rows} events in {seconds:.1} s: {:.0} events/s, {:.1} bytes each; CPU µs an event: query {:.2}, \
         engine {:.2}; peak memory of query since its start {} MiB",
        rows as f64 / seconds,
        bytes as f64 / rows as f64,
        (after.0.cpu_s - before.0.cpu_s) * 1e6 / rows as f64,
        (after.1.cpu_s - before.1.cpu_s) * 1e6 / rows as f64,
        after.0.resident_peak_bytes >> 20
    );
    Ok(())
}
