//! From `horolog up` to the first hourly answer that contains a record.
//!
//! The clock starts with the command. Everything counts: the start of the processes, the migrations, and the first
//! batch of both stages, including the time until it is closed.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::Serialize;

use crate::local_stack::Running;
use crate::producer::{KafkaAddress, Producer};
use crate::traffic::{Fleet, Outgoing};

use super::SETTLE_DEADLINE;
use super::progress::wait_for_rows;

/// The tenant whose key exists from a stack's first start.
const TENANT: &str = "demo";
const RECORDS: usize = 1_000;
const SERIES: usize = 100;
/// Time between two requests.
const INTERVAL: Duration = Duration::from_millis(50);
/// How long to wait for an answer.
const DEADLINE: Duration = Duration::from_secs(120);

/// How long a user waits.
#[derive(Debug, Clone, Serialize)]
pub struct FirstAnswer {
    /// Until `horolog up --detach` returned: every process is ready.
    pub ready_s: f64,
    /// Until the query API answered with an hour of the records that were sent after the start.
    pub answer_s: f64,
    /// Records that were sent.
    pub records: u64,
}

/// Sends some records and waits for their hour. The start was requested at `begun` and took until `ready`.
pub async fn measure(running: &Running, begun: Instant, ready: Duration) -> anyhow::Result<FirstAnswer> {
    let bootstrap = running.status.kafka.bootstrap.clone();
    let records = tokio::task::spawn_blocking(move || send(&bootstrap)).await??;
    let deadline = Instant::now() + DEADLINE;
    while !has_hours(running).await? {
        if Instant::now() > deadline {
            bail!(
                "no hourly answer in {} s; the logs tell why (--keep keeps them)",
                DEADLINE.as_secs()
            );
        }
        tokio::time::sleep(INTERVAL).await;
    }
    let answer_s = begun.elapsed().as_secs_f64();
    wait_for_rows(&running.store, records, Instant::now()).await?;
    Ok(FirstAnswer {
        ready_s: ready.as_secs_f64(),
        answer_s,
        records,
    })
}

async fn has_hours(running: &Running) -> anyhow::Result<bool> {
    let url = format!("{}/v1/metrics/hourly?limit=1", running.status.query.url);
    let key = running.status.query.keys.join("demo-analyst");
    let key = std::fs::read_to_string(&key).with_context(|| format!("cannot read {}", key.display()))?;
    let request = running.http.get(url).bearer_auth(key.trim_end());
    let page = request.send().await?.error_for_status()?.text().await?;
    let answer: serde_json::Value = serde_json::from_str(&page)?;
    let rows = answer.get("rows").and_then(serde_json::Value::as_array);
    Ok(!rows.context("the hourly answer has no `rows`")?.is_empty())
}

fn send(bootstrap: &str) -> anyhow::Result<u64> {
    let mut producer = Producer::connect(&KafkaAddress::at(bootstrap))?;
    let (mut fleet, mut payload) = (Fleet::new(TENANT, SERIES, 0), Vec::new());
    for _ in 0..RECORDS {
        let key = fleet.record(chrono::Utc::now().timestamp_micros(), &mut payload);
        producer.send(Outgoing::metric(key, &payload))?;
    }
    Ok(producer.settle_all(SETTLE_DEADLINE)?)
}
