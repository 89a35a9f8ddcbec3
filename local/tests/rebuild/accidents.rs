//! What can happen during a rebuild: keys that are folded, a paused stage, partitions that are added, a recreated
//! topic.

use std::time::Duration;

use crate::bed::{Bed, Proc, Record, now_ms, wait_until};
use crate::flow::Flow;
use crate::world::{KEYS_MAX, PARTITIONS, World, command, show, world};

const DEADLINE: Duration = Duration::from_secs(300);
const HOUR_MS: i64 = 3_600_000;
/// As the tables are made by default.
const LEASE_S: u32 = 60;

/// Sends samples of as many metrics as there are records, of a tenant of their own, in one hour.
fn send_many_keys(world: &mut World, tenant: &str, hour: u32, keys: u64) {
    let sample = |number: u64| -> Record {
        world.flow.changed_sample(|sample| {
            sample.tenant_id = tenant.to_owned();
            sample.time = i64::from(hour) * 1_000_000;
            sample.metric_name = format!("metric_{number}");
            sample.value = number as f64;
        })
    };
    let records: Vec<Record> = (0..keys).map(sample).collect();
    world.flow.bed.produce(&world.flow.topic, 0, &records);
    world.flow.count_sent(keys);
    world.flow.wait_until_stored();
}

fn records_of(world: &World, tenant: &str, metric: &str) -> u64 {
    world.count_of(&format!(
        "select sum(h.count) from visible_partials as h where tenant_id = '{tenant}' and metric_name like '{metric}'"
    ))
}

#[test]
fn folded_keys_are_verified_and_a_rebuild_brings_them_back() {
    let mut world = world();
    let (hour, tenant) = (world.take_hours(1), "many-keys");
    let to = hour + 3_600;
    let keys = KEYS_MAX * 20;
    send_many_keys(&mut world, tenant, hour, keys);
    assert!(
        records_of(&world, tenant, "horolog_overflow") > 0,
        "some keys are folded"
    );
    assert_eq!(records_of(&world, tenant, "%"), keys, "and none is lost");
    world.assert_verified(hour, to);

    for metric in ["metric_1", "horolog_overflow"] {
        let refused = world.run(&command("rebuild", hour, to, &["--tenant", tenant, "--metric", metric]));
        let said = format!(
            "keys of {}, tenant {tenant}, are folded into horolog_overflow",
            show(hour)
        );
        assert!(refused.code == 1 && refused.text.contains(&said), "{}", refused.text);
    }

    world.flow.bed.execute(&format!(
        "delete from metrics_hourly where tenant_id = '{tenant}' and metric_name = 'horolog_overflow'"
    ));
    let found = world.verify(hour, to);
    assert_eq!(found.code, 1, "a lost overflow key is found: {}", found.text);

    world.rebuild(hour, to, &["--tenant", tenant]);
    assert_eq!(records_of(&world, tenant, "horolog_overflow"), 0);
    assert_eq!(records_of(&world, tenant, "metric_%"), keys);
    world.assert_verified(hour, to);

    send_many_keys(&mut world, tenant, hour, keys);
    assert!(
        records_of(&world, tenant, "horolog_overflow") > 0,
        "what comes later is folded again"
    );
    assert_eq!(records_of(&world, tenant, "%"), 2 * keys);
    world.assert_verified(hour, to);
}

#[test]
fn while_no_stage_runs_a_rebuild_ends_where_the_next_one_goes_on() {
    let mut world = world();
    let from = world.take_hours(2);
    let to = from + 2 * 3_600;
    let was = world.visible(from, to);
    world.aggregate.term();
    assert!(
        world.aggregate.wait(DEADLINE).success(),
        "{}",
        world.aggregate.log_tail()
    );
    let behind: u64 = 20;
    world.send(from, behind);
    world.rebuild(from, to, &[]);
    world.assert_visible(from, to, &was);
    world.aggregate.restart();
    world.flow.wait_until_stored();
    world.assert_verified(from, to);
    let visible = world.count_of(&format!(
        "select sum(h.count) from visible_partials as h where tenant_id = '{}' and hour = toDateTime({from}, 'UTC')",
        world.flow.topic
    ));
    assert_eq!(visible, 72 + behind);
}

