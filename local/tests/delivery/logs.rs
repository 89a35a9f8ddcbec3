//! What can happen to the log itself: it is recreated, its commits are forgotten, a long history comes at once, it is
//! drained.

use rdkafka::admin::AdminOptions;
use rdkafka::error::RDKafkaErrorCode;

use crate::bed::{Bed, now_ms, wait_until};
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
        // One may be gone already, from an earlier attempt in which the other was refused.
        let gone = |result: &Result<String, (String, RDKafkaErrorCode)>| {
            matches!(result, Ok(_) | Err((_, RDKafkaErrorCode::GroupIdNotFound)))
        };
        deleted.is_ok_and(|results| results.iter().all(gone))
    });
}

#[test]
fn a_recreated_topic_is_a_new_log() {
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
fn a_recreated_topic_under_running_stages_is_a_new_log() {
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
fn rows_that_neither_a_commit_nor_the_ledger_tells_of_are_not_stored_again() {
    let flow = Flow::new(Bed::shared(), "lost-ledger", 2);
    let mut ingest = flow.ingest(&[]);
    flow.produce(500);
    flow.wait_until_stage_stored("ingest");
    flow.end(&mut ingest);
    forget_commits(&flow, &["ingest"]);
    flow.bed.execute(&format!(
        "delete from batch_ledger where stage = 'ingest' and kafka_topic = '{}'",
        flow.topic
    ));
    let _ingest = flow.ingest(&[]);
    flow.produce(100);
    flow.wait_until_stage_stored("ingest");
    flow.assert_rows(600);
    flow.assert_ledger("ingest", 600);
    flow.assert_ledger_hours();
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
