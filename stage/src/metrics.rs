//! What a stage tells Prometheus, in base units. Recorded once a batch, not as each record comes.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// Of one topic.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct TopicLabel {
    /// Topic.
    pub topic: String,
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

type ByTopic = Family<TopicLabel, Counter>;

/// The metrics of a stage.
#[derive(Clone)]
pub struct Metrics {
    /// Records polled.
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
    /// Offsets that were gone from the log before they were read.
    pub lost_offsets: ByTopic,
    /// Failed attempts to insert, by class.
    pub insert_failures: Family<ClassLabel, Counter>,
    /// Commits whose outcome was unknown or refused.
    pub commit_failures: Counter,
    /// Recovered batches that had missing or doubled rows.
    pub repairs: Family<ClassLabel, Counter>,
    /// Records of a batch.
    pub batch_records: Histogram,
    /// Duration of an insert that succeeded.
    pub insert_seconds: Family<TableLabel, Histogram, fn() -> Histogram>,
    /// Age of a batch's oldest record (by its Kafka timestamp) when it is stored.
    pub age_seconds: Family<TopicLabel, Histogram, fn() -> Histogram>,
    /// Records behind the end of the log.
    pub lag: Family<PartitionLabels, Gauge>,
    /// Watermark of a partition, seconds since 1970.
    pub watermark_seconds: Family<PartitionLabels, Gauge>,
    /// Memory of records that are not stored yet.
    pub buffered_bytes: Gauge,
    /// Batches under way.
    pub batches_in_flight: Gauge,
    /// Partitions whose start is being found out.
    pub resolving_partitions: Gauge,
    /// Partitions that are stopped by an error.
    pub stopped_partitions: Gauge,
    /// Partitions held.
    pub assigned_partitions: Gauge,
}

fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 18))
}

/// A second to two years.
fn lateness() -> Histogram {
    Histogram::new(exponential_buckets(1.0, 2.0, 27))
}

impl Metrics {
    /// Registers all of them.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            consumed: Family::default(),
            stored: Family::default(),
            rejected: Family::default(),
            recovered: Family::default(),
            late: Family::default(),
            ahead: Family::default(),
            lateness_seconds: Family::new_with_constructor(lateness),
            expired: Family::default(),
            lost_offsets: Family::default(),
            insert_failures: Family::default(),
            commit_failures: Counter::default(),
            repairs: Family::default(),
            batch_records: Histogram::new(exponential_buckets(1.0, 4.0, 11)),
            insert_seconds: Family::new_with_constructor(seconds),
            age_seconds: Family::new_with_constructor(seconds),
            lag: Family::default(),
            watermark_seconds: Family::default(),
            buffered_bytes: Gauge::default(),
            batches_in_flight: Gauge::default(),
            resolving_partitions: Gauge::default(),
            stopped_partitions: Gauge::default(),
            assigned_partitions: Gauge::default(),
        };
        let m = metrics.clone();
        let registry = registry.sub_registry_with_prefix("horolog");
        registry.register("records_consumed", "Records polled from the broker", m.consumed);
        registry.register("records_stored", "Records stored as rows, by the ledger", m.stored);
        registry.register("records_rejected", "Records rejected, by the ledger", m.rejected);
        registry.register(
            "records_recovered",
            "Records of batches repeated after a crash",
            m.recovered,
        );
        registry.register(
            "records_late",
            "Records that came after their hour was complete",
            m.late,
        );
        registry.register(
            "records_ahead",
            "Records whose clock was ahead: they do not move the watermark",
            m.ahead,
        );
        registry.register(
            "lateness_seconds",
            "How far late records were behind the watermark of their partition",
            m.lateness_seconds,
        );
        registry.register(
            "records_expired",
            "Records older than their retention when they came",
            m.expired,
        );
        registry.register(
            "offsets_lost",
            "Offsets deleted from the log before they were read",
            m.lost_offsets,
        );
        registry.register("insert_failures", "Failed attempts to insert", m.insert_failures);
        registry.register(
            "commit_failures",
            "Commits refused or with an unknown outcome",
            m.commit_failures,
        );
        registry.register(
            "repairs",
            "Recovered batches that had missing or doubled rows",
            m.repairs,
        );
        registry.register("batch_records", "Records of a batch", m.batch_records);
        registry.register("insert_seconds", "Duration of an insert", m.insert_seconds);
        registry.register(
            "record_age_seconds",
            "Age of a batch's oldest record when it is stored",
            m.age_seconds,
        );
        registry.register("lag_records", "Records behind the end of the log", m.lag);
        registry.register(
            "watermark_timestamp_seconds",
            "Watermark of a partition",
            m.watermark_seconds,
        );
        registry.register(
            "buffered_bytes",
            "Memory of records that are not stored yet",
            m.buffered_bytes,
        );
        registry.register("batches_in_flight", "Batches under way", m.batches_in_flight);
        registry.register(
            "partitions_stopped",
            "Partitions stopped by an error",
            m.stopped_partitions,
        );
        registry.register(
            "partitions_resolving",
            "Partitions that are not fetched yet, because where they go on is being found out",
            m.resolving_partitions,
        );
        registry.register("partitions_assigned", "Partitions held", m.assigned_partitions);
        metrics
    }

    /// Label of a topic.
    pub fn topic(topic: &Arc<str>) -> TopicLabel {
        TopicLabel {
            topic: topic.to_string(),
        }
    }
}
