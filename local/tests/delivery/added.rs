//! Partitions that are added to a topic while it is read.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use horolog_stage::completeness::{PROGRESS_SQL, PartitionProgress, complete_through_ms};

use crate::bed::{Bed, now_ms, wait_until};
use crate::flow::{Flow, STORED_DEADLINE};

const BEFORE: i32 = 2;
const AFTER: i32 = 5;
/// Records that are written to each partition that is added, as soon as it is there.
const OLD: u64 = 200;
const HOUR_MS: i64 = 3_600_000;
/// Dead members and new partitions are noticed soon, each at a time of its own.
const NOTICES: &str =
    r#"{"session.timeout.ms"="6000","heartbeat.interval.ms"="1000","topic.metadata.refresh.interval.ms"="3000"}"#;

fn claim_ms(flow: &Flow<'_>) -> Option<i64> {
    let query = flow.bed.clickhouse().query(PROGRESS_SQL).param("topic", &flow.topic);
    let progress: Vec<PartitionProgress> = flow.bed.block_on(query.fetch_all()).unwrap();
    complete_through_ms(&progress)
}

#[test]
fn completeness_never_goes_back_when_partitions_are_added_and_their_old_records_are_late() {
    let flow = Flow::new(Bed::shared(), "added", BEFORE);
    let env = [
        ("HOROLOG_AGGREGATE__COMPLETENESS__ALLOWED_LATENESS_S", "0"),
        ("HOROLOG_AGGREGATE__COMPLETENESS__IDLE_AFTER_S", "1"),
        ("HOROLOG_AGGREGATE__KAFKA__PROPERTIES", NOTICES),
    ];
    let mut stages = vec![flow.ingest(&[("HOROLOG_INGEST__KAFKA__PROPERTIES", NOTICES)])];
    stages.extend([flow.aggregate(&env), flow.aggregate(&env)]);
    flow.produce(2_000);
    flow.wait_until_stored();
    let begun_ms = now_ms();
    wait_until(STORED_DEADLINE, "the topic is complete through now", || {
        claim_ms(&flow) > Some(begun_ms)
    });

    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut last_ms = claim_ms(&flow);
            while !done.load(Ordering::SeqCst) {
                let next_ms = claim_ms(&flow);
                assert!(next_ms >= last_ms, "complete through {next_ms:?} after {last_ms:?}");
                last_ms = next_ms;
                thread::sleep(Duration::from_millis(20));
            }
        });
        flow.bed.add_partitions(&flow.topic, AFTER);
        for partition in BEFORE..AFTER {
            let records: Vec<_> = (0..OLD)
                .map(|number| flow.sample(number, begun_ms - 2 * HOUR_MS))
                .collect();
            flow.bed.produce(&flow.topic, partition, &records);
            flow.count_sent(OLD);
        }
        // One of those who are to count the new ones dies meanwhile.
        stages.remove(1).kill9();
        flow.wait_until_stored();
        let stored_ms = now_ms();
        wait_until(STORED_DEADLINE, "the topic is complete with its new partitions", || {
            claim_ms(&flow) > Some(stored_ms)
        });
        done.store(true, Ordering::SeqCst);
        watch.join().unwrap();
    });

    flow.assert_exactly_once();
    let late: u64 = flow.bed.one(&format!(
        "select sum(late) from batch_ledger final where stage = 'aggregate' and kafka_topic = '{}' and kafka_partition >= {BEFORE}",
        flow.topic
    ));
    assert_eq!(late, (AFTER - BEFORE) as u64 * OLD, "their hours were complete");
    wait_until(STORED_DEADLINE, "each partition counts all", || {
        let counted = format!(
            "select max(partitions) from partition_progress where kafka_topic = '{}' group by kafka_partition",
            flow.topic
        );
        flow.bed.sql::<i32>(&counted) == [AFTER; AFTER as usize]
    });
}
