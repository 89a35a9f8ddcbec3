//! Servers that go away while records flow, kills at random moments, members that are suspended.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::bed::{Bed, BedOptions, Proc, seed, wait_until};
use crate::flow::{Flow, STORED_DEADLINE, Stop};
use crate::rejected::event;

/// Produces at a steady pace until told to stop.
fn while_producing(flow: &Flow<'_>, act: impl FnOnce()) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                flow.produce(200);
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        let _producing = Stop(&stop);
        act();
    });
}

#[test]
fn survives_kills_at_random_moments() {
    let kills = std::env::var("HOROLOG_KILLS")
        .ok()
        .and_then(|kills| kills.parse().ok())
        .unwrap_or(10);
    println!("HOROLOG_KILLS={kills}");
    let mut random = StdRng::seed_from_u64(seed());
    let flow = Flow::new(Bed::shared(), "kills", 4);
    let mut processes = [
        flow.ingest(&[]),
        flow.ingest(&[]),
        flow.aggregate(&[]),
        flow.aggregate(&[]),
    ];
    while_producing(&flow, || {
        for _ in 0..kills {
            std::thread::sleep(Duration::from_millis(random.random_range(200..3_000)));
            processes[random.random_range(0..4)].restart();
        }
    });
    flow.wait_until_stored();
    flow.assert_exactly_once();
}

#[test]
fn waits_for_the_engine_and_the_broker_as_long_as_it_takes() {
    let bed = Bed::start(); // others must not see its servers die
    let flow = Flow::new(&bed, "outage", 2);
    let mut stages = [flow.ingest(&[]), flow.aggregate(&[])];
    flow.produce(1_000);
    flow.wait_until_stored();
    bed.kill_engine();
    flow.produce(1_000);
    std::thread::sleep(Duration::from_secs(2)); // the outage
    bed.start_engine();
    flow.wait_until_stored();
    // librdkafka waits for the answer to a commit that is under way when the broker dies for as long as it is away.
    flow.produce(1_000);
    bed.stop_broker();
    std::thread::sleep(Duration::from_secs(2)); // until the batch is due
    bed.kill_broker();
    for stage in &stages {
        wait_until(STORED_DEADLINE, "the stage says that kafka is away", || {
            let (status, said) = bed.get(&format!("{}/readyz", stage.http()));
            status == 503 && said.starts_with("not in the consumer group for ")
        });
    }
    flow.end(&mut stages[1]);
    bed.start_broker();
    stages[1] = flow.aggregate(&[]);
    flow.produce(1_000);
    flow.wait_until_stored();
    for stage in &stages {
        wait_until(STORED_DEADLINE, "the stage is ready again", || {
            bed.get(&format!("{}/readyz", stage.http())).0 == 200
        });
    }
    // A missing table is waited for, too: the stages say so, and go on by themselves when it is back.
    let rename = |from: &str, to: &str| {
        for table in ["metrics", "metrics_hourly"] {
            bed.execute(&format!("rename table {table}{from} to {table}{to}"));
        }
    };
    let waits_for = |stage: &Proc, topic: &str| {
        let (_, said) = bed.get(&format!("{}/readyz", stage.http()));
        said.contains(&format!("clickhouse does not accept batches, retrying: {topic}/")) && said.contains("Code: 60")
    };
    rename("", "_away");
    flow.produce(1_000);
    for stage in &stages {
        wait_until(STORED_DEADLINE, "the stage says that it waits", || {
            waits_for(stage, &flow.topic)
        });
    }
    rename("_away", "");
    flow.wait_until_stored();
    // Likewise the table of one topic, while the records of the other are stored.
    bed.execute("rename table audit_logs to audit_logs_away");
    let audit = format!("{}-audit", flow.topic);
    bed.produce(&audit, 0, &[event(|_| ())]);
    while_producing(&flow, || {
        wait_until(STORED_DEADLINE, "ingest says that it waits", || {
            waits_for(&stages[0], &audit)
        });
    });
    bed.execute("rename table audit_logs_away to audit_logs");
    flow.wait_until_records("ingest", &audit, 1);
    flow.wait_until_stored();
    flow.assert_exactly_once();
}

#[test]
fn a_sleeper_that_wakes_up_after_others_moved_on_adds_nothing() {
    let flow = Flow::new(Bed::shared(), "sleeper", 4);
    let (mut ingest, mut aggregate) = (flow.ingest(&[]), flow.aggregate(&[]));
    while_producing(&flow, || {
        wait_until(STORED_DEADLINE, "both stages have begun", || {
            flow.ledger_records("aggregate") > 0
        });
        ingest.stop();
        aggregate.stop();
        let _others = (flow.ingest(&[]), flow.aggregate(&[]));
        let before = flow.ledger_records("ingest");
        wait_until(STORED_DEADLINE, "others moved on", || {
            flow.ledger_records("ingest") > before + 2_000 && flow.ledger_records("aggregate") > before + 2_000
        });
        ingest.cont();
        aggregate.cont();
        std::thread::sleep(Duration::from_secs(3)); // under flow, with all four awake
    });
    flow.wait_until_stored();
    flow.assert_exactly_once();
}

