//! Records at a modest rate, open loop: how long each takes until it is acknowledged, stored, and in the hourly answer.
//!
//! One thread sends by the schedule and never waits for an answer; a task looks at the ledger. Latencies count from the
//! intended time. How late the sender itself was is reported beside them: a late tester proves nothing.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use anyhow::bail;
use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::local_stack::Running;
use crate::producer::{Acknowledged, Keep, Producer};
use crate::schedule::Constant;
use crate::series::Fleet;
use crate::visibility::{Latencies, Observation, Sent, latencies};

use super::TOPIC;
use super::figures::{Counters, ProcessFigures};
use super::looking::Looking;
use super::progress::wait_for_rows;

const TENANT: &str = "open-loop";
const SERIES: usize = 700;
/// How often the sender looks at the clock: how late it is at the most, as long as it gets a core.
const TICK: Duration = Duration::from_millis(1);

/// The figures of the open loop.
#[derive(Debug, Clone, Serialize)]
pub struct OpenLoop {
    /// Records.
    pub records: u64,
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

/// When what is meant to be sent.
struct Run {
    schedule: Constant,
    records: u64,
    begun: Instant,
    begun_at: DateTime<Utc>,
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
    let counters = Counters::read(running).await?;
    let producer = Producer::connect(&running.status.kafka.bootstrap, TOPIC, Keep::Each)?;
    let run = Run {
        schedule: Constant { per_second: rate },
        records,
        begun: Instant::now(),
        begun_at: Utc::now(),
    };
    let begun = run.begun;
    let looking = Looking::start(running.store.clone(), begun);
    let fleet = Fleet::new(TENANT, SERIES, seed);
    let sending = tokio::task::spawn_blocking(move || run.send(producer, fleet));
    let (lateness, acknowledged, sent) = sending.await??;
    wait_for_rows(&running.store, before + records, begun).await?;
    let after = Counters::read(running).await?;
    let seen = looking.finish().await?;
    Ok(OpenLoop {
        records,
        rate,
        lateness,
        acknowledged,
        stored: of_all(&sent, &seen.stored)?,
        aggregated: of_all(&sent, &seen.aggregated)?,
        processes: after.processes_since(&counters, records),
        others_cpu_share: after.others_cpu_share_since(&counters),
    })
}

impl Run {
    /// Sends all; gives the lateness of the sender, the latency of the acknowledgements, and where each record is. Blocks.
    fn send(&self, producer: Producer, mut fleet: Fleet) -> anyhow::Result<(Latencies, Latencies, Vec<Sent>)> {
        let (mut lateness, mut payload) = (Latencies::new()?, Vec::new());
        let mut number = 0;
        while number < self.records {
            while number < self.records.min(self.schedule.due_by(self.begun.elapsed())) {
                let intended = self.schedule.due_at(number);
                let observed_at = self.begun_at.timestamp_micros() + intended.as_micros() as i64;
                let key = fleet.record(observed_at, &mut payload);
                producer.send(number as usize, key, &payload)?;
                lateness.record(self.begun.elapsed().saturating_sub(intended));
                number += 1;
            }
            producer.poll();
            std::thread::sleep(TICK);
        }
        let (_, each) = producer.finish()?;
        let mut acknowledged = Latencies::new()?;
        let sent = each.iter().map(|record| self.place(record)).collect();
        for record in &each {
            let intended = self.schedule.due_at(record.number as u64);
            acknowledged.record(record.at.duration_since(self.begun).saturating_sub(intended));
        }
        Ok((lateness, acknowledged, sent))
    }

    fn place(&self, record: &Acknowledged) -> Sent {
        Sent {
            partition: record.partition,
            offset: record.offset,
            intended: self.schedule.due_at(record.number as u64),
        }
    }
}

fn of_all(sent: &[Sent], observations: &[Observation]) -> anyhow::Result<Latencies> {
    match latencies(sent, observations)? {
        (latencies, 0) => Ok(latencies),
        (_, unseen) => bail!("{unseen} of {} records were never seen in their table", sent.len()),
    }
}
