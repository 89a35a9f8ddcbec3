//! What can happen to the log itself: made again, forgotten commits, a long history at once, a drain.

use std::time::Duration;

use rdkafka::admin::AdminOptions;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::bed::{Bed, Record, now_ms, wait_until};
use crate::flow::{Flow, STORED_DEADLINE};

const DAY_MS: i64 = 86_400_000;

/// Deletes the offsets of the stages' groups, as the broker does after seven idle days, or an operator by mistake.
fn forget_commits(flow: &Flow<'_>, stages: &[&str]) {
    let groups: Vec<String> = stages.iter().map(|stage| format!("{}-{stage}", flow.topic)).collect();
    let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
    wait_until(STORED_DEADLINE, "the groups' offsets are gone", || {
        let deleted = flow
            .bed
            .block_on(flow.bed.admin().delete_groups(&groups, &AdminOptions::new()));
        // One may be gone already from an earlier attempt that the other group refused.
        let gone = |result: &Result<String, (String, RDKafkaErrorCode)>| {
            matches!(result, Ok(_) | Err((_, RDKafkaErrorCode::GroupIdNotFound)))
        };
        deleted.is_ok_and(|results| results.iter().all(gone))
    });
}

#[test]
fn a_topic_made_again_is_a_new_log() {
    let flow = Flow::new(Bed::shared(), "again", 2);
    let stages = (flow.ingest(&[]), flow.aggregate(&[]));
    flow.produce(1_000);
    flow.wait_until_stored();
    drop(stages);
    flow.recreate();
    flow.produce(3_000); // longer than the first: by offsets alone it looks like the same log
    let _stages = (flow.ingest(&[]), flow.aggregate(&[]));
    flow.wait_until_stored();
    flow.assert_exactly_once();
}

#[test]
fn a_topic_made_again_under_running_stages_is_a_new_log() {
    let flow = Flow::new(Bed::shared(), "again-live", 2);
    let _stages = (flow.ingest(&[]), flow.aggregate(&[]));
    flow.produce(1_000);
    flow.wait_until_stored();
    flow.recreate();
    flow.produce(500);
    flow.wait_until_stored();
    flow.assert_exactly_once();
}

#[test]
fn a_topic_made_again_is_a_new_log_also_where_a_marker_is_at_the_last_offset_that_was_read() {
    let flow = Flow::new(Bed::shared(), "again-marker", 1);
    let stages = (flow.ingest(&[]), flow.aggregate(&[]));
    flow.produce(100);
    flow.wait_until_stored();
    drop(stages);
    flow.recreate();
    let producer = in_transactions(&flow);
    // Nine records and a marker each: offset 99 is a marker.
    for transaction in 0..15_u64 {
        producer.begin_transaction().unwrap();
        for number in 0..9 {
            send(&producer, &flow, 100 + transaction * 9 + number);
        }
        producer.commit_transaction(STORED_DEADLINE).unwrap();
        flow.count_sent(9);
    }
    let _stages = (flow.ingest(&[]), flow.aggregate(&[]));
    flow.wait_until_stored();
    flow.assert_exactly_once();
}

#[test]
fn an_expired_commit_goes_on_at_the_end_of_the_ledger() {
    let flow = Flow::new(Bed::shared(), "expired", 2);
    let mut stages = [flow.ingest(&[]), flow.aggregate(&[])];
    flow.produce(1_000);
    flow.wait_until_stored();
    for stage in &mut stages {
        flow.end(stage);
    }
    forget_commits(&flow, &["ingest", "aggregate"]);
    flow.produce(1_000);
    let _stages = [flow.ingest(&[]), flow.aggregate(&[])];
    flow.wait_until_stored();
    flow.assert_exactly_once();
}

#[test]
fn a_batch_whose_commit_is_lost_while_it_is_under_way_is_counted_once() {
    let flow = Flow::new(Bed::shared(), "lost-commit", 1);
    let ingest = flow.ingest(&[]);
    flow.produce(1_000);
    for point in ["after-begun:1", "after-rows:1", "after-ledger:1"] {
        let mut dying = flow.aggregate(&[("HOROLOG_CRASH_AT", point)]);
        flow.produce(300);
        wait_until(STORED_DEADLINE, "it dies with a batch under way", || {
            dying.exited().is_some()
        });
        forget_commits(&flow, &["aggregate"]);
        flow.produce(100); // the next batch would be another one
        let _aggregate = flow.aggregate(&[]);
        flow.wait_until_stored();
        flow.assert_exactly_once();
    }
    drop(ingest);
}

