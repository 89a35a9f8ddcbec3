//! Each window of the delivery protocol: the process dies in it, another takes over.

use std::time::Duration;

use crate::bed::{Bed, Proc};
use crate::flow::Flow;

const DIE_DEADLINE: Duration = Duration::from_secs(180);

/// For each of `passages`, the stages die at that passage of `point`, and others finish their work.
fn dies_at(point: &str, passages: &[u32]) {
    let flow = Flow::new(Bed::shared(), point, 2);
    let mut ingest = None;
    let mut aggregate = None;
    for (life, passage) in passages.iter().enumerate() {
        let at = format!("{point}:{passage}");
        let env = [
            ("HOROLOG_CRASH_AT", at.as_str()),
            ("HOROLOG_INGEST__BATCH__AGE_MAX_MS", "300"),
        ];
        drop((ingest.take(), aggregate.take()));
        let mut dying: Vec<Proc> = Vec::new();
        if ingest_passes(point) {
            dying.push(flow.ingest(&env));
        }
        if aggregate_passes(point) {
            dying.push(flow.aggregate(&env));
        }
        // Enough batches to pass the point that often.
        for process in &mut dying {
            produce_until_dead(process, || flow.produce(200 + life as u64));
        }
        ingest = Some(flow.ingest(&[]));
        aggregate = Some(flow.aggregate(&[]));
        flow.wait_until_stored();
        flow.assert_exactly_once();
    }
}

/// The ingest stage's rows name their records, so it announces no batch with `begun`.
fn ingest_passes(point: &str) -> bool {
    point != "after-begun"
}

/// The aggregate stage has no rejected records.
fn aggregate_passes(point: &str) -> bool {
    point != "after-rejected"
}

/// Produces again and again until the process dies.
pub(crate) fn produce_until_dead(process: &mut Proc, mut produce: impl FnMut()) {
    let begun = std::time::Instant::now();
    while process.exited().is_none() {
        assert!(
            begun.elapsed() < DIE_DEADLINE,
            "never came to the crash point\n{}",
            process.log_tail()
        );
        produce();
        std::thread::sleep(Duration::from_millis(100)); // the pace of the producer, not a wait for anything
    }
}

#[test]
fn survives_a_death_after_the_intent() {
    dies_at("after-intent", &[1, 3]);
    dies_at("after-begun", &[1, 2]);
}

#[test]
fn survives_a_death_between_pieces_and_after_the_rows() {
    dies_at("between-pieces", &[1]);
    dies_at("after-rows", &[1, 2]);
}

#[test]
fn survives_a_death_between_rejected_records_and_ledger() {
    dies_at("after-rejected", &[1, 2]);
}

#[test]
fn survives_a_death_between_ledger_and_commit() {
    dies_at("after-ledger", &[1, 2]);
    dies_at("before-commit", &[1]);
}
