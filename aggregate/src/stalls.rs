//! Watches which partitions hold completeness back, and names them in the log and in metrics.
//!
//! Enters: the rows of `partition_progress` for all partitions of the topic, whoever holds them, read periodically.
//! Leaves: a warning when a partition stalls or never reports, a message when it continues, and gauges. Changes
//! nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use clickhouse::Client;
use horolog_stage::clock::now_ms;
use horolog_stage::completeness::{PartitionProgress, complete_through_ms, watermarks_ms};
use horolog_stage::metrics::{TopicLabel, registered};
use horolog_stage::progress;
use horolog_stage::settings::CompletenessConfig;
use horolog_stage::store::StoreError;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Time between two looks.
const INTERVAL: Duration = Duration::from_secs(10);

/// The watch over one topic.
pub struct Stalls {
    client: Client,
    topic: String,
    stalled_after_ms: i64,
    /// Since when this watches, ms since 1970: a partition that never reported is behind by the time since.
    watched_since_ms: i64,
    stalled: BTreeSet<i32>,
    stalled_partitions: Family<TopicLabel, Gauge>,
    complete_through_seconds: Family<TopicLabel, Gauge>,
}

impl Stalls {
    /// A watch that reports to `registry`.
    pub fn new(client: Client, topic: &str, config: &CompletenessConfig, registry: &mut Registry) -> Self {
        let r = registry.sub_registry_with_prefix("horolog");
        Self {
            client,
            topic: topic.to_owned(),
            stalled_after_ms: config.stalled_after_ms(),
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
            self.tell(&progress, now_ms());
            tokio::time::sleep(INTERVAL).await;
        }
    }

    async fn look(&self) -> Result<Vec<PartitionProgress>, StoreError> {
        progress::read(&self.client, &self.topic).await
    }

    fn tell(&mut self, progress: &[PartitionProgress], now_ms: i64) {
        let mut stalled = BTreeSet::new();
        for (number, watermark_ms) in watermarks_ms(progress) {
            let partition = format!("{}/{number}", self.topic);
            let behind_ms = now_ms - watermark_ms.unwrap_or(self.watched_since_ms);
            let is_stalled = behind_ms > self.stalled_after_ms;
            if is_stalled {
                stalled.insert(number);
            }
            match (self.stalled.contains(&number), is_stalled) {
                (false, true) => tracing::warn!(
                    partition,
                    behind_s = behind_ms / 1_000,
                    "the partition holds completeness back: is a member of the group missing?"
                ),
                (true, false) => tracing::info!(partition, "the partition no longer holds completeness back"),
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_stalled_until_it_has_caught_up() {
        let (config, mut registry) = (CompletenessConfig::default(), Registry::default());
        let mut stalls = Stalls::new(Client::default(), "metrics", &config, &mut registry);
        let limit_ms = config.stalled_after_ms();
        let row = |partition: i32, behind_ms: i64| PartitionProgress {
            kafka_partition: partition,
            partition_count: 2,
            watermark_ms: 10_000_000 - behind_ms,
            written_ms: 1,
            ..PartitionProgress::default()
        };
        for (behind_ms, stalled) in [
            ([0, limit_ms], BTreeSet::new()),
            ([0, limit_ms + 1], BTreeSet::from([1])),
            ([0, 0], BTreeSet::new()),
        ] {
            stalls.tell(&[row(0, behind_ms[0]), row(1, behind_ms[1])], 10_000_000);
            assert_eq!(stalls.stalled, stalled);
        }
        stalls.watched_since_ms = 10_000_000 - limit_ms;
        stalls.tell(&[row(0, 0)], 10_000_000);
        assert_eq!(stalls.stalled, BTreeSet::new(), "partition 1 may still report");
        stalls.tell(&[row(0, -1)], 10_000_001);
        assert_eq!(stalls.stalled, BTreeSet::from([1]), "partition 1 never reported");
    }
}