#[test]
fn a_batch_that_a_dead_stage_left_pending_is_waited_for() {
    let mut world = world();
    let from = world.take_hours(1);
    let to = from + 3_600;
    world.aggregate.restart_with(&[("HOROLOG_CRASH_AT", "after-rows")]);
    world.send(from, 20);
    wait_until(DEADLINE, "the stage dies with a batch pending", || {
        world.aggregate.exited().is_some()
    });
    let mut rebuild = world.start(&command("rebuild", from, to, &[]), &[]);
    wait_until(DEADLINE, "the rebuild says what it waits for", || {
        said(&rebuild).contains("has a pending batch, but no stage is running to finish it")
    });
    world.aggregate.restart_without(&["HOROLOG_CRASH_AT"]);
    let status = rebuild.wait(DEADLINE);
    assert!(status.success(), "{}", said(&rebuild));
    world.flow.wait_until_stored();
    world.assert_verified(from, to);
}

#[test]
fn a_partition_that_is_added_gives_a_running_rebuild_up_and_the_next_one_covers_it() {
    let mut world = world();
    let from = world.take_hours(6);
    let to = from + 6 * 3_600;
    let was = world.visible(from, to);
    let mut rebuild = paused_within(&world, from, to);
    world.flow.bed.add_partitions(&world.flow.topic, PARTITIONS + 1);
    wait_until(DEADLINE, "the new partition has reported", || {
        world.count(&format!(
            "partition_progress where kafka_topic = '{}' and kafka_partition = {PARTITIONS}",
            world.flow.topic
        )) > 0
    });
    rebuild.cont();
    let status = rebuild.wait(DEADLINE);
    let told = format!("{}/{PARTITIONS} was added, recreated", world.flow.topic);
    assert!(
        !status.success() && said(&rebuild).contains(&told),
        "{}",
        said(&rebuild)
    );
    world.assert_visible(from, to, &was);
    world.rebuild(from, to, &[]);
    world.assert_visible(from, to, &was);
    world.assert_verified(from, to);
}

/// A rebuild that has done some of its parts, and is suspended.
fn paused_within(world: &World, from: u32, to: u32) -> Proc {
    loop {
        let mut rebuild = world.start(&command("rebuild", from, to, &[]), &[]);
        let newest = "number = (select max(number) from rebuilds final where state = 'registered')";
        wait_until(DEADLINE, "a part is done", || {
            world.count(&format!("rebuild_parts where {newest}")) > 0 || rebuild.exited().is_some()
        });
        rebuild.stop();
        let unfinished = world.count("rebuilds final where state = 'registered'");
        if unfinished > 0 && rebuild.exited().is_none() {
            return rebuild;
        }
        rebuild.cont(); // it was faster than we
        assert!(rebuild.wait(DEADLINE).success(), "{}", said(&rebuild));
    }
}

