//! The sender of the open loop: one thread that keeps to the schedule and never waits for an answer.
//!
//! Enters: the schedule. Leaves: how late the sender itself was, when the broker acknowledged what, and where in the log each
//! record is. Blocks.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use crate::producer::{Acknowledged, ProduceError, Producer};
use crate::schedule::Constant;
use crate::series::Fleet;
use crate::visibility::{Latencies, Sent};

const TENANT: &str = "open-loop";
const SERIES: usize = 700;
/// How often the sender looks at the clock: how late it is at the most, as long as it gets a core.
const TICK: Duration = Duration::from_millis(1);
/// Sent before the clock starts: a client takes half a second to get its id from the broker.
const FIRST_RECORDS: usize = 100;

/// What is to be sent.
pub(super) struct Sending {
    /// When.
    pub schedule: Constant,
    /// How much.
    pub records: u64,
    /// Decides the values.
    pub seed: u64,
}

/// What was sent.
pub(super) struct Sendings {
    /// From the intended time until the record was handed to the client.
    pub lateness: Latencies,
    /// From the intended time until its acknowledgement.
    pub acknowledged: Latencies,
    /// Where each record is.
    pub records: Vec<Sent>,
}

/// The beginning of a run, on both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beginning {
    /// Latencies count from here.
    pub at: Instant,
    /// Records are dated from here.
    pub time: DateTime<Utc>,
}

impl Beginning {
    /// Now.
    pub(super) fn now() -> Self {
        Self {
            at: Instant::now(),
            time: Utc::now(),
        }
    }
}

/// Sends some records, so that the next ones meet a client that knows the broker. Gives how many.
pub(super) fn warm_up(producer: &Producer) -> Result<u64, ProduceError> {
    let (mut fleet, mut payload) = (Fleet::new("warm-up", FIRST_RECORDS, 0), Vec::new());
    for number in 0..FIRST_RECORDS {
        let key = fleet.record(Utc::now().timestamp_micros(), &mut payload);
        producer.send(number, key, &payload)?;
    }
    Ok(producer.settle()?.0)
}

impl Sending {
    /// Sends everything by the schedule.
    pub(super) fn run(&self, producer: &Producer, begun: Beginning) -> anyhow::Result<Sendings> {
        let mut fleet = Fleet::new(TENANT, SERIES, self.seed);
        let (mut lateness, mut payload) = (Latencies::new()?, Vec::new());
        let mut number = 0;
        while number < self.records {
            while number < self.records.min(self.schedule.due_by(begun.at.elapsed())) {
                let intended = self.schedule.due_at(number);
                let observed_us = begun.time.timestamp_micros() + intended.as_micros() as i64;
                let key = fleet.record(observed_us, &mut payload);
                producer.send(number as usize, key, &payload)?;
                lateness.record(begun.at.elapsed().saturating_sub(intended));
                number += 1;
            }
            producer.poll();
            std::thread::sleep(TICK);
        }
        let (_, each) = producer.settle()?;
        let mut acknowledged = Latencies::new()?;
        let intended = |record: &Acknowledged| self.schedule.due_at(record.number as u64);
        for record in &each {
            acknowledged.record((record.at - begun.at).saturating_sub(intended(record)));
        }
        let place = |record: &Acknowledged| Sent {
            partition: record.partition,
            offset: record.offset,
            intended: intended(record),
        };
        let records = each.iter().map(place).collect();
        Ok(Sendings {
            lateness,
            acknowledged,
            records,
        })
    }
}

impl Sendings {
    /// The offset after the last record of each partition.
    pub(super) fn ends(&self) -> BTreeMap<i32, i64> {
        let mut ends = BTreeMap::new();
        for record in &self.records {
            let end = ends.entry(record.partition).or_insert(0);
            *end = record.offset.max(*end - 1) + 1;
        }
        ends
    }
}
