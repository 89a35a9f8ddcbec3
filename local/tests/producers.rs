//! The example producers, run as the README says, against the real broker: the pipeline accepts their records.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod bed;
mod received;

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use bed::{Bed, BedOptions, python};
use horolog_schemas::{AuditEvent, Kind, MetricSample};

fn bed() -> &'static Bed {
    static SHARED: OnceLock<Bed> = OnceLock::new();
    SHARED.get_or_init(|| {
        let bed = Bed::start_with(&BedOptions {
            migrate: false,
            ..BedOptions::default()
        });
        bed.topic(Kind::MetricSample.default_topic(), 3);
        bed.topic(Kind::AuditEvent.default_topic(), 3);
        bed
    })
}

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{command:?}: {}\n{out}{err}", output.status);
    out.into_owned()
}

/// What a producer sent for this tenant is one sample and one event that break no rule.
#[track_caller]
fn assert_sent_one_of_each(tenant: &str, said: &str) {
    assert!(
        said.contains("sent to metrics, partition") && said.contains("sent to audit-events, partition"),
        "{said}"
    );
    let of_tenant = |kind: Kind| {
        let mut records = received::receive(&bed().kafka(), kind.default_topic());
        records.retain(|record| record.key.starts_with(&format!("{tenant}/")));
        assert_eq!(received::rejections(kind, &records), []);
        records
    };
    let metrics = of_tenant(Kind::MetricSample);
    let samples: Vec<MetricSample> = received::decode(Kind::MetricSample, &metrics);
    assert_eq!(
        (samples.len(), samples[0].tenant_id.as_str(), samples[0].value),
        (1, tenant, 0.137)
    );
    assert_eq!(metrics[0].key, samples[0].key());
    let audits = of_tenant(Kind::AuditEvent);
    let events: Vec<AuditEvent> = received::decode(Kind::AuditEvent, &audits);
    assert_eq!((events.len(), events[0].new_value.as_str()), (1, r#"{"percent": 25}"#));
    assert_eq!(audits[0].key, events[0].key());
}

#[test]
fn the_rust_producer_sends_what_the_pipeline_takes() {
    // `cargo test` has built it, beside the binaries.
    let programs = Path::new(env!("CARGO_BIN_EXE_horolog")).parent().unwrap();
    let mut command = Command::new(programs.join("examples/producer"));
    let said = run(command.arg(bed().kafka()).arg("from-rust").current_dir(workspace()));
    assert_sent_one_of_each("from-rust", &said);
}

#[test]
fn the_python_producer_sends_what_the_pipeline_takes() {
    let requirements = include_str!("../../schemas/examples/requirements.txt");
    let mut command = Command::new(python("producer", requirements));
    command
        .arg("schemas/examples/producer.py")
        .arg(bed().kafka())
        .arg("from-python");
    let said = run(command.current_dir(workspace()));
    assert_sent_one_of_each("from-python", &said);
}
