//! What the tests of the upkeep share: hours that are complete and computed at once, samples of counters, and what is
//! computed from them.

use std::collections::BTreeMap;

use horolog_schemas::{MetricSample, MetricType};

use crate::bed::{Bed, Record};
use crate::flow::{Flow, encoded};

/// Settings of aggregate with which hours are complete as soon as they have ended, and the upkeep runs every second.
pub(crate) const AT_ONCE: [(&str, &str); 3] = [
    ("HOROLOG_AGGREGATE__COMPLETENESS__ALLOWED_LATENESS_S", "1"),
    ("HOROLOG_AGGREGATE__UPKEEP__INTERVAL_S", "1"),
    ("HOROLOG_AGGREGATE__UPKEEP__REVISE_INTERVAL_S", "1"),
];

/// A flow on the bed that the tests share.
pub(crate) fn flow(name: &str, partitions: i32) -> Flow<'static> {
    Flow::new(Bed::shared(), name, partitions)
}

/// A counter's sample of the flow's tenant.
pub(crate) fn counter(flow: &Flow<'_>, metric: &str, instance: u64, time_ms: i64, value: f64) -> MetricSample {
    MetricSample {
        tenant_id: flow.topic.clone(),
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

/// Produces samples to a partition of the flow; gives the offset of the first.
pub(crate) fn produce(flow: &Flow<'_>, partition: i32, samples: &[MetricSample]) -> i64 {
    let records: Vec<Record> = samples.iter().map(encoded).collect();
    flow.count_sent(records.len() as u64);
    flow.bed.produce(&flow.topic, partition, &records)[0]
}

/// Hours of the tenant that are computed, and the samples in them.
pub(crate) fn computed(flow: &Flow<'_>) -> (u64, u64) {
    flow.bed.one(&format!(
        "select uniqExact(hour), sum(samples) from counter_hourly_view where tenant_id = '{}'",
        flow.topic
    ))
}
