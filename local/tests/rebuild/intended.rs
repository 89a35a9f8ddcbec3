//! Batches of another topic of which a rebuild sees nothing: their stage died between the intent, which is in Kafka, and
//! the ledger.

use std::time::Duration;

use crate::accidents::insert_old;
use crate::bed::{Bed, BedOptions, now_ms, wait_until};
use crate::flow::Flow;
use crate::world::command;

const DEADLINE: Duration = Duration::from_secs(300);
const HOUR_MS: i64 = 3_600_000;
/// Dead writers are waited for ten seconds instead of two minutes.
const LEASE_S: u32 = 5;
const RECORDS: u64 = 50;

#[test]
fn what_a_dead_deployment_had_only_an_intent_for_is_visible_after_a_rebuild() {
    let lease = LEASE_S.to_string();
    let bed = Bed::start_with(&BedOptions {
        migrate_env: vec![("HOROLOG_MIGRATE__TABLES__LEASE_SECONDS".to_owned(), lease.clone())],
        ..BedOptions::default()
    });
    let (flow, own) = (Flow::new(&bed, "intended", 1), Flow::new(&bed, "own", 1));
    let hour = ((now_ms() / HOUR_MS - 3) * 3_600) as u32;
    flow.produce_at((0..RECORDS as i64).map(|second| (i64::from(hour) + second) * 1_000));
    let _ingest = flow.ingest(&[("HOROLOG_INGEST__DELIVERY__LEASE_S", &lease)]);
    let mut aggregate = flow.aggregate(&[
        ("HOROLOG_AGGREGATE__DELIVERY__LEASE_S", &lease),
        ("HOROLOG_CRASH_AT", "after-intent"),
    ]);
    wait_until(DEADLINE, "the stage dies before it begins its batch", || {
        aggregate.exited().is_some()
    });
    flow.wait_until_stage_stored("ingest");
    let of_topic = format!("kafka_topic = '{}'", flow.topic);
    let begun =
        format!("select count() from batch_ledger where {of_topic} and stage = 'aggregate' and entry != 'epoch'");
    assert_eq!(bed.one::<u64>(&begun), 0);
    // That was ten minutes ago.
    bed.execute(&format!(
        "delete from batch_ledger where {of_topic} and stage = 'aggregate'"
    ));
    bed.execute(&format!("delete from partition_progress where {of_topic}"));
    let row = format!(
        "(stage, kafka_topic, kafka_partition, log_epoch, start_offset, end_offset, entry, inserted_at) \
         select 'aggregate', '{}', 0, 1, 0, 0, 'epoch', now64(3) - interval 10 minute",
        flow.topic
    );
    insert_old(&bed, "batch_ledger", &row, LEASE_S);

    let group = format!("{}-aggregate", own.topic);
    let mut rebuild = bed.spawn_command(
        "horolog-aggregate",
        &command("rebuild", hour, hour + 3_600, &[]),
        &[
            ("HOROLOG_AGGREGATE__SOURCE__METRICS_TOPIC", own.topic.as_str()),
            ("HOROLOG_AGGREGATE__SOURCE__GROUP", group.as_str()),
        ],
    );
    let status = rebuild.wait(DEADLINE);
    let said = std::fs::read_to_string(rebuild.log()).unwrap();
    assert!(status.success() && said.contains(" 0 records"), "{said}");

    aggregate.restart_without(&["HOROLOG_CRASH_AT"]);
    flow.wait_until_stored();
    let visible = "select sum(h.count) from visible_partials as h";
    assert_eq!(bed.one::<u64>(visible), RECORDS);
}
