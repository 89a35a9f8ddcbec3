//! `horolog sample` against the real broker, which is killed and started again meanwhile.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod bed;
mod received;

use std::collections::HashSet;
use std::time::Duration;

use bed::{Bed, BedOptions, wait_until};
use horolog_local::process::Signal;
use horolog_schemas::{AuditEvent, Kind, MetricSample};

const DEADLINE: Duration = Duration::from_secs(180);

#[test]
fn the_sample_stream_survives_a_restart_of_the_broker_and_ends_on_request() {
    let bed = Bed::start_with(&BedOptions {
        migrate: false,
        ..BedOptions::default()
    });
    let (metrics, audits) = (Kind::MetricSample.default_topic(), Kind::AuditEvent.default_topic());
    bed.topic(metrics, 3);
    bed.topic(audits, 3);
    let launch = bed
        .layout()
        .sample()
        .arg("--rate")
        .arg("400")
        .arg("--audit-rate")
        .arg("40")
        .arg("--seed")
        .arg("11");
    let mut process = launch.start(&bed.layout().horolog).unwrap();
    let in_log = |topic| received::receive(&bed.kafka(), topic).len();
    wait_until(DEADLINE, "the stream flows", || {
        in_log(metrics) > 400 && in_log(audits) > 40
    });
    bed.restart_broker();
    let (before_metrics, before_audits) = (in_log(metrics), in_log(audits));
    wait_until(DEADLINE, "the stream goes on", || {
        in_log(metrics) > before_metrics + 400 && in_log(audits) > before_audits + 40
    });
    process.signal(Signal::SIGTERM);
    let status = process.wait(DEADLINE);
    assert!(status.is_some_and(|status| status.success()), "{status:?}");

    let records = received::receive(&bed.kafka(), metrics);
    assert_eq!(received::rejections(Kind::MetricSample, &records), []);
    let samples: Vec<MetricSample> = received::decode(Kind::MetricSample, &records);
    assert!(samples.iter().all(|sample| sample.tenant_id == "demo"));
    for distinct in [
        samples
            .iter()
            .map(|sample| sample.service_id.as_str())
            .collect::<HashSet<_>>(),
        samples.iter().map(|sample| sample.metric_name.as_str()).collect(),
    ] {
        assert!(distinct.len() >= 5, "{distinct:?}");
    }
    let records = received::receive(&bed.kafka(), audits);
    assert_eq!(received::rejections(Kind::AuditEvent, &records), []);
    let events: Vec<AuditEvent> = received::decode(Kind::AuditEvent, &records);
    let ids: HashSet<&str> = events.iter().map(|event| event.event_id.as_str()).collect();
    assert_eq!(ids.len(), events.len(), "none was sent twice");
}