#[test]
fn a_topic_recreated_during_an_interrupted_rebuild_is_rebuilt_in_both_its_lives() {
    let mut world = world();
    let flow = Flow::new(world.flow.bed, "made-again", 1);
    // They are kept running, since later rebuilds wait for every stage that has reported.
    world.others.extend([
        flow.ingest(&[]),
        flow.aggregate(&[
            ("HOROLOG_AGGREGATE__COMPLETENESS__IDLE_AFTER_S", "1"),
            ("HOROLOG_AGGREGATE__VERIFY__INTERVAL_S", "0"),
        ]),
    ]);
    flow.produce(200);
    flow.wait_until_stored();
    let hour = |back: i64| ((now_ms() / HOUR_MS - back) * 3_600) as u32;
    let (from, to) = (hour(2), hour(-1));
    let group = format!("{}-aggregate", flow.topic);
    let on_topic = [
        ("HOROLOG_AGGREGATE__SOURCE__METRICS_TOPIC", flow.topic.as_str()),
        ("HOROLOG_AGGREGATE__SOURCE__GROUP", group.as_str()),
    ];
    let args = command("rebuild", from, to, &["--tenant", &flow.topic]);
    let crash = [&on_topic[..], &[("HOROLOG_CRASH_AT", "rebuild-part")]].concat();
    let killed = world.run_with(&args, &crash);
    assert!(killed.text.contains("crash point rebuild-part"), "{}", killed.text);
    flow.recreate();
    flow.produce(100);
    flow.wait_until_stored();
    let ended = world.run_with(&args, &on_topic);
    assert_eq!(ended.code, 0, "{}", ended.text);
    let counted =
        |table: &str| -> u64 { world.count_of(&format!("select {table} where tenant_id = '{}'", flow.topic)) };
    assert_eq!(
        counted("sum(h.count) from visible_partials as h"),
        counted("count() from metrics")
    );
    let lives: Vec<u32> = flow.bed.sql(&format!(
        "select distinct log_epoch from metrics where kafka_topic = '{}' order by 1",
        flow.topic
    ));
    assert_eq!(lives, [1, 2]);
}

#[test]
fn what_is_left_of_a_topic_that_nobody_reads_any_more_is_not_waited_for() {
    let mut world = world();
    let from = world.take_hours(1);
    write_progress(&world, "retired", "2 day");
    write_ledger(
        &world,
        "'aggregate', 'retired', 0, 1, 100, 200, 'begun', map()",
        "2 day",
    );
    // Its stage died with its first batch.
    write_ledger(
        &world,
        "'aggregate', 'tried-once', 0, 1, 0, 100, 'begun', map()",
        "2 day",
    );
    world.assert_verified(from, from + 3_600);
    world.rebuild(from, from + 3_600, &[]);
}

#[test]
fn a_batch_that_a_deployment_of_another_topic_has_begun_is_waited_for() {
    let mut world = world();
    let from = world.take_hours(1);
    write_progress(&world, "pending", "10 minute");
    // Ingest has all of it; what aggregate stored last it did not live to report.
    for row in [
        "'ingest', 'pending', 0, 1, 0, 300, 'batch', map()",
        "'aggregate', 'pending', 0, 1, 100, 200, 'batch', map()",
        "'aggregate', 'pending', 0, 1, 200, 300, 'begun', map()",
    ] {
        write_ledger(&world, row, "10 minute");
    }
    let mut rebuild = world.start(&command("rebuild", from, from + 3_600, &[]), &[]);
    wait_until(DEADLINE, "the rebuild says what it waits for", || {
        said(&rebuild).contains("pending/0 has an unfinished batch")
    });
    write_ledger(
        &world,
        "'aggregate', 'pending', 0, 1, 200, 300, 'batch', map()",
        "0 day",
    );
    let status = rebuild.wait(DEADLINE);
    for table in ["batch_ledger", "partition_progress"] {
        let statement = format!("delete from {table} where kafka_topic = 'pending'");
        world.flow.bed.execute(&statement);
    }
    assert!(status.success(), "{}", said(&rebuild));
}

#[test]
fn what_a_deployment_that_never_reported_has_begun_and_stored_is_not_left_out() {
    let mut world = world();
    let from = world.take_hours(1);
    let hours = format!("map(toDateTime({from}, 'UTC'), toUInt64(100))");
    for row in [
        format!("'ingest', 'silent', 0, 1, 0, 100, 'batch', {hours}"),
        "'aggregate', 'silent', 0, 1, 0, 100, 'begun', map()".to_owned(),
    ] {
        write_ledger(&world, &row, "10 minute");
    }
    let mut rebuild = world.start(&command("rebuild", from, from + 3_600, &[]), &[]);
    wait_until(DEADLINE, "the rebuild says what it waits for", || {
        said(&rebuild).contains("silent/0 has an unfinished batch")
    });
    // Its rows were there before those of the rebuild, which knows none of its records.
    let stored = format!("'aggregate', 'silent', 0, 1, 0, 100, 'batch', {hours}");
    write_ledger(&world, &stored, "10 minute");
    let status = rebuild.wait(DEADLINE);
    world
        .flow
        .bed
        .execute("delete from batch_ledger where kafka_topic = 'silent'");
    let refused = format!("raw rows have expired or are missing of {} (100 records)", show(from));
    assert!(
        !status.success() && said(&rebuild).contains(&refused),
        "{}",
        said(&rebuild)
    );
    let number: u32 = world.flow.bed.one("select max(number) from rebuilds");
    assert_eq!(world.run(&["rebuild", "--abandon", &number.to_string()]).code, 0);
}

