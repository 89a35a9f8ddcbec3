//! Records that the topic's retention deletes before they are read.

use std::sync::OnceLock;
use std::time::Duration;

use crate::bed::{Bed, BedOptions, Record, now_ms, wait_until};
use crate::flow::{Flow, STORED_DEADLINE};

const INGEST_LEASE: (&str, &str) = ("HOROLOG_INGEST__DELIVERY__LEASE_S", "5");

/// A bed where dead writers are waited for ten seconds instead of two minutes.
fn short_leases() -> &'static Bed {
    static SHARED: OnceLock<Bed> = OnceLock::new();
    SHARED.get_or_init(|| {
        Bed::start_with(&BedOptions {
            migrate_env: vec![("HOROLOG_MIGRATE__TABLES__LEASE_SECONDS".to_owned(), "5".to_owned())],
            ..BedOptions::default()
        })
    })
}

#[test]
fn records_that_retention_deletes_unread_are_counted_and_told() {
    let flow = Flow::new(Bed::shared(), "unread", 2);
    let mut stages = [flow.ingest(&[]), flow.aggregate(&[])];
    flow.produce(400);
    flow.wait_until_stored();
    for stage in &mut stages {
        stage.kill9();
    }
    flow.produce(400);
    flow.delete_before(0, 250);
    let _stages = [flow.ingest(&[]), flow.aggregate(&[])];
    for stage in ["ingest", "aggregate"] {
        flow.wait_until_records(stage, &flow.topic, 750);
        let (gaps, lost): (u64, i64) = flow.bed.one(&format!(
            "select count(), sum(end_offset - start_offset) from batch_ledger final \
             where stage = '{stage}' and kafka_topic = '{}' and entry = 'gap'",
            flow.topic
        ));
        assert_eq!((gaps, lost), (1, 50), "{stage}");
        // A partition that is assigned anew before its gap is in the ledger is reported again.
        let incidents = format!(
            "select uniqExact(kafka_partition), max(records) from incidents where stage = '{stage}' and kafka_topic = '{}' \
             and reason = 'offsets_lost' and (start_offset, end_offset) = (200, 250)",
            flow.topic
        );
        assert_eq!(flow.bed.one::<(u64, u64)>(&incidents), (1, 50), "{stage}");
    }
    flow.assert_rows(750);
    flow.assert_hours();
}

#[test]
fn records_that_are_deleted_before_the_very_first_batch_are_told_too() {
    let flow = Flow::new(Bed::shared(), "first-unread", 1);
    let mut stages = [flow.ingest(&[]), flow.aggregate(&[])];
    let first = |stage: &str| -> u64 {
        flow.bed.one(&format!(
            "select count() from batch_ledger where stage = '{stage}' and kafka_topic = '{}' and entry = 'epoch' and start_offset = 0",
            flow.topic
        ))
    };
    for stage in ["ingest", "aggregate"] {
        wait_until(STORED_DEADLINE, "the ledger knows where the log began", || {
            first(stage) > 0
        });
    }
    for stage in &mut stages {
        stage.kill9();
    }
    flow.produce(100);
    flow.delete_before(0, 30);
    let _stages = [flow.ingest(&[]), flow.aggregate(&[])];
    for stage in ["ingest", "aggregate"] {
        flow.wait_until_records(stage, &flow.topic, 70);
        let lost: u64 = flow.bed.one(&format!(
            "select max(records) from incidents where stage = '{stage}' and kafka_topic = '{}' and reason = 'offsets_lost'",
            flow.topic
        ));
        assert_eq!(lost, 30, "{stage}");
    }
    flow.assert_rows(70);
}

