//! What flows through a stack, asked from outside: the ends of the log, what each stage has committed, what is complete.
//!
//! It asks Kafka and the query API, not the stages, so the answer is right even when a stage is down. Lag is what the
//! stages' `horolog_lag_records` says: records of open transactions wait, markers of transactions behind the last record
//! do not.

use std::time::Duration;

use horolog_schemas::Kind;
use horolog_stage::config::KafkaConfig;
use horolog_stage::probe::{Probe, ProbeError};
use horolog_stage::range::PartitionId;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::Offset;
use rdkafka::{ClientConfig, TopicPartitionList};
use serde::Serialize;

/// The topic that both stages read.
const METRICS: &str = Kind::MetricSample.default_topic();
/// The topics that the stages read, and with how many partitions they are made.
pub const TOPICS: [(&str, i32); 2] = [(METRICS, 4), (Kind::AuditEvent.default_topic(), 2)];

/// The group of the ingest stage.
const INGEST: &str = "horolog-ingest";
/// One request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);

/// Totals at one moment. Offsets are summed over partitions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Flow {
    /// Ends of all partitions.
    pub produced: i64,
    /// What the ingest stage has committed.
    pub stored: i64,
    /// What the aggregate stage has committed.
    pub aggregated: i64,
    /// Records in the log that the ingest stage has not committed.
    pub ingest_lag: i64,
    /// Metric records in the log that the aggregate stage has not committed.
    pub aggregate_lag: i64,
    /// Up to when hourly aggregates are complete.
    pub complete_through: Option<String>,
}

impl Flow {
    /// The lag of the stage that is further behind.
    pub fn lag(&self) -> i64 {
        self.ingest_lag.max(self.aggregate_lag)
    }
}

/// Asks again and again over the same connections.
pub struct Gauge {
    ingest: BaseConsumer,
    aggregate: BaseConsumer,
    log: Probe,
}

impl Gauge {
    /// For the broker at this address.
    pub fn new(bootstrap: &str) -> Result<Self, ProbeError> {
        let kafka = KafkaConfig {
            bootstrap: bootstrap.to_owned(),
            ..KafkaConfig::default()
        };
        let consumer = |group: &str| {
            ClientConfig::new()
                .set("bootstrap.servers", bootstrap)
                .set("group.id", group)
                .set("enable.auto.commit", "false")
                .set("isolation.level", "read_uncommitted") // or logs would end before their open transactions
                .create()
        };
        Ok(Self {
            ingest: consumer(INGEST)?,
            aggregate: consumer("horolog-aggregate")?,
            log: Probe::new(&kafka, INGEST)?,
        })
    }

    /// What Kafka knows. Blocks.
    pub fn read(&self) -> Result<Flow, ProbeError> {
        let mut flow = Flow::default();
        for (topic, _) in TOPICS {
            let ends = self.ends(topic)?;
            let stored = committed(&self.ingest, topic, &ends)?;
            flow.produced += ends.iter().map(|(_, end)| end).sum::<i64>();
            flow.stored += stored.iter().sum::<i64>();
            flow.ingest_lag += self.lag(topic, &stored, &ends)?;
            if topic == METRICS {
                let aggregated = committed(&self.aggregate, topic, &ends)?;
                flow.aggregated = aggregated.iter().sum();
                flow.aggregate_lag = self.lag(topic, &aggregated, &ends)?;
            }
        }
        Ok(flow)
    }

    /// Offsets behind these commits, of partitions that have a record there or an open transaction.
    fn lag(&self, topic: &str, committed: &[i64], ends: &[(i64, i64)]) -> Result<i64, ProbeError> {
        let mut lag = 0;
        for (partition, (&committed, &(_, end))) in (0..).zip(committed.iter().zip(ends)) {
            if committed < end && !self.is_read(&PartitionId::new(topic, partition), committed)? {
                lag += end - committed;
            }
        }
        Ok(lag)
    }

    /// Whether only markers of transactions follow from `offset` on.
    fn is_read(&self, id: &PartitionId, offset: i64) -> Result<bool, ProbeError> {
        let bounds = self.log.bounds(id)?;
        // A record that cannot be read waits, too.
        let has_none = || matches!(self.log.has_record_from(id, offset.max(bounds.start)), Ok(false));
        Ok(bounds.stable_end == bounds.end && has_none())
    }

    /// First and end offset of each partition.
    fn ends(&self, topic: &str) -> KafkaResult<Vec<(i64, i64)>> {
        let metadata = self.ingest.fetch_metadata(Some(topic), REQUEST_TIMEOUT)?;
        let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
        (0..partitions as i32)
            .map(|partition| self.ingest.fetch_watermarks(topic, partition, REQUEST_TIMEOUT))
            .collect()
    }
}

/// The committed offset of each partition; where nothing is committed, the beginning of the log.
fn committed(consumer: &BaseConsumer, topic: &str, ends: &[(i64, i64)]) -> KafkaResult<Vec<i64>> {
    let mut list = TopicPartitionList::new();
    list.add_partition_range(topic, 0, ends.len() as i32 - 1);
    let committed = consumer.committed_offsets(list, REQUEST_TIMEOUT)?;
    let offset = |(partition, &(low, _))| match committed.find_partition(topic, partition).map(|it| it.offset()) {
        Some(Offset::Offset(offset)) => offset,
        _ => low,
    };
    Ok((0..).zip(ends).map(offset).collect())
}

/// Up to when hourly aggregates are complete, from the query API; nothing while it does not know.
pub async fn complete_through(
    http: &reqwest::Client,
    query_url: &str,
    key: &str,
) -> Result<Option<String>, reqwest::Error> {
    let url = format!("{query_url}/v1/metrics/hourly?limit=1");
    let answer = http
        .get(url)
        .bearer_auth(key)
        .timeout(REQUEST_TIMEOUT)
        .send()
        .await?
        .error_for_status()?;
    let answer: serde_json::Value = answer.json().await?;
    Ok(answer["complete_through"].as_str().map(str::to_owned))
}
