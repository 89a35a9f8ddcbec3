//! The tables of the next release: columns that this one does not know get their defaults, whichever program writes.

use crate::bed::{Bed, Record};
use crate::flow::Flow;
use crate::rejected::event;

const EVENTS: u64 = 50;

/// Adds a first and a last column to every table; returns the tables.
fn add_columns(bed: &Bed) -> Vec<String> {
    let tables: Vec<String> = bed.sql(
        "select name from system.tables where database = 'horolog' and engine like '%MergeTree' \
         and name != 'schema_migrations' order by name",
    );
    for table in &tables {
        bed.execute(&format!(
            "alter table {table} add column region String default 'eu' first"
        ));
        bed.execute(&format!(
            "alter table {table} add column zone LowCardinality(String) default 'a'"
        ));
    }
    tables
}

#[test]
fn stages_of_this_release_store_into_tables_of_the_next() {
    let bed = Bed::start(); // others must not see these columns
    let flow = Flow::new(&bed, "newer-tables", 2);
    let audit = format!("{}-audit", flow.topic);
    let events: Vec<Record> = (0..EVENTS)
        .map(|number| event(|event| event.event_id = format!("018f4e1a-7c3b-7000-8000-{number:012}")))
        .collect();
    let (mut ingest, mut aggregate) = (flow.ingest(&[]), flow.aggregate(&[]));
    flow.produce(1_000);
    flow.wait_until_stored();

    let tables = add_columns(&bed);
    bed.produce(&audit, 0, &events);
    flow.produce(1_000);
    flow.wait_until_stored();
    flow.wait_until_records("ingest", &audit, EVENTS);
    flow.end(&mut ingest);
    flow.end(&mut aggregate);

    let _stages = (flow.ingest(&[]), flow.aggregate(&[]));
    flow.produce(1_000);
    flow.wait_until_stored();
    flow.assert_exactly_once();
    let stored: u64 = bed.one(&format!("select count() from audit_logs where kafka_topic = '{audit}'"));
    assert_eq!(stored, EVENTS);
    for table in tables {
        let others: u64 = bed.one(&format!(
            "select count() from {table} where (region, zone) != ('eu', 'a')"
        ));
        assert_eq!(others, 0, "{table}");
    }
}
