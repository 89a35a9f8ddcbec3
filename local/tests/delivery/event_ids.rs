//! The ids of audit events: whichever process dies, each stored event has its id, and each of its copies another.

use std::collections::HashMap;
use std::time::Duration;

use crate::bed::Bed;
use crate::crash_points::produce_until_dead;
use crate::flow::Flow;
use crate::rejected::event;

/// Audit events of a tenant that is named like the flow's topic.
struct Events<'a> {
    flow: &'a Flow<'a>,
    topic: String,
    events: u64,
    sent: u64,
}

impl<'a> Events<'a> {
    fn of(flow: &'a Flow<'a>) -> Self {
        Self {
            flow,
            topic: format!("{}-audit", flow.topic),
            events: 0,
            sent: 0,
        }
    }

    /// Produces this many new ones; every fourth is sent twice.
    fn produce(&mut self, events: u64) {
        let record = |number: u64| {
            event(|event| {
                event.event_id = format!("018f4e1a-7c3b-7000-8000-{number:012}");
                event.tenant_id = self.flow.topic.clone();
            })
        };
        let copies = |number: u64| if number.is_multiple_of(4) { 2 } else { 1 };
        let numbers = self.events..self.events + events;
        let records: Vec<_> = numbers
            .flat_map(|number| (0..copies(number)).map(move |_| number))
            .map(record)
            .collect();
        self.flow.bed.produce(&self.topic, 0, &records);
        self.events += events;
        self.sent += records.len() as u64;
    }

    /// Copies by event.
    fn copies_in(&self, table: &str) -> HashMap<String, u64> {
        let copies: Vec<(String, u64)> = self.flow.bed.sql(&format!(
            "select toString(event_id), count() from {table} where tenant_id = '{}' group by event_id",
            self.flow.topic
        ));
        copies.into_iter().collect()
    }

    /// No event has fewer ids than copies.
    #[track_caller]
    fn assert_announced(&self, when: &str) {
        // The events are read first: what is stored between the two queries is announced too.
        let stored = self.copies_in("audit_logs");
        let announced = self.copies_in("audit_event_ids");
        let is_missing = |(event, copies): &(&String, &u64)| announced.get(*event).is_none_or(|ids| ids < copies);
        assert_eq!(stored.iter().find(is_missing), None, "{when}");
    }

    /// Everything that was sent is stored once, with its ids.
    #[track_caller]
    fn wait_until_stored(&self, when: &str) {
        self.flow.wait_until_records("ingest", &self.topic, self.sent);
        let stored = self.copies_in("audit_logs");
        let counts = (stored.values().sum::<u64>(), stored.len() as u64);
        assert_eq!(counts, (self.sent, self.events), "{when}");
        self.assert_announced(when);
    }
}

#[test]
fn no_event_is_stored_without_its_id_wherever_ingest_dies() {
    let flow = Flow::new(Bed::shared(), "ids", 1);
    let mut events = Events::of(&flow);
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
        produce_until_dead(&mut dying, || events.produce(100));
        events.assert_announced(&format!("dead at {point}"));
        let _next = flow.ingest(&[]);
        events.wait_until_stored(&format!("after {point}"));
    }
}

#[test]
fn ids_are_stored_although_the_engine_dies_while_they_come() {
    let bed = Bed::start(); // others must not see its engine die
    let flow = Flow::new(&bed, "ids", 1);
    let mut events = Events::of(&flow);
    let _ingest = flow.ingest(&[("HOROLOG_INGEST__BATCH__AGE_MAX_MS", "100")]);
    for round in 0..4 {
        for _ in 0..20 {
            events.produce(50);
            std::thread::sleep(Duration::from_millis(20 + 7 * round)); // dies at another moment of a batch each time
        }
        bed.restart_engine();
    }
    events.wait_until_stored("after four deaths of the engine");
}
