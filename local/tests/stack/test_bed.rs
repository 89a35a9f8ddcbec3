//! What all black-box tests rely on: a broker and an engine that can be restarted.

use crate::bed::{Bed, Record};

#[test]
fn a_bed_takes_records_and_answers_queries() {
    let bed = Bed::start();
    bed.topic("things", 2);
    assert_eq!(
        bed.produce("things", 1, &[Record::of("a"), Record::of("b").key("k")]),
        [0, 1]
    );
    assert_eq!(bed.sql::<u64>("select number from system.numbers limit 2"), [0, 1]);
    bed.restart_broker();
    bed.restart_engine();
    assert_eq!(bed.produce("things", 1, &[Record::of("c")]), [2]);
}