#[test]
fn records_that_are_deleted_while_an_added_partition_waits_for_the_others_are_told_too() {
    let flow = Flow::new(Bed::shared(), "waiting-unread", 1);
    let mut stages = [flow.ingest(&[]), flow.aggregate(&[])];
    flow.produce(100);
    flow.wait_until_stored();
    for stage in &mut stages {
        stage.kill9();
    }
    flow.bed.add_partitions(&flow.topic, 2);
    // As an owner announced it that died before the other partition counted it.
    flow.bed.execute(&format!(
        "insert into partition_progress (kafka_topic, kafka_partition, log_epoch, partitions, aggregated_end, inserted_at) \
         values ('{}', 1, 1, 1, 0, now64(3))",
        flow.topic
    ));
    let records: Vec<Record> = (0..100).map(|number| flow.sample(number, now_ms())).collect();
    flow.bed.produce(&flow.topic, 1, &records);
    flow.count_sent(100);
    flow.delete_before(1, 30);
    let _stages = [flow.ingest(&[]), flow.aggregate(&[])];
    flow.wait_until_records("aggregate", &flow.topic, 170);
    let lost: Vec<(i64, i64)> = flow.bed.sql(&format!(
        "select start_offset, end_offset from batch_ledger final \
         where stage = 'aggregate' and kafka_topic = '{}' and kafka_partition = 1 and entry = 'gap'",
        flow.topic
    ));
    assert_eq!(lost, [(0, 30)]);
    let told: u64 = flow.bed.one(&format!(
        "select max(records) from incidents where stage = 'aggregate' and kafka_topic = '{}' and reason = 'offsets_lost'",
        flow.topic
    ));
    assert_eq!(told, 30);
}

#[test]
fn what_retention_deletes_while_nothing_can_be_stored_is_stored_as_far_as_it_was_read() {
    const BATCHES: (&str, &str) = ("HOROLOG_INGEST__BATCH__ROWS_MAX", "100");
    let bed = Bed::start(); // others must not see its engine die
    let flow = Flow::new(&bed, "overtaken", 1);
    let ingest = flow.ingest(&[BATCHES]);
    let aggregate = flow.aggregate(&[("HOROLOG_AGGREGATE__BATCH__ROWS_MAX", "100")]);
    flow.produce(100);
    flow.wait_until_stored();
    bed.kill_engine();
    // Two batches and a half: the first waits for the engine, so the partition is not fetched any more.
    flow.produce(250);
    for stage in [&ingest, &aggregate] {
        wait_until(STORED_DEADLINE, "the stage says that it waits", || {
            let (_, said) = bed.get(&format!("{}/readyz", stage.http()));
            said.contains("clickhouse does not accept batches")
        });
    }
    flow.produce(1_000);
    flow.delete_before(0, 1_350);
    flow.produce(100);
    bed.start_engine();
    for stage in ["ingest", "aggregate"] {
        flow.wait_until_records(stage, &flow.topic, 450);
        let gaps: Vec<(i64, i64)> = bed.sql(&format!(
            "select start_offset, end_offset from batch_ledger final \
             where stage = '{stage}' and kafka_topic = '{}' and entry = 'gap'",
            flow.topic
        ));
        assert_eq!(gaps, [(350, 1_350)], "{stage}");
    }
    flow.assert_rows(450);
    flow.assert_hours();
}

/// librdkafka reports only once that a partition's next record is gone, and then stops fetching the partition.
#[test]
fn a_partition_that_loses_records_soon_after_another_is_noticed_too() {
    let flow = Flow::new(Bed::shared(), "unread-twice", 2);
    let mut ingest = flow.ingest(&[]);
    flow.produce(100);
    flow.wait_until_stage_stored("ingest");
    for partition in 0..2 {
        ingest.stop();
        // The broker holds a fetch request for half a second: let it answer the last one before there are new records.
        std::thread::sleep(Duration::from_secs(2));
        let records: Vec<Record> = (0..100).map(|number| flow.sample(number, now_ms())).collect();
        flow.bed.produce(&flow.topic, partition, &records);
        flow.delete_before(partition, 100);
        ingest.cont();
        wait_until(
            STORED_DEADLINE,
            "the gap and what is behind it are in the ledger",
            || {
                let ends: Vec<(i64, i64)> = flow.bed.sql(&format!(
                "select start_offset, end_offset from batch_ledger final where stage = 'ingest' and kafka_topic = '{}' \
                 and kafka_partition = {partition} and start_offset >= 50 order by start_offset",
                flow.topic
            ));
                ends.first() == Some(&(50, 100)) && ends.last().is_some_and(|last| last.1 == 150)
            },
        );
    }
    flow.assert_rows(200);
}

/// Offset after the last row of partition 0.
fn stored_end(flow: &Flow<'_>) -> i64 {
    flow.bed.one(&format!(
        "select max(kafka_offset) + 1 from metrics where kafka_topic = '{}' and kafka_partition = 0",
        flow.topic
    ))
}

