//! Records at a modest rate, open loop: how long each takes until it is acknowledged, stored, and in the hourly answer.
//!
//! A run as in `horolog-load run`, on the existing stack.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::Serialize;

use crate::latencies::Latencies;
use crate::local_stack::{LocalStack, Running};
use crate::recorder::Measure;
use crate::stop::Stop;
use crate::target::Target;
use crate::trial::{self, Measured, Plan, PlanOptions};

use super::figures::ProcessUse;
use super::progress::wait_for_rows;

/// The figures of the open loop.
#[derive(Debug, Clone, Serialize)]
pub struct OpenLoop {
    /// Records.
    pub records: u64,
    /// Records sent before the clock started.
    pub records_before: u64,
    /// Records a second.
    pub rate: NonZeroU32,
    /// From the intended time until the record was handed to the client: the tester's lateness.
    pub lateness: Latencies,
    /// Until the broker's acknowledgement arrived.
    pub acknowledged: Latencies,
    /// Until its row could be queried and the ledger said so.
    pub stored: Latencies,
    /// Until its hour counted it and the ledger said so.
    pub aggregated: Latencies,
    /// CPU and memory of each process, from the first record until the last was aggregated.
    pub processes: Vec<ProcessUse>,
    /// Share of the CPU used by other processes meanwhile.
    pub others_cpu_share: f64,
}

/// Sends for this long and waits until every record has been seen. `before` records were sent earlier and are in both
/// tables.
pub async fn measure(
    stack: &LocalStack,
    running: &Running,
    rate: NonZeroU32,
    length: Duration,
    seed: u64,
    before: u64,
) -> anyhow::Result<OpenLoop> {
    let options = PlanOptions {
        rate: rate.get().into(),
        duration: length,
        seed,
        ..PlanOptions::default()
    };
    let (plan, content) = Plan::new("sizes", &options)?;
    let target = Target::of_running(stack, running);
    let mut measured = trial::run(&target, (&plan, content), None, None, &Stop::never()).await?;
    let (records, records_before) = (measured.results.sent, measured.warm_up);
    wait_for_rows(&running.store, before + records_before + records, Instant::now()).await?;
    let [lateness, acknowledged, stored, aggregated] = [
        Measure::Lateness,
        Measure::Acknowledged,
        Measure::Stored,
        Measure::Hourly,
    ]
    .map(|measure| of_all(&mut measured, measure));
    Ok(OpenLoop {
        records,
        records_before,
        rate,
        lateness: lateness?,
        acknowledged: acknowledged?,
        stored: stored?,
        aggregated: aggregated?,
        others_cpu_share: measured.results.others_cpu_share,
        processes: measured.results.processes.iter().map(ProcessUse::from).collect(),
    })
}

fn of_all(measured: &mut Measured, measure: Measure) -> anyhow::Result<Latencies> {
    let sent = measured.results.sent;
    let latencies = measured.totals.remove(&measure).context("no record was measured")?;
    if latencies.len() < sent {
        bail!(
            "{} of {sent} records were never seen: {measure}",
            sent - latencies.len()
        );
    }
    Ok(latencies)
}
