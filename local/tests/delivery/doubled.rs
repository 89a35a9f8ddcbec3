//! Duplicate rows in a recovered range: one of each stays, that with the earliest lease.

use crate::bed::{Bed, Record, now_ms, wait_until};
use crate::flow::{Flow, STORED_DEADLINE};

/// How much later, or earlier, the copies' leases are than that of the batch.
const APART_S: i64 = 5;

/// The offsets of a table with the time of their leases, ms since 1970.
fn leases(flow: &Flow<'_>, table: &str) -> Vec<(i64, i64)> {
    flow.bed.sql(&format!(
        "select kafka_offset, toUnixTimestamp64Milli(inserted_at) from {table} where kafka_topic = '{}' order by 1, 2",
        flow.topic
    ))
}

/// Stores a copy of the record at `offset` under a lease that is `seconds` later.
fn copy(flow: &Flow<'_>, table: &str, offset: i64, seconds: i64) {
    flow.bed.execute(&format!(
        "insert into {table} select * replace (inserted_at + interval {seconds} second as inserted_at) from {table} \
         where kafka_topic = '{}' and kafka_offset = {offset}",
        flow.topic
    ));
}

#[test]
fn one_copy_of_each_record_stays_of_a_recovered_range_that_has_more() {
    let flow = Flow::new(Bed::shared(), "doubled", 1);
    let _aggregate = flow.aggregate(&[]);
    let mut dying = flow.ingest(&[("HOROLOG_CRASH_AT", "after-rejected")]);
    let records: Vec<Record> = (49..200).map(|number| flow.record(number, now_ms())).collect();
    flow.bed.produce(&flow.topic, 0, &records); // the first of them is not Avro
    flow.count_sent(records.len() as u64);
    wait_until(STORED_DEADLINE, "it dies with its batch stored", || {
        dying.exited().is_some()
    });
    let (rows, rejected) = (leases(&flow, "metrics"), leases(&flow, "rejected_records"));
    let ((later, lease), (earlier, _), (both, _)) = (rows[0], rows[1], rows[2]);
    let (bad, _) = rejected[0];
    copy(&flow, "metrics", later, APART_S);
    copy(&flow, "metrics", earlier, -APART_S);
    copy(&flow, "rejected_records", bad, APART_S);
    // A record that one release rejects and another accepts.
    flow.bed.execute(&format!(
        "insert into rejected_records select * replace ({both} as kafka_offset) from rejected_records \
         where kafka_topic = '{}' and kafka_offset = {bad} limit 1",
        flow.topic
    ));

    let ingest = flow.ingest(&[]);
    flow.wait_until_stored();
    flow.assert_exactly_once();
    let stored = leases(&flow, "metrics");
    let lease_of = |offset: i64| stored.iter().find(|row| row.0 == offset).map(|row| row.1);
    assert_eq!(lease_of(later), Some(lease));
    assert_eq!(lease_of(earlier), Some(lease - APART_S * 1_000));
    assert_eq!(lease_of(both), Some(lease));
    assert!(leases(&flow, "rejected_records").contains(&rejected[0]));
    let (_, metrics) = flow.bed.get(&format!("{}/metrics", ingest.http()));
    assert!(
        metrics.contains("horolog_repairs_total{class=\"doubled\"} 2\n"),
        "of rows, and of rejected records: {metrics}"
    );
}