#[test]
fn what_a_deployment_that_is_away_or_behind_has_not_stored_yet_is_no_difference() {
    let mut world = world();
    let from = world.take_hours(1);
    let not_compared = |why: &str| {
        let ended = world.run(&command("verify", from, from + 3_600, &["--wait-s", "1"]));
        for table in ["metrics_hourly", "batch_ledger", "partition_progress"] {
            let statement = format!("delete from {table} where kafka_topic = 'resting'");
            world.flow.bed.execute(&statement);
        }
        let said = format!("not compared: {}: {why}", show(from));
        assert!(ended.code == 2 && ended.text.contains(&said), "{}", ended.text);
    };

    // Its aggregate stage has been away for long; its ingest is there, and has half of what was aggregated.
    world.flow.bed.execute(&format!(
        "insert into metrics_hourly select 'resting', 'cpu', toDateTime({from}, 'UTC'), '', '', '', '', 'gauge', '', 0, 0, 'resting', \
         100, 0, 150., 1.5, 1.5, (now64(6), 0, 99, 1.5), map(toInt32(37), toUInt64(100)), map(), 0, now64(3)"
    ));
    let hours = |records: u32| format!("map(toDateTime({from}, 'UTC'), toUInt64({records}))");
    let [aggregated, stored] = [("aggregate", 100), ("ingest", 50)]
        .map(|(stage, end)| format!("'{stage}', 'resting', 0, 1, 0, {end}, 'batch', {}", hours(end)));
    write_ledger(&world, &aggregated, "2 day");
    write_ledger(&world, &stored, "0 day");
    write_progress(&world, "resting", "2 day");
    not_compared("ingest has not stored all of its raw rows");

    // It died between the aggregates of a batch and the ledger.
    write_progress(&world, "resting", "10 minute");
    write_ledger(
        &world,
        "'aggregate', 'resting', 0, 1, 100, 200, 'begun', map()",
        "10 minute",
    );
    not_compared("a batch was begun but is not stored");
    world.assert_verified(from, from + 3_600);
}

/// Records that a topic of one partition was aggregated up to offset 100, `age` ago.
fn write_progress(world: &World, topic: &str, age: &str) {
    let row = format!("select '{topic}', 0, 1, 1, 100, now64(3), 0, now64(3) - interval {age}");
    insert_old(world.flow.bed, "partition_progress", &row, LEASE_S);
}

/// Adds a row of the ledger that was written `age` ago.
pub fn write_ledger(world: &World, row: &str, age: &str) {
    let row = format!(
        "(stage, kafka_topic, kafka_partition, log_epoch, start_offset, end_offset, entry, hours, inserted_at) \
         select {row}, now64(3) - interval {age}"
    );
    insert_old(world.flow.bed, "batch_ledger", &row, LEASE_S);
}

/// Inserts a row that is too old for the table's lease constraint.
pub fn insert_old(bed: &Bed, table: &str, row: &str, lease_s: u32) {
    let lease = format!(
        "inserted_at > now64(3) - interval {lease_s} second and inserted_at < now64(3) + interval {lease_s} second"
    );
    for statement in [
        format!("alter table {table} drop constraint lease"),
        format!("insert into {table} {row}"),
        format!("alter table {table} add constraint lease check {lease}"),
    ] {
        bed.execute(&statement);
    }
}

fn said(command: &Proc) -> String {
    std::fs::read_to_string(command.log()).unwrap()
}
