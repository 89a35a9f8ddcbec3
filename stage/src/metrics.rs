//! The Prometheus metrics of a stage, in base units, recorded per batch and not per record. Also: how metrics are
//! registered.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Metric, Registry};

/// Of one topic.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct TopicLabel {
    /// Topic.
    pub topic: String,
}

impl TopicLabel {
    /// The label of a topic.
    pub fn of(topic: &str) -> Self {
        let topic = topic.to_owned();
        Self { topic }
    }
}

/// Of one partition.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct PartitionLabels {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
}

/// Of one table.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct TableLabel {
    /// Table.
    pub table: String,
}

/// Of one class of failure.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ClassLabel {
    /// Class.
    pub class: &'static str,
}

/// An attempt to insert that was refused because its lease was over.
pub const LEASE_OVER: &str = "lease";
/// An attempt to insert whose outcome is unknown.
pub const OUTCOME_UNKNOWN: &str = "unknown";

type ByTopic = Family<TopicLabel, Counter>;

/// The metrics of a stage.
#[derive(Clone)]
pub struct Metrics {
    /// Records of batches that were begun; those of a repeated batch count again.
    pub consumed: ByTopic,
    /// Records that became rows, in the ledger.
    pub stored: ByTopic,
    /// Records that were rejected, in the ledger.
    pub rejected: ByTopic,
    /// Records of batches that were repeated after a crash.
    pub recovered: ByTopic,
    /// Records that came after their hour was complete.
    pub late: ByTopic,
    /// Records whose clock was ahead.
    pub ahead: ByTopic,
    /// How far late records were behind their partition's watermark, within a factor of two.
    pub lateness_seconds: Family<TopicLabel, Histogram, fn() -> Histogram>,
    /// Records older than their retention when they came.
    pub expired: ByTopic,
    /// Offsets that were deleted from the log before they were read.
    pub lost_offsets: ByTopic,
    /// Failed attempts to insert, by class.
    pub insert_failures: Family<ClassLabel, Counter>,
    /// Commits whose outcome was unknown or refused.
    pub commit_failures: Counter,
    /// Recovered batches that had missing or duplicate rows.
    pub repairs: Family<ClassLabel, Counter>,
    /// Records of a batch.
    pub batch_records: Histogram,
    /// Duration of an insert that succeeded.
    pub insert_seconds: Family<TableLabel, Histogram, fn() -> Histogram>,
    /// Age of a batch's oldest record (by its Kafka timestamp) when it is stored.
    pub age_seconds: Family<TopicLabel, Histogram, fn() -> Histogram>,
    /// Records behind the end of the log.
    pub lag: Family<PartitionLabels, Gauge>,
    /// Offsets from the start of an open transaction on.
    pub unstable: Family<PartitionLabels, Gauge>,
    /// Watermark of a partition, seconds since 1970.
    pub watermark_seconds: Family<PartitionLabels, Gauge>,
    /// Memory of records that are not stored yet.
    pub buffered_bytes: Gauge,
    /// Batches in progress.
    pub batches_in_flight: Gauge,
    /// Partitions whose start is not known yet.
    pub resolving_partitions: Gauge,
    /// Partitions that are stopped by an error.
    pub stopped_partitions: Gauge,
    /// Partitions held.
    pub assigned_partitions: Gauge,
}

/// Registers a metric with its default value; returns a handle to it.
pub fn registered<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    registered_as(registry, name, help, M::default())
}

/// Registers a metric; returns a handle to it.
pub fn registered_as<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 18))
}

/// A second to two years.
fn lateness() -> Histogram {
    Histogram::new(exponential_buckets(1.0, 2.0, 27))
}

impl Metrics {
    /// Registers all of them. Counters of what alarms are about begin at 0 for each of the topics: to `increase()`, a
    /// counter that appears with its first accident never rose.
    pub fn new<'a>(registry: &mut Registry, topics: impl Iterator<Item = &'a str>) -> Self {
        let metrics = Self::registered(registry);
        for topic in topics.map(TopicLabel::of) {
            for counter in [&metrics.rejected, &metrics.lost_offsets] {
                drop(counter.get_or_create(&topic));
            }
        }
        for class in [LEASE_OVER, OUTCOME_UNKNOWN] {
            drop(metrics.insert_failures.get_or_create(&ClassLabel { class }));
        }
        metrics
    }

    fn registered(registry: &mut Registry) -> Self {
        let r = registry.sub_registry_with_prefix("horolog");
        Self {
            consumed: registered(r, "records_consumed", "Records of batches that were begun"),
            stored: registered(r, "records_stored", "Records stored as rows, by the ledger"),
            rejected: registered(r, "records_rejected", "Records rejected, by the ledger"),
            recovered: registered(r, "records_recovered", "Records of batches repeated after a crash"),
            late: registered(r, "records_late", "Records that came after their hour was complete"),
            ahead: registered(
                r,
                "records_ahead",
                "Records ahead of most of their batch or of the clock: they do not move the watermark",
            ),
            lateness_seconds: registered_as(
                r,
                "lateness_seconds",
                "How far late records were behind the watermark of their partition",
                Family::new_with_constructor(lateness),
            ),
            expired: registered(
                r,
                "records_expired",
                "Records older than their retention when they came",
            ),
            lost_offsets: registered(r, "offsets_lost", "Offsets deleted from the log before they were read"),
            insert_failures: registered(r, "insert_failures", "Failed attempts to insert"),
            commit_failures: registered(r, "commit_failures", "Commits refused or with an unknown outcome"),
            repairs: registered(r, "repairs", "Recovered batches that had missing or doubled rows"),
            batch_records: registered_as(
                r,
                "batch_records",
                "Records of a batch",
                Histogram::new(exponential_buckets(1.0, 4.0, 11)),
            ),
            insert_seconds: registered_as(
                r,
                "insert_seconds",
                "Duration of an insert",
                Family::new_with_constructor(seconds),
            ),
            age_seconds: registered_as(
                r,
                "record_age_seconds",
                "Age of a batch's oldest record when it is stored",
                Family::new_with_constructor(seconds),
            ),
            lag: registered(r, "lag_records", "Records behind the end of the log"),
            unstable: registered(
                r,
                "open_transaction_offsets",
                "Offsets of the log from the start of an open transaction on; for a moment also those that are just written",
            ),
            watermark_seconds: registered(r, "watermark_timestamp_seconds", "Watermark of a partition"),
            buffered_bytes: registered(r, "buffered_bytes", "Memory of records that are not stored yet"),
            batches_in_flight: registered(r, "batches_in_flight", "Batches under way"),
            stopped_partitions: registered(r, "partitions_stopped", "Partitions stopped by an error"),
            resolving_partitions: registered(
                r,
                "partitions_resolving",
                "Partitions that are not fetched yet, because it is not known yet where they resume",
            ),
            assigned_partitions: registered(r, "partitions_assigned", "Partitions held"),
        }
    }
}
