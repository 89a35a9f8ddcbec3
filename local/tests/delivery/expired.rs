//! Records that arrive when their table would already delete them: stored all the same, and counted by the table's own
//! TTL.

use crate::bed::{Bed, BedOptions, now_ms};
use crate::flow::Flow;

const DAY_MS: i64 = 86_400_000;
/// Raw samples are kept 30 days, hours 25 months.
const AGES_DAYS: [i64; 3] = [0, 40, 800];

/// Stores a sample of each age; returns how many ingest and aggregate have counted as expired so far.
fn store(flow: &Flow<'_>) -> [u64; 2] {
    let (mut ingest, mut aggregate) = (flow.ingest(&[]), flow.aggregate(&[]));
    flow.produce_at(AGES_DAYS.map(|days| now_ms() - days * DAY_MS));
    flow.wait_until_stored();
    flow.end(&mut ingest);
    flow.end(&mut aggregate);
    ["ingest", "aggregate"].map(|stage| {
        flow.bed.one(&format!(
            "select sum(expired) from batch_ledger final where stage = '{stage}' and kafka_topic = '{}'",
            flow.topic
        ))
    })
}

#[test]
fn the_stages_count_as_expired_what_their_tables_would_delete() {
    let bed = Bed::start_with(&BedOptions {
        keep_all: false,
        ..BedOptions::default()
    });
    let flow = Flow::new(&bed, "expired", 1);
    assert_eq!(store(&flow), [2, 1]);
    bed.migrate(&[("HOROLOG_MIGRATE__RETENTION__KEEP_ALL".to_owned(), "true".to_owned())]);
    assert_eq!(store(&flow), [2, 1], "nothing is deleted by age any more");
}
