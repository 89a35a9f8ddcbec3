//! Rejected records that are sent again: each once, however often and wherever the command dies, and only what is
//! accepted now.

use std::path::Path;
use std::time::Duration;

use horolog_schemas::{MetricSample, MetricType};

use crate::bed::{Bed, Record, now_ms};
use crate::flow::Flow;

/// The schema registry's number of the schema that was forgotten.
const SCHEMA: u32 = 77;
/// More than go into one transaction.
const RECORDS: u64 = 2_300;
const COMMAND_DEADLINE: Duration = Duration::from_secs(120);

fn sample(flow: &Flow<'_>, number: u64) -> Record {
    let sample = MetricSample {
        tenant_id: flow.topic.clone(),
        time: now_ms() * 1_000,
        metric_name: "replayed".to_owned(),
        metric_type: MetricType::Gauge,
        value: number as f64,
        ..MetricSample::default()
    };
    let mut payload = Vec::new();
    sample.encode_confluent(SCHEMA, &mut payload);
    Record::of(payload).key(format!("key {number}"))
}

/// Runs the command; returns what it printed, or `None` if it died.
fn replay(flow: &Flow<'_>, schemas: &Path, args: &[&str], env: &[(&str, &str)]) -> Option<String> {
    let mut all_args = vec!["replay-rejected", "--topic", flow.topic.as_str()];
    all_args.extend_from_slice(args);
    let mut all_env = vec![
        ("HOROLOG_INGEST__SOURCE__METRICS_TOPIC", flow.topic.as_str()),
        ("HOROLOG_INGEST__SOURCE__SCHEMA_FOLDER", schemas.to_str().unwrap()),
    ];
    all_env.extend_from_slice(env);
    let mut command = flow.bed.spawn_command("horolog-ingest", &all_args, &all_env);
    command.wait(COMMAND_DEADLINE).success().then(|| command.log_tail())
}

/// How often each of the samples is stored.
fn stored(flow: &Flow<'_>) -> (u64, u64) {
    flow.bed.one(&format!(
        "select count(), uniqExact(value) from metrics where tenant_id = '{}'",
        flow.topic
    ))
}

#[test]
fn rejected_records_are_replayed_once_when_their_cause_is_mended() {
    let flow = Flow::new(Bed::shared(), "replayed", 2);
    let none = tempfile::tempdir().unwrap();
    let schemas = folder_with_the_schema();

    let mut stages = [flow.ingest(&[]), flow.aggregate(&[])];
    for partition in 0..2_u64 {
        let half = (0..RECORDS / 2).map(|number| sample(&flow, 2 * number + partition));
        let records: Vec<Record> = half.chain([Record::of("never avro")]).collect();
        flow.bed.produce(&flow.topic, partition as i32, &records);
    }
    flow.count_sent(RECORDS + 2);
    flow.wait_until_stored();
    assert_eq!(stored(&flow), (0, 0), "their schema is not known");
    let nothing = replay(&flow, none.path(), &[], &[]).unwrap();
    assert!(
        nothing.contains("replayed 0 records") && nothing.contains(&format!("left out {RECORDS} records")),
        "what would be rejected again is not sent: {nothing}"
    );

    let folder = schemas.path().to_str().unwrap();
    stages[0].restart_with(&[("HOROLOG_INGEST__SOURCE__SCHEMA_FOLDER", folder)]);
    stages[1].restart_with(&[("HOROLOG_AGGREGATE__SOURCE__SCHEMA_FOLDER", folder)]);
    let dry = replay(&flow, schemas.path(), &["--dry-run"], &[]).unwrap();
    assert!(dry.contains(&format!("would replay {RECORDS} records")), "{dry}");
    let other = replay(&flow, schemas.path(), &["--reason", "not_utf8"], &[]).unwrap();
    assert!(other.contains("replayed 0 records"), "{other}");
    // Dies before a transaction and after one; the next runs find out what became of it.
    for point in ["replay-begun:2", "replay-sent:1", "replay-begun:1"] {
        assert_eq!(replay(&flow, schemas.path(), &[], &[("HOROLOG_CRASH_AT", point)]), None);
    }
    replay(&flow, schemas.path(), &["--reason", "unknown_schema"], &[]).unwrap();
    let again = replay(&flow, schemas.path(), &[], &[]).unwrap();
    assert!(
        again.contains("replayed 0 records")
            && again.contains("left out 2 records that would be rejected again: unknown_framing"),
        "{again}"
    );

    flow.count_sent(RECORDS);
    flow.wait_until_stored();
    assert_eq!(stored(&flow), (RECORDS, RECORDS), "samples and different samples");
    flow.assert_hours();
    let moved: u64 = flow.bed.one(&format!(
        "select count() from metrics where tenant_id = '{}' and kafka_partition != toInt32(value) % 2",
        flow.topic
    ));
    assert_eq!(moved, 0, "each is in the partition that it was in before");
}

#[test]
fn what_aggregate_took_is_not_sent_to_be_counted_twice() {
    let flow = Flow::new(Bed::shared(), "counted", 1);
    let schemas = folder_with_the_schema();
    let folder = schemas.path().to_str().unwrap();
    // The schema reaches aggregate first.
    let _aggregate = flow.aggregate(&[("HOROLOG_AGGREGATE__SOURCE__SCHEMA_FOLDER", folder)]);
    let mut ingest = flow.ingest(&[]);
    let records: Vec<Record> = (0..10).map(|number| sample(&flow, number)).collect();
    flow.bed.produce(&flow.topic, 0, &records);
    flow.bed.produce(&flow.topic, 0, &[Record::of("never avro")]);
    flow.count_sent(11);
    flow.wait_until_stored();
    ingest.restart_with(&[("HOROLOG_INGEST__SOURCE__SCHEMA_FOLDER", folder)]);
    let said = replay(&flow, schemas.path(), &[], &[]).unwrap();
    assert!(
        said.contains("replayed 0 records") && said.contains("left out 10 records that may be in their hours"),
        "{said}"
    );
    let said = replay(&flow, schemas.path(), &["--counted"], &[]).unwrap();
    assert!(said.contains("replayed 10 records"), "{said}");
    flow.count_sent(10);
    flow.wait_until_stored();
    assert_eq!(stored(&flow), (10, 10));
}

fn folder_with_the_schema() -> tempfile::TempDir {
    let schemas = tempfile::tempdir().unwrap();
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/avro/metric_sample.avsc");
    std::fs::copy(schema, schemas.path().join(format!("{SCHEMA}.avsc"))).unwrap();
    schemas
}

#[test]
fn a_topic_that_nobody_stores_is_not_replayed_to() {
    let flow = Flow::new(Bed::shared(), "not-replayed", 1);
    let args = ["replay-rejected", "--topic", "elsewhere"];
    let mut command = flow.bed.spawn_command("horolog-ingest", &args, &[]);
    assert!(!command.wait(COMMAND_DEADLINE).success());
    let said = command.log_tail();
    assert!(
        said.contains("--topic elsewhere: it is neither source.metrics_topic nor"),
        "{said}"
    );
}
