//! Records at a modest rate, open loop: how long each takes until it is acknowledged, stored, and in the hourly answer.
//!
//! One thread sends by the schedule and never waits for an answer; a task looks at the ledger. Latencies count from the
//! intended time. How late the sender itself was is reported beside them: a late tester proves nothing.

use std::num::NonZeroU32;
use std::time::Duration;

use anyhow::bail;
use serde::Serialize;

use crate::local_stack::Running;
use crate::producer::{Keep, Producer};
use crate::schedule::Constant;
use crate::visibility::{Latencies, Observation, Sent, latencies};

use super::TOPIC;
use super::figures::{Counters, ProcessFigures};
use super::looking::Looking;
use super::progress::wait_for_rows;
use super::sending::{Beginning, Sending, warm_up};

/// The figures of the open loop.
#[derive(Debug, Clone, Serialize)]
pub struct OpenLoop {
    /// Records.
    pub records: u64,
    /// Records that were sent before the clock started.
    pub records_before: u64,
    /// Records a second.
    pub rate: NonZeroU32,
    /// From the intended time until the record was handed to the client: the tester's own lateness.
    pub lateness: Latencies,
    /// Until the broker's acknowledgement was here.
    pub acknowledged: Latencies,
    /// Until its row could be queried and the ledger said so.
    pub stored: Latencies,
    /// Until its hour counted it and the ledger said so.
    pub aggregated: Latencies,
    /// CPU and memory of each process, from the first record until the last was aggregated.
    pub processes: Vec<ProcessFigures>,
    /// Share of the CPU that was used meanwhile by others than these.
    pub others_cpu_share: f64,
}

/// Sends for so long and waits until everything is seen. `before` records were sent earlier and are in both tables.
pub async fn measure(
    running: &Running,
    rate: NonZeroU32,
    length: Duration,
    seed: u64,
    before: u64,
) -> anyhow::Result<OpenLoop> {
    let records = u64::from(rate.get()) * length.as_secs();
    let producer = Producer::connect(&running.status.kafka.bootstrap, TOPIC, Keep::Each)?;
    let (producer, records_before) = tokio::task::spawn_blocking(move || {
        let records = warm_up(&producer)?;
        Ok::<_, anyhow::Error>((producer, records))
    })
    .await??;
    let counters = Counters::read(running).await?;
    let begun = Beginning::now();
    let looking = Looking::start(running.store.clone(), begun.at);
    let schedule = Constant { per_second: rate };
    let sending = Sending {
        schedule,
        records,
        seed,
    };
    let sent = tokio::task::spawn_blocking(move || sending.run(&producer, begun)).await??;
    let seen = looking.until(sent.ends()).await?;
    let after = Counters::read(running).await?;
    wait_for_rows(&running.store, before + records_before + records, begun.at).await?;
    Ok(OpenLoop {
        records,
        records_before,
        rate,
        stored: of_all(&sent.records, &seen.stored)?,
        aggregated: of_all(&sent.records, &seen.aggregated)?,
        lateness: sent.lateness,
        acknowledged: sent.acknowledged,
        processes: after.processes_since(&counters, records),
        others_cpu_share: after.others_cpu_share_since(&counters),
    })
}

fn of_all(sent: &[Sent], observations: &[Observation]) -> anyhow::Result<Latencies> {
    match latencies(sent, observations)? {
        (latencies, 0) => Ok(latencies),
        (_, unseen) => bail!("{unseen} of {} records were never seen in their table", sent.len()),
    }
}
