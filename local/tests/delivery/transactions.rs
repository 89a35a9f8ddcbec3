//! Records of transactions, and the markers that follow them.

use horolog_stage::range::PartitionId;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::bed::{Bed, now_ms, wait_until};
use crate::flow::{Flow, STORED_DEADLINE};

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
fn a_recreated_topic_is_a_new_log_also_where_a_marker_is_at_the_last_offset_that_was_read() {
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
    assert!(
        metrics.contains(&lag.replace("lag_records", "open_transaction_offsets")),
        "{metrics}"
    );
    let probe = flow.bed.probe("horolog-aggregate-probe");
    let id = PartitionId::new(flow.topic.as_str(), 0);
    assert_eq!(probe.open_transaction(&id, 0).unwrap(), Some(0));
    producer.commit_transaction(STORED_DEADLINE).unwrap();
    flow.count_sent(1);
    flow.wait_until_stored();
    flow.assert_exactly_once();
    assert_eq!(probe.open_transaction(&id, 0).unwrap(), None);
    let late: u64 = flow.bed.one(&format!(
        "select sum(late) from batch_ledger final where stage = 'aggregate' and kafka_topic = '{}'",
        flow.topic
    ));
    assert_eq!(late, 0);
}
