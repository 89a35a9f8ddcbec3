//! The records of the backlog: yesterday, as regular one-minute series.
//!
//! One whole day, so that its rows are in a single partition of the table at whatever time it runs. As after an outage,
//! the records are older than what the stages have seen: the aggregates count them as late, which changes no result.

use std::time::{Duration, Instant};

use chrono::{DateTime, Days, NaiveTime, Utc};

use crate::producer::{KafkaAddress, Producer};
use crate::traffic::{Fleet, Outgoing};

use super::SETTLE_DEADLINE;

const MINUTES_A_DAY: u64 = 24 * 60;
const MICROS_A_MINUTE: i64 = 60_000_000;

/// Some records of a day.
pub(super) struct Day {
    tenant: &'static str,
    begins: DateTime<Utc>,
    records: u64,
    seed: u64,
}

impl Day {
    /// This many records of yesterday, in as many series as they need.
    pub(super) fn new(tenant: &'static str, records: u64, seed: u64) -> Self {
        let yesterday = Utc::now().date_naive() - Days::new(1);
        let begins = yesterday.and_time(NaiveTime::MIN).and_utc();
        Self {
            tenant,
            begins,
            records,
            seed,
        }
    }

    /// The number of their series.
    pub(super) fn series(&self) -> usize {
        self.records.div_ceil(MINUTES_A_DAY) as usize
    }

    /// `2026-01-31`, the name of the table's partition.
    pub(super) fn name(&self) -> String {
        self.begins.format("%F").to_string()
    }

    /// Generates this many records without sending them; returns records per second and bytes per record.
    pub(super) fn generate(&self, records: u64) -> (f64, f64) {
        let mut bytes = 0;
        let begun = Instant::now();
        let never = self.records(records, |_, _, payload| {
            bytes += std::hint::black_box(payload).len();
            Ok::<(), std::convert::Infallible>(())
        });
        let Ok(()) = never;
        (
            records as f64 / begun.elapsed().as_secs_f64(),
            bytes as f64 / records as f64,
        )
    }

    /// Sends all records; returns the time until the last was acknowledged. Blocks.
    pub(super) fn write(&self, bootstrap: &str) -> anyhow::Result<Duration> {
        let mut producer = Producer::connect(&KafkaAddress::at(bootstrap))?;
        let begun = Instant::now();
        self.records(self.records, |_, key, payload| {
            producer.send(Outgoing::metric(key, payload))
        })?;
        producer.settle_all(SETTLE_DEADLINE)?;
        Ok(begun.elapsed())
    }

    /// One record of each series, minute by minute.
    fn records<E>(&self, count: u64, mut each: impl FnMut(usize, &str, &[u8]) -> Result<(), E>) -> Result<(), E> {
        let series = self.series();
        let (mut fleet, mut payload) = (Fleet::new(self.tenant, series, self.seed), Vec::new());
        for number in 0..count as usize {
            let time_us = self.begins.timestamp_micros() + (number / series) as i64 * MICROS_A_MINUTE;
            let key = fleet.record(time_us, &mut payload);
            each(number, key, &payload)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_is_of_the_one_day() {
        for records in [1_000, 1_440, 1_441, 1_000_000] {
            let day = Day::new("acme", records, 1);
            let minutes = (records - 1) / day.series() as u64;
            assert!(minutes < MINUTES_A_DAY, "{records} records over {minutes} minutes");
        }
    }
}
