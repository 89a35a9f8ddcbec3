//! Watches which partitions hold completeness back, and names them in the log and in metrics.
//!
//! Enters: what the table `partition_progress` says of all partitions of the topic, whoever holds them, from time to time.
//! Leaves: a warning when a partition stalls, a word when it goes on, and gauges. Changes nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use clickhouse::{Client, Row};
use horolog_stage::run::CompletenessConfig;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use serde::Deserialize;

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(10);

/// The newest progress of each partition of a topic.
const PROGRESS_SQL: &str = "\
    select kafka_partition, toUnixTimestamp64Milli(max(p.watermark)) as watermark_ms from partition_progress as p \
    where p.kafka_topic = ? group by kafka_partition, log_epoch \
    order by kafka_partition, log_epoch desc limit 1 by kafka_partition";

#[derive(Debug, Clone, Copy, Row, Deserialize)]
struct Progress {
    kafka_partition: i32,
    watermark_ms: i64,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct TopicLabel {
    topic: String,
}

/// The watch over one topic.
pub struct Stalls {
    client: Client,
    topic: String,
    stalled_after_ms: i64,
    stalled: BTreeSet<i32>,
    stalled_partitions: Family<TopicLabel, Gauge>,
    complete_through_seconds: Family<TopicLabel, Gauge>,
}

impl Stalls {
    /// A watch that tells `registry`.
    pub fn new(client: Client, topic: &str, config: &CompletenessConfig, registry: &mut Registry) -> Self {
        let (stalled_partitions, complete_through_seconds) = (Family::default(), Family::default());
        let registry = registry.sub_registry_with_prefix("horolog");
        registry.register(
            "stalled_partitions",
            "Partitions of the topic that hold completeness back, whoever holds them",
            Family::clone(&stalled_partitions),
        );
        registry.register(
            "complete_through_timestamp_seconds",
            "Smallest watermark over the partitions that have reported, seconds since 1970",
            Family::clone(&complete_through_seconds),
        );
        Self {
            client,
            topic: topic.to_owned(),
            stalled_after_ms: config.stalled_after_ms(),
            stalled: BTreeSet::new(),
            stalled_partitions,
            complete_through_seconds,
        }
    }

    /// Watches for as long as it is polled.
    pub async fn watch(mut self) {
        loop {
            match self.look().await {
                Ok(progress) => self.tell(&progress, chrono::Utc::now().timestamp_millis()),
                Err(error) => tracing::debug!(%error, "cannot read how far the partitions are"),
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    async fn look(&self) -> Result<Vec<Progress>, clickhouse::error::Error> {
        self.client.query(PROGRESS_SQL).bind(&self.topic).fetch_all().await
    }

    fn tell(&mut self, progress: &[Progress], now_ms: i64) {
        let is_stalled = |progress: &&Progress| now_ms - progress.watermark_ms > self.stalled_after_ms;
        let stalled: BTreeSet<i32> = progress
            .iter()
            .filter(is_stalled)
            .map(|progress| progress.kafka_partition)
            .collect();
        for progress in progress {
            let Progress {
                kafka_partition,
                watermark_ms,
            } = *progress;
            let (topic, before) = (&self.topic, self.stalled.contains(&kafka_partition));
            match (before, stalled.contains(&kafka_partition)) {
                (false, true) => tracing::warn!(
                    partition = %format_args!("{topic}/{kafka_partition}"),
                    behind_s = (now_ms - watermark_ms) / 1_000,
                    "the partition holds completeness back: is a member of the group missing, or its producer silent behind a transaction?"
                ),
                (true, false) => tracing::info!(
                    partition = %format_args!("{topic}/{kafka_partition}"),
                    "the partition no longer holds completeness back"
                ),
                _ => (),
            }
        }
        let label = TopicLabel {
            topic: self.topic.clone(),
        };
        self.stalled_partitions.get_or_create(&label).set(stalled.len() as i64);
        let through_ms = progress.iter().map(|progress| progress.watermark_ms).min();
        self.complete_through_seconds
            .get_or_create(&label)
            .set(through_ms.unwrap_or(0) / 1_000);
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
        let progress = |behind_ms: [i64; 2]| {
            [0, 1].map(|partition: i32| Progress {
                kafka_partition: partition,
                watermark_ms: 10_000_000 - behind_ms[partition as usize],
            })
        };
        for (behind_ms, stalled) in [
            ([0, limit_ms], BTreeSet::new()),
            ([0, limit_ms + 1], BTreeSet::from([1])),
            ([0, 0], BTreeSet::new()),
        ] {
            stalls.tell(&progress(behind_ms), 10_000_000);
            assert_eq!(stalls.stalled, stalled);
        }
    }
}
