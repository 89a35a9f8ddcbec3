//! Watches which partitions hold completeness back, and names them in the log and in metrics.
//!
//! Enters: the rows of `partition_progress` for all partitions of the topic, whoever holds them, read periodically.
//! Leaves: a warning when a partition stalls or never reports, with the transaction if one is open there, a message
//! when it continues, and gauges. Changes nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use clickhouse::Client;
use horolog_stage::clock::now_ms;
use horolog_stage::completeness::{PartitionProgress, complete_through_ms, watermarks_ms};
use horolog_stage::config::KafkaConfig;
use horolog_stage::metrics::{TopicLabel, registered};
use horolog_stage::probe::Probe;
use horolog_stage::progress;
use horolog_stage::range::PartitionId;
use horolog_stage::store::StoreError;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::config::Config;

/// Time between two looks.
const INTERVAL: Duration = Duration::from_secs(10);

/// A partition that has just stalled.
#[derive(Debug, PartialEq, Eq)]
struct Stalled {
    id: PartitionId,
    behind_ms: i64,
    /// Everything before this offset is in the hours.
    aggregated_end: i64,
}

/// The watch over one topic.
pub struct Stalls {
    client: Client,
    kafka: KafkaConfig,
    group: String,
    topic: String,
    stalled_after_ms: i64,
    /// Since when this watches, ms since 1970: a partition that never reported is behind by the time since.
    watched_since_ms: i64,
    stalled: BTreeSet<i32>,
    stalled_partitions: Family<TopicLabel, Gauge>,
    complete_through_seconds: Family<TopicLabel, Gauge>,
}

impl Stalls {
    /// A watch over the topic of metrics that reports to `registry`.
    pub fn new(client: Client, config: &Config, registry: &mut Registry) -> Self {
        let r = registry.sub_registry_with_prefix("horolog");
        Self {
            client,
            kafka: config.kafka.clone(),
            group: config.source.group.clone(),
            topic: config.source.metrics_topic.clone(),
            // No watermark is less than the allowed lateness behind the clock.
            stalled_after_ms: config.completeness.allowed_lateness_ms() + config.completeness.stalled_after_ms(),
            watched_since_ms: now_ms(),
            stalled: BTreeSet::new(),
            stalled_partitions: registered(
                r,
                "stalled_partitions",
                "Partitions of the topic that hold completeness back, whoever holds them",
            ),
            complete_through_seconds: registered(
                r,
                "complete_through_timestamp_seconds",
                "Moment through which the topic is complete, seconds since 1970; 0 while a partition has not reported",
            ),
        }
    }

    /// Watches for as long as it is polled. While the table cannot be read, partitions stay where they were last seen,
    /// and time goes on.
    pub async fn watch(mut self) {
        let mut progress = Vec::new();
        loop {
            match self.look().await {
                Ok(seen) => progress = seen,
                Err(error) => tracing::warn!(%error, "cannot read the progress of the partitions"),
            }
            let stalled = self.tell(&progress, now_ms());
            if !stalled.is_empty() {
                self.warn(stalled).await;
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    async fn look(&self) -> Result<Vec<PartitionProgress>, StoreError> {
        progress::read(&self.client, &self.topic).await
    }

    /// Returns the partitions that have stalled since the last look.
    fn tell(&mut self, progress: &[PartitionProgress], now_ms: i64) -> Vec<Stalled> {
        let (mut stalled, mut new) = (BTreeSet::new(), Vec::new());
        for (number, watermark_ms) in watermarks_ms(progress) {
            let id = PartitionId::new(self.topic.as_str(), number);
            let behind_ms = now_ms - watermark_ms.unwrap_or(self.watched_since_ms);
            let is_stalled = behind_ms > self.stalled_after_ms;
            if is_stalled {
                stalled.insert(number);
            }
            match (self.stalled.contains(&number), is_stalled) {
                (false, true) => {
                    let row = progress.iter().find(|row| row.kafka_partition == number);
                    new.push(Stalled {
                        id,
                        behind_ms,
                        aggregated_end: row.map_or(0, |row| row.aggregated_end),
                    });
                }
                (true, false) => tracing::info!(partition = %id, "the partition no longer holds completeness back"),
                _ => (),
            }
        }
        let label = TopicLabel::of(&self.topic);
        self.stalled_partitions.get_or_create(&label).set(stalled.len() as i64);
        let through_ms = complete_through_ms(progress).unwrap_or(0);
        self.complete_through_seconds
            .get_or_create(&label)
            .set(through_ms / 1_000);
        self.stalled = stalled;
        new
    }

    /// Says of each that it has stalled, and why if its log tells.
    async fn warn(&self, stalled: Vec<Stalled>) {
        let (kafka, group) = (self.kafka.clone(), self.group.clone());
        let told = tokio::task::spawn_blocking(move || {
            let mut probe = Probe::new(&kafka, &group).ok();
            for stalled in stalled {
                let ask = |probe: &Probe| probe.open_transaction(&stalled.id, stalled.aggregated_end);
                let asked = probe.as_ref().map(ask).transpose();
                if asked.is_err() {
                    probe = None; // the broker is away, and each further question would time out as well
                }
                stalled.warn(asked.ok().flatten().flatten());
            }
        });
        drop(told.await);
    }
}

impl Stalled {
    fn warn(&self, transaction: Option<i64>) {
        let (partition, behind_s) = (&self.id, self.behind_ms / 1_000);
        match transaction {
            Some(offset) => tracing::warn!(
                %partition,
                behind_s,
                transaction_offset = offset,
                "the partition holds completeness back: a transaction is open since that offset; if its producer is gone, `kafka-transactions.sh abort` ends it"
            ),
            None => tracing::warn!(
                %partition,
                behind_s,
                "the partition holds completeness back: is a member of the group missing?"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_stalled_until_it_has_caught_up() {
        let (mut config, mut registry) = (Config::default(), Registry::default());
        (
            config.completeness.allowed_lateness_s,
            config.completeness.stalled_after_s,
        ) = (700, 600);
        let mut stalls = Stalls::new(Client::default(), &config, &mut registry);
        let limit_ms = 1_300_000;
        let row = |partition: i32, behind_ms: i64| PartitionProgress {
            kafka_partition: partition,
            partition_count: 2,
            aggregated_end: 7,
            watermark_ms: 10_000_000 - behind_ms,
            written_ms: 1,
            ..PartitionProgress::default()
        };
        let told = |behind_ms, aggregated_end| Stalled {
            id: PartitionId::new("metrics", 1),
            behind_ms,
            aggregated_end,
        };
        for (behind_ms, stalled, new) in [
            ([0, limit_ms], BTreeSet::new(), vec![]),
            ([0, limit_ms + 1], BTreeSet::from([1]), vec![told(limit_ms + 1, 7)]),
            ([0, limit_ms + 2], BTreeSet::from([1]), vec![]),
            ([0, 0], BTreeSet::new(), vec![]),
        ] {
            let rows = [row(0, behind_ms[0]), row(1, behind_ms[1])];
            assert_eq!(stalls.tell(&rows, 10_000_000), new, "a stall is told once");
            assert_eq!(stalls.stalled, stalled);
        }
        stalls.watched_since_ms = 10_000_000 - limit_ms;
        stalls.tell(&[row(0, 0)], 10_000_000);
        assert_eq!(stalls.stalled, BTreeSet::new(), "partition 1 may still report");
        let new = stalls.tell(&[row(0, -1)], 10_000_001);
        assert_eq!(new, [told(limit_ms + 1, 0)], "partition 1 never reported");
    }
}