/// The deduplication window is six parts and a lease lasts five seconds. The others store some twenty parts meanwhile,
/// so the table no longer knows the tokens of what the sleeper sends. It still knows them when the others repeat its
/// pending batches at first, even if the other partition has stored a few parts before.
#[test]
fn a_sleeper_past_the_deduplication_window_is_refused_by_its_lease() {
    let migrate_env = [
        ("HOROLOG_MIGRATE__TABLES__DEDUPLICATION_WINDOW", "6"),
        ("HOROLOG_MIGRATE__TABLES__LEASE_SECONDS", "5"),
    ];
    let migrate_env = migrate_env
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .to_vec();
    let bed = Bed::start_with(&BedOptions {
        migrate_env,
        ..BedOptions::default()
    });
    let flow = Flow::new(&bed, "window", 2);
    let ingest_env = [("HOROLOG_INGEST__DELIVERY__LEASE_S", "5")];
    let aggregate_env = [("HOROLOG_AGGREGATE__DELIVERY__LEASE_S", "5")];
    let (mut ingest, mut aggregate) = (flow.ingest(&ingest_env), flow.aggregate(&aggregate_env));
    while_producing(&flow, || {
        for _ in 0..3 {
            let before = flow.ledger_records("aggregate");
            wait_until(STORED_DEADLINE, "both stages are at work", || {
                flow.ledger_records("aggregate") > before
            });
            ingest.stop();
            aggregate.stop();
            let _others = (flow.ingest(&ingest_env), flow.aggregate(&aggregate_env));
            let before = flow.ledger_records("aggregate");
            wait_until(STORED_DEADLINE, "others moved on", || {
                flow.ledger_records("aggregate") > before + 2_000
            });
            ingest.cont();
            aggregate.cont();
        }
    });
    flow.wait_until_stored();
    flow.assert_exactly_once();
}

/// librdkafka keeps the leader epoch of a partition, which a restart of its broker raises and a recreated topic
/// resets.
#[test]
fn a_topic_recreated_after_a_restart_of_the_broker_is_read_by_stages_that_went_on() {
    let bed = Bed::start();
    let flow = Flow::new(&bed, "again-restarted", 2);
    let _stages = (flow.ingest(&[]), flow.aggregate(&[]));
    flow.produce(200);
    flow.wait_until_stored();
    bed.restart_broker();
    flow.produce(200);
    flow.wait_until_stored();
    flow.recreate();
    flow.produce(600); // longer than the first, so that there is a record where the last one was
    flow.wait_until_stored();
    flow.assert_exactly_once();
}

/// Likewise, but neither the ledger nor the log shows that it is another topic.
#[test]
fn a_topic_recreated_after_a_restart_of_the_broker_is_read_though_nothing_was_read_of_the_first() {
    let bed = Bed::start();
    // A client that refreshes its metadata just while the topic is missing notices by itself, and goes on.
    let mut topics = ["again-unread", "again-unread-2", "again-unread-3"].into_iter();
    assert!(
        topics.any(|topic| reads_with_new_clients_what_is_recreated_unread(&bed, topic)),
        "the clients before were of use, each time"
    );
}

/// Whether a stage needed a new client for it.
fn reads_with_new_clients_what_is_recreated_unread(bed: &Bed, topic: &str) -> bool {
    let flow = Flow::new(bed, topic, 2);
    let stages = [(flow.ingest(&[]), 3), (flow.aggregate(&[]), 2)]; // ingest has the events' topic too
    let wait_until_fetching = || {
        for (stage, partitions) in &stages {
            wait_until(STORED_DEADLINE, "the stage fetches its partitions", || {
                let metrics = bed.try_get(&format!("{}/metrics", stage.http()));
                metrics.is_ok_and(|(_, metrics)| {
                    metrics.contains(&format!("horolog_partitions_assigned {partitions}\n"))
                        && metrics.contains("horolog_partitions_resolving 0\n")
                })
            });
        }
    };
    wait_until_fetching();
    bed.restart_broker();
    // The clients ask for the leader epochs every ten seconds, and nothing shows that they have.
    std::thread::sleep(Duration::from_secs(25));
    wait_until_fetching();
    flow.recreate();
    flow.produce(600);
    flow.wait_until_stored();
    flow.assert_exactly_once();
    stages.iter().any(|(stage, _)| {
        let log = std::fs::read_to_string(stage.log()).unwrap();
        log.contains("joining the group with a new client")
    })
}