/// Offset up to which ingest's ledger knows a partition.
fn ledger_end(flow: &Flow<'_>, partition: i32) -> i64 {
    flow.bed.one(&format!(
        "select max(end_offset) from batch_ledger where stage = 'ingest' and kafka_topic = '{}' and kafka_partition = {partition}",
        flow.topic
    ))
}

/// With a lease of five seconds, waiting for a dead writer takes as long as the interval between two suspicions.
#[test]
fn a_partition_that_loses_records_again_and_again_does_not_keep_another_from_its_start() {
    let flow = Flow::new(short_leases(), "suspected", 2);
    let lease = INGEST_LEASE;
    let mut dying = flow.ingest(&[lease, ("HOROLOG_CRASH_AT", "after-rows")]);
    flow.produce_at((0..400).map(|_| now_ms()));
    wait_until(STORED_DEADLINE, "it dies with its rows stored", || {
        dying.exited().is_some()
    });
    flow.delete_before(0, stored_end(&flow) - 10);
    // It is stopped for seconds again and again, and keeps its place in the group.
    let patient = r#"{"session.timeout.ms"="30000","heartbeat.interval.ms"="1000"}"#;
    let mut ingest = flow.ingest(&[lease, ("HOROLOG_INGEST__KAFKA__PROPERTIES", patient)]);
    wait_until(STORED_DEADLINE, "the other partition is fetched", || {
        flow.bed.produce(&flow.topic, 1, &[flow.sample(0, now_ms())]);
        ledger_end(&flow, 1) > 0
    });
    let mut lost = ledger_end(&flow, 1);
    wait_until(STORED_DEADLINE, "the partition that waited is stored", || {
        ingest.stop();
        std::thread::sleep(Duration::from_secs(2)); // until its last fetch request is answered
        let records: Vec<Record> = (0..100).map(|number| flow.sample(number, now_ms())).collect();
        flow.bed.produce(&flow.topic, 1, &records);
        lost += 100;
        flow.delete_before(1, lost);
        ingest.cont();
        std::thread::sleep(Duration::from_secs(1)); // until it has seen that they are gone
        ledger_end(&flow, 0) == 400
    });
}

#[test]
fn a_pending_batch_of_which_retention_deletes_a_part_is_stored_as_far_as_the_log_has_it() {
    let flow = Flow::new(short_leases(), "half-unread", 1);
    let _aggregate = flow.aggregate(&[("HOROLOG_AGGREGATE__DELIVERY__LEASE_S", "5")]);
    let mut dying = flow.ingest(&[INGEST_LEASE, ("HOROLOG_CRASH_AT", "after-rows")]);
    flow.produce(400);
    wait_until(STORED_DEADLINE, "it dies with its rows stored", || {
        dying.exited().is_some()
    });
    flow.wait_until_stage_stored("aggregate");
    flow.delete_before(0, stored_end(&flow) - 10);
    let _ingest = flow.ingest(&[INGEST_LEASE]);
    flow.produce(100);
    // The rejected ones among the lost records had not been stored when it died.
    let stored = || -> (u64, u64, u64) {
        flow.bed.one(&format!(
            "select sum(records), sum(rows), sum(rejected) from batch_ledger final where stage = 'ingest' and kafka_topic = '{}'",
            flow.topic
        ))
    };
    let rows = |table: &str| -> u64 {
        flow.bed.one(&format!(
            "select count() from {table} where kafka_topic = '{}'",
            flow.topic
        ))
    };
    // The lease of the dead writer is waited for.
    wait_until(2 * STORED_DEADLINE, "the newest record is stored", || {
        ledger_end(&flow, 0) == 500
    });
    let (records, in_rows, rejected) = stored();
    assert_eq!((in_rows, rejected), (rows("metrics"), rows("rejected_records")));
    assert_eq!(records, in_rows + rejected);
    flow.assert_ledger_hours();
    let ranges: Vec<(i64, i64)> = flow.bed.sql(&format!(
        "select start_offset, end_offset from batch_ledger final where stage = 'ingest' and kafka_topic = '{}' order by 1",
        flow.topic
    ));
    assert!(
        ranges.windows(2).all(|pair| pair[0].1 == pair[1].0),
        "no hole and no overlap: {ranges:?}"
    );
}
