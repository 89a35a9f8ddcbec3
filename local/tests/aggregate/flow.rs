//! Samples through the real broker into both stages, on a topic and for a tenant of their own.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use horolog_schemas::{MetricSample, MetricType};

use crate::bed::{Bed, Proc, Record, now_ms, wait_until};

/// How long something may take on a slow machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(300);

/// A topic that both stages read.
pub(crate) struct Flow {
    pub(crate) bed: &'static Bed,
    pub(crate) topic: String,
    sent: AtomicU64,
}

impl Flow {
    /// A new topic with so many partitions. It is also the name of the tenant.
    pub(crate) fn new(name: &str, partitions: i32) -> Self {
        let bed = Bed::shared();
        let topic = format!("{name}-{}", now_ms());
        bed.topic(&topic, partitions);
        bed.topic(&format!("{topic}-audit"), 1);
        Self {
            bed,
            topic,
            sent: AtomicU64::new(0),
        }
    }

    /// Starts ingest.
    pub(crate) fn ingest(&self) -> Proc {
        let (audit, group) = (format!("{}-audit", self.topic), format!("{}-ingest", self.topic));
        self.bed.spawn(
            "horolog-ingest",
            &[
                ("HOROLOG_INGEST__SOURCE__METRICS_TOPIC", self.topic.as_str()),
                ("HOROLOG_INGEST__SOURCE__AUDIT_TOPIC", audit.as_str()),
                ("HOROLOG_INGEST__SOURCE__GROUP", group.as_str()),
            ],
        )
    }

    /// Starts aggregate, with hours complete as soon as they have ended.
    pub(crate) fn aggregate(&self) -> Proc {
        self.aggregate_with(&[])
    }

    /// The same with settings of the test's own.
    pub(crate) fn aggregate_with(&self, settings: &[(&str, &str)]) -> Proc {
        let group = format!("{}-aggregate", self.topic);
        self.bed.spawn(
            "horolog-aggregate",
            &[
                settings,
                &[
                    ("HOROLOG_AGGREGATE__SOURCE__METRICS_TOPIC", self.topic.as_str()),
                    ("HOROLOG_AGGREGATE__SOURCE__GROUP", group.as_str()),
                    ("HOROLOG_AGGREGATE__BATCH__AGE_MAX_MS", "500"),
                    ("HOROLOG_AGGREGATE__COMPLETENESS__ALLOWED_LATENESS_S", "1"),
                    ("HOROLOG_AGGREGATE__UPKEEP__INTERVAL_S", "1"),
                    ("HOROLOG_AGGREGATE__UPKEEP__REVISE_INTERVAL_S", "1"),
                    (
                        "HOROLOG_AGGREGATE__KAFKA__PROPERTIES",
                        r#"{"session.timeout.ms"="6000","heartbeat.interval.ms"="1000"}"#,
                    ),
                ],
            ]
            .concat(),
        )
    }

    /// A counter's sample of this tenant.
    pub(crate) fn counter(&self, metric: &str, instance: u64, time_ms: i64, value: f64) -> MetricSample {
        MetricSample {
            tenant_id: self.topic.clone(),
            time: time_ms * 1_000,
            metric_name: metric.to_owned(),
            metric_type: MetricType::Counter,
            service_id: "shop".to_owned(),
            environment: "production".to_owned(),
            value,
            unit: "1".to_owned(),
            labels: BTreeMap::from([("instance".to_owned(), format!("i-{instance}"))]),
            ..MetricSample::default()
        }
    }

    /// Produces samples to a partition; returns the offset of the first.
    pub(crate) fn produce(&self, partition: i32, samples: &[MetricSample]) -> i64 {
        let records: Vec<Record> = samples
            .iter()
            .map(|sample| {
                let mut payload = Vec::new();
                sample.encode_single_object(&mut payload);
                Record::of(payload)
            })
            .collect();
        self.sent.fetch_add(records.len() as u64, Ordering::SeqCst);
        self.bed.produce(&self.topic, partition, &records)[0]
    }

    /// Waits until a stage has everything.
    pub(crate) fn wait_until_stored(&self, stage: &str) {
        let sent = self.sent.load(Ordering::SeqCst);
        wait_until(DEADLINE, &format!("{stage} has stored {sent} records"), || {
            self.bed.one::<u64>(&format!(
                "select sum(records) from batch_ledger final \
                 where stage = '{stage}' and entry in ('batch', 'recovered') and kafka_topic = '{}'",
                self.topic
            )) >= sent
        });
    }
}