/// Deletes the records of a partition before an offset, as the topic's retention does.
fn delete_before(flow: &Flow<'_>, partition: i32, offset: i64) {
    let mut list = rdkafka::TopicPartitionList::new();
    list.add_partition_offset(&flow.topic, partition, rdkafka::Offset::Offset(offset))
        .unwrap();
    let deleted = flow
        .bed
        .block_on(flow.bed.admin().delete_records(&list, &AdminOptions::new()));
    deleted.unwrap();
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
    delete_before(&flow, 0, 250);
    let _stages = [flow.ingest(&[]), flow.aggregate(&[])];
    for stage in ["ingest", "aggregate"] {
        flow.wait_until_records(stage, &flow.topic, 750);
        let (gaps, lost): (u64, i64) = flow.bed.one(&format!(
            "select count(), sum(end_offset - start_offset) from batch_ledger final \
             where stage = '{stage}' and kafka_topic = '{}' and entry = 'gap'",
            flow.topic
        ));
        assert_eq!((gaps, lost), (1, 50), "{stage}");
        // A partition that is assigned anew before its gap is in the ledger is told of again.
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
    delete_before(&flow, 0, 30);
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

/// librdkafka tells once that a partition's next record is gone, and fetches it no more.
#[test]
fn a_partition_that_loses_records_soon_after_another_is_noticed_too() {
    let flow = Flow::new(Bed::shared(), "unread-twice", 2);
    let mut ingest = flow.ingest(&[]);
    flow.produce(100);
    flow.wait_until_stage_stored("ingest");
    for partition in 0..2 {
        ingest.stop();
        // The broker has answered its last fetch request, which it holds for half a second, before there are new records.
        std::thread::sleep(Duration::from_secs(2));
        let records: Vec<Record> = (0..100).map(|number| flow.sample(number, now_ms())).collect();
        flow.bed.produce(&flow.topic, partition, &records);
        delete_before(&flow, partition, 100);
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

#[test]
fn a_pending_batch_of_which_retention_deletes_a_part_is_stored_as_far_as_the_log_has_it() {
    let flow = Flow::new(Bed::shared(), "half-unread", 1);
    let _aggregate = flow.aggregate(&[]);
    let mut dying = flow.ingest(&[("HOROLOG_CRASH_AT", "after-rows")]);
    flow.produce(400);
    wait_until(STORED_DEADLINE, "it dies with its rows stored", || {
        dying.exited().is_some()
    });
    flow.wait_until_stage_stored("aggregate");
    let end: i64 = flow.bed.one(&format!(
        "select max(kafka_offset) + 1 from metrics where kafka_topic = '{}'",
        flow.topic
    ));
    delete_before(&flow, 0, end - 10);
    let _ingest = flow.ingest(&[]);
    flow.produce(100);
    // What was rejected of the lost records had not been stored when it died.
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
        flow.bed.one::<i64>(&format!(
            "select max(end_offset) from batch_ledger final where stage = 'ingest' and kafka_topic = '{}'",
            flow.topic
        )) == 500
    });
    let (records, in_rows, rejected) = stored();
    assert_eq!((in_rows, rejected), (rows("metrics"), rows("rejected_records")));
    assert_eq!(records, in_rows + rejected);
    let ranges: Vec<(i64, i64)> = flow.bed.sql(&format!(
        "select start_offset, end_offset from batch_ledger final where stage = 'ingest' and kafka_topic = '{}' order by 1",
        flow.topic
    ));
    assert!(
        ranges.windows(2).all(|pair| pair[0].1 == pair[1].0),
        "no hole and no overlap: {ranges:?}"
    );
}

#[test]
fn a_batch_begun_by_a_host_whose_clock_is_ahead_is_in_the_ledger_once_it_is_stored() {
    let flow = Flow::new(Bed::shared(), "fast-clock", 1);
    let _ingest = flow.ingest(&[]);
    let mut dying = flow.aggregate(&[("HOROLOG_CRASH_AT", "after-begun")]);
    flow.produce(300);
    wait_until(STORED_DEADLINE, "it dies with a batch begun", || {
        dying.exited().is_some()
    });
    flow.bed.execute(&format!(
        "insert into batch_ledger select * replace (now64(3) + interval 50 second as inserted_at) from batch_ledger final \
         where kafka_topic = '{}' and entry = 'begun'",
        flow.topic
    ));
    let _aggregate = flow.aggregate(&[]);
    flow.wait_until_stored();
    flow.assert_exactly_once();
}

#[test]
fn transactions_are_stored_once_aborted_ones_never_and_their_markers_do_not_hold_completeness_back() {
    let flow = Flow::new(Bed::shared(), "transactions", 1);
    let producer = in_transactions(&flow);
    let _stages = [
        flow.ingest(&[]),
        flow.aggregate(&[
            ("HOROLOG_AGGREGATE__COMPLETENESS__ALLOWED_LATENESS_S", "0"),
            ("HOROLOG_AGGREGATE__COMPLETENESS__IDLE_AFTER_S", "1"),
        ]),
    ];
    for transaction in 0..6_u64 {
        producer.begin_transaction().unwrap();
        for number in 0..50 {
            send(&producer, &flow, transaction * 50 + number);
        }
        if transaction % 2 == 0 {
            producer.commit_transaction(STORED_DEADLINE).unwrap();
            flow.count_sent(50);
        } else {
            producer.flush(STORED_DEADLINE).unwrap();
            producer.abort_transaction(STORED_DEADLINE).unwrap();
        }
    }
    flow.wait_until_stored();
    flow.assert_exactly_once();
    let last_ms = now_ms();
    wait_until(
        STORED_DEADLINE,
        "the partition is complete behind its last marker",
        || watermark_ms(&flow, 0) > last_ms,
    );
}

#[test]
fn a_partition_with_an_open_transaction_is_not_complete_and_shows_its_lag() {
    let flow = Flow::new(Bed::shared(), "open-transaction", 2);
    let aggregate = flow.aggregate(&[
        ("HOROLOG_AGGREGATE__COMPLETENESS__ALLOWED_LATENESS_S", "0"),
        ("HOROLOG_AGGREGATE__COMPLETENESS__IDLE_AFTER_S", "1"),
    ]);
    let _ingest = flow.ingest(&[]);
    let producer = in_transactions(&flow);
    producer.begin_transaction().unwrap();
    send(&producer, &flow, 0);
    producer.flush(STORED_DEADLINE).unwrap();
    let opened_ms = now_ms();
    flow.produce_at([now_ms()]);
    // The other partition is idle, and so complete, for long enough that this one would have been.
    wait_until(STORED_DEADLINE, "the partition without records is complete", || {
        watermark_ms(&flow, 1) > opened_ms + 10_000
    });
    assert!(
        watermark_ms(&flow, 0) < opened_ms,
        "nothing behind an open transaction can be read"
    );
    let (_, metrics) = flow.bed.get(&format!("{}/metrics", aggregate.http()));
    let lag = format!("horolog_lag_records{{topic=\"{}\",partition=\"0\"}} 2", flow.topic);
    assert!(metrics.contains(&lag), "{lag} in {metrics}");
    producer.commit_transaction(STORED_DEADLINE).unwrap();
    flow.count_sent(1);
    flow.wait_until_stored();
    flow.assert_exactly_once();
    let late: u64 = flow.bed.one(&format!(
        "select sum(late) from batch_ledger final where stage = 'aggregate' and kafka_topic = '{}'",
        flow.topic
    ));
    assert_eq!(late, 0);
}

/// A producer of transactions on the flow's topic.
fn in_transactions(flow: &Flow<'_>) -> BaseProducer {
    let mut config = rdkafka::ClientConfig::new();
    config
        .set("bootstrap.servers", flow.bed.kafka())
        .set("transactional.id", &flow.topic)
        .set("transaction.timeout.ms", "600000");
    let producer: BaseProducer = config.create().unwrap();
    producer.init_transactions(STORED_DEADLINE).unwrap();
    producer
}

fn send(producer: &BaseProducer, flow: &Flow<'_>, number: u64) {
    let payload = flow.sample(number, now_ms()).payload.unwrap();
    let record = BaseRecord::<[u8], [u8]>::to(&flow.topic).partition(0).payload(&payload);
    producer.send(record).unwrap();
}

fn watermark_ms(flow: &Flow<'_>, partition: i32) -> i64 {
    flow.bed.one(&format!(
        "select toUnixTimestamp64Milli(max(watermark)) from partition_progress where kafka_topic = '{}' and kafka_partition = {partition}",
        flow.topic
    ))
}

#[test]
fn four_hundred_days_in_one_batch_are_cut_into_pieces() {
    let flow = Flow::new(Bed::shared(), "history", 1);
    let now = now_ms();
    flow.produce_at((0..4_000).map(|number| now - (number % 400) * DAY_MS));
    let _stages = [flow.ingest(&[]), flow.aggregate(&[])];
    flow.wait_until_stored();
    flow.assert_exactly_once();
    let pieces: u32 = flow.bed.one(&format!(
        "select max(pieces) from batch_ledger where stage = 'ingest' and kafka_topic = '{}'",
        flow.topic
    ));
    assert!(pieces >= 8, "400 days, at most 50 a piece: {pieces}");
}

#[test]
fn a_drained_stage_ends_well_and_leaves_nothing_pending() {
    let flow = Flow::new(Bed::shared(), "drain", 2);
    let mut stages = [
        flow.ingest(&[("HOROLOG_INGEST__DELIVERY__DRAIN_DEADLINE_S", "240")]),
        flow.aggregate(&[("HOROLOG_AGGREGATE__DELIVERY__DRAIN_DEADLINE_S", "240")]),
    ];
    flow.produce(2_000);
    wait_until(STORED_DEADLINE, "work has begun", || flow.ledger_records("ingest") > 0);
    for stage in &mut stages {
        flow.end(stage);
    }
    let _stages = [flow.ingest(&[]), flow.aggregate(&[])];
    flow.wait_until_stored();
    flow.assert_exactly_once();
    let recovered: u64 = flow.bed.one(&format!(
        "select count() from batch_ledger final where kafka_topic = '{}' and entry = 'recovered'",
        flow.topic
    ));
    assert_eq!(recovered, 0, "batches that a drain left pending");
}
