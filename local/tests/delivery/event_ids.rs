//! The ids of audit events: whenever somebody dies, each stored event has its id, and each of its copies another.

use std::time::Duration;

use crate::bed::Bed;
use crate::flow::Flow;
use crate::rejected::event;

const DIE_DEADLINE: Duration = Duration::from_secs(180);

/// `events` events of a tenant that is named as the topic is; every fourth is sent twice.
fn produce(flow: &Flow<'_>, first: u64, events: u64) -> u64 {
    let audit = format!("{}-audit", flow.topic);
    let record = |number: u64| {
        event(|event| {
            event.event_id = format!("018f4e1a-7c3b-7000-8000-{number:012}");
            event.tenant_id = flow.topic.clone();
        })
    };
    let copies = |number: u64| if number.is_multiple_of(4) { 2 } else { 1 };
    let records = (first..first + events).flat_map(|number| (0..copies(number)).map(move |_| record(number)));
    let records: Vec<_> = records.collect();
    flow.bed.produce(&audit, 0, &records);
    records.len() as u64
}

/// Events with fewer ids than copies.
fn without_id(flow: &Flow<'_>) -> u64 {
    let tenant = &flow.topic;
    // The events are read first: what is stored between the two is announced, too.
    let stored: Vec<(String, u64)> = flow.bed.sql(&format!(
        "select toString(event_id), count() from audit_logs where tenant_id = '{tenant}' group by event_id"
    ));
    let announced: Vec<(String, u64)> = flow.bed.sql(&format!(
        "select toString(event_id), count() from audit_event_ids where tenant_id = '{tenant}' group by event_id"
    ));
    let announced: std::collections::HashMap<_, _> = announced.into_iter().collect();
    let is_missing = |(event, copies): &&(String, u64)| announced.get(event).is_none_or(|ids| ids < copies);
    stored.iter().filter(is_missing).count() as u64
}

#[test]
fn no_event_is_stored_without_its_id_wherever_ingest_dies() {
    let flow = Flow::new(Bed::shared(), "ids", 1);
    let audit = format!("{}-audit", flow.topic);
    let (mut events, mut sent) = (0, 0);
    for point in [
        "after-announced",
        "between-pieces:2",
        "after-rows",
        "after-rejected",
        "before-commit",
    ] {
        let mut dying = flow.ingest(&[
            ("HOROLOG_CRASH_AT", point),
            ("HOROLOG_INGEST__BATCH__AGE_MAX_MS", "300"),
        ]);
        let begun = std::time::Instant::now();
        while dying.exited().is_none() {
            assert!(
                begun.elapsed() < DIE_DEADLINE,
                "never came to {point}\n{}",
                dying.log_tail()
            );
            sent += produce(&flow, events, 100);
            events += 100;
            std::thread::sleep(Duration::from_millis(100)); // the pace of the producer, not a wait for anything
        }
        assert_eq!(without_id(&flow), 0, "dead at {point}");
        let _next = flow.ingest(&[]);
        flow.wait_until_records("ingest", &audit, sent);
        let stored: (u64, u64) = flow.bed.one(&format!(
            "select count(), uniqExact(event_id) from audit_logs where tenant_id = '{}'",
            flow.topic
        ));
        assert_eq!(stored, (sent, events), "after {point}");
        assert_eq!(without_id(&flow), 0, "after {point}");
    }
}

#[test]
fn ids_are_stored_although_the_engine_dies_while_they_come() {
    let bed = Bed::start(); // others must not see its engine die
    let flow = Flow::new(&bed, "ids", 1);
    let audit = format!("{}-audit", flow.topic);
    let _ingest = flow.ingest(&[("HOROLOG_INGEST__BATCH__AGE_MAX_MS", "100")]);
    let (mut events, mut sent) = (0, 0);
    for round in 0..4 {
        for _ in 0..20 {
            sent += produce(&flow, events, 50);
            events += 50;
            std::thread::sleep(Duration::from_millis(20 + 7 * round)); // dies at another moment of a batch each time
        }
        bed.restart_engine();
    }
    flow.wait_until_records("ingest", &audit, sent);
    let stored: (u64, u64) = bed.one(&format!(
        "select count(), uniqExact(event_id) from audit_logs where tenant_id = '{}'",
        flow.topic
    ));
    assert_eq!(stored, (sent, events));
    assert_eq!(without_id(&flow), 0);
}
