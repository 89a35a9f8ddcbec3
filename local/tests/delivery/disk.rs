//! The engine's disk is full, and has room again.

use crate::bed::{Bed, BedOptions, Proc, SmallDisk, wait_until};
use crate::flow::{Flow, STORED_DEADLINE};

/// Enough for an empty engine and some ten thousand rows.
const DISK_KIB: u32 = 192 << 10;

/// Whether an insert failed since the stage was started.
fn was_refused(bed: &Bed, stage: &Proc) -> bool {
    let page = bed.get(&format!("{}/metrics", stage.http())).1;
    let failures = page
        .lines()
        .find_map(|line| line.strip_prefix("horolog_insert_failures_total{class=\"unknown\"} "));
    failures.is_some_and(|failures| failures != "0")
}

#[test]
fn nothing_is_lost_and_nothing_doubled_when_the_disk_was_full() {
    let bed = Bed::start_with(&BedOptions {
        migrate: false,
        ..BedOptions::default()
    });
    bed.kill_engine();
    let Some(disk) = SmallDisk::mount(&bed.layout().folder.clickhouse(), DISK_KIB) else {
        eprintln!("not tried: a file system cannot be mounted here");
        return;
    };
    bed.start_engine();
    bed.migrate(&[]);
    let flow = Flow::new(&bed, "full-disk", 2);
    let stages = [flow.ingest(&[]), flow.aggregate(&[])];
    flow.produce(1_000);
    flow.wait_until_stored();

    disk.fill();
    flow.produce(5_000);
    wait_until(STORED_DEADLINE, "both stages were refused an insert", || {
        disk.fill(); // including what merges have freed
        stages.iter().all(|stage| was_refused(&bed, stage))
    });
    wait_until(STORED_DEADLINE, "both say that they are not ready, and why", || {
        disk.fill();
        stages.iter().all(|stage| {
            let (status, why) = bed.get(&format!("{}/readyz", stage.http()));
            status == 503 && why.contains("clickhouse does not accept batches")
        })
    });
    disk.empty();
    flow.produce(1_000);
    flow.wait_until_stored();
    flow.assert_exactly_once();
    wait_until(STORED_DEADLINE, "both are ready again", || {
        stages
            .iter()
            .all(|stage| bed.get(&format!("{}/readyz", stage.http())).0 == 200)
    });
    drop(stages);
    // The refused inserts have left no damage behind either.
    bed.restart_engine();
    flow.assert_exactly_once();
}
