//! `horolog-aggregate verify`.

use std::time::Duration;

use crate::accidents::write_ledger;
use crate::bed::wait_until;
use crate::flow::Flow;
use crate::world::{Ended, World, command, show, world};

const DEADLINE: Duration = Duration::from_secs(300);
/// The stage's metric for differences between hours and raw rows.
const DIFFERENCES: &str = "horolog_verify_differences{check=\"hour_against_raw\"}";

/// Reads a metric of the stage's own verification by its name and labels.
fn verification(world: &World) -> impl Fn(&str) -> Option<f64> + use<> {
    let (bed, metrics) = (world.flow.bed, format!("{}/metrics", world.aggregate.http()));
    move |name| {
        let (_, page) = bed.get(&metrics);
        page.lines()
            .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    }
}

/// Deletes the aggregates of one key of an hour.
fn break_a_key(world: &World, hour: u32) {
    world.flow.bed.execute(&format!(
        "delete from metrics_hourly where tenant_id = '{}' and hour = toDateTime({hour}, 'UTC') and metric_name = 'metric_1' \
         and service_id = 'service \\'0??'",
        world.flow.topic
    ));
}

#[test]
fn hours_that_are_right_are_equal_also_while_records_keep_arriving() {
    let mut world = world();
    let from = world.take_hours(2);
    world.assert_verified(from, from + 2 * 3_600);
    let mut command = world.start(&command("verify", from, from + 2 * 3_600, &["--json"]), &[]);
    while command.exited().is_none() {
        world.send(from, 2);
    }
    let said = std::fs::read_to_string(command.log()).unwrap();
    assert!(said.contains("\"differences\":[]"), "{said}");
    world.flow.wait_until_stored();
    world.assert_verified(from, from + 2 * 3_600);
}

#[test]
fn a_raw_row_that_is_missing_or_stored_twice_is_named_by_hour_key_and_offset() {
    let mut world = world();
    let from = world.take_hours(2);
    let (topic, next) = (world.flow.topic.clone(), from + 3_600);
    let row = |hour: u32| -> (i32, i64, String) {
        world.flow.bed.one(&format!(
            "select kafka_partition, kafka_offset, metric_name from metrics where kafka_topic = '{topic}' \
             and toStartOfHour(time) = toDateTime({hour}, 'UTC') order by kafka_offset limit 1"
        ))
    };
    let (missing, twice) = (row(from), row(next));
    world.flow.bed.execute(&format!(
        "delete from metrics where kafka_topic = '{topic}' and kafka_partition = {} and kafka_offset = {}",
        missing.0, missing.1
    ));
    world.flow.bed.execute(&format!(
        "insert into metrics select * replace (now64(3) as inserted_at) from metrics where kafka_topic = '{topic}' \
         and kafka_partition = {} and kafka_offset = {}",
        twice.0, twice.1
    ));
    let found = world.verify(from, from + 2 * 3_600);
    assert_eq!(found.code, 1, "{}", found.text);
    for said in [
        format!(
            "differs: {}: raw rows 71, ledger 72; {topic}/{} offsets ",
            show(from),
            missing.0
        ),
        format!("differs: {} {topic}/{}/", show(from), missing.2),
        format!(
            "differs: {}: raw rows are stored more than once; {topic}/{} offsets {}-{}",
            show(next),
            twice.0,
            twice.1,
            twice.1 + 1
        ),
        format!("differs: {} {topic}/{}/", show(next), twice.2),
    ] {
        assert!(found.text.contains(&said), "{said}\n{}", found.text);
    }
    let refused = world.run(&crate::world::command("rebuild", next, next + 3_600, &[]));
    assert!(
        refused.code == 1 && refused.text.contains("stored more than once"),
        "{}",
        refused.text
    );
}

#[test]
fn an_hour_in_which_one_value_differs_is_told_beside_one_in_which_all_keys_do() {
    let mut world = world();
    let from = world.take_hours(2);
    let (topic, next) = (world.flow.topic.clone(), from + 3_600);
    let row = |hour: u32| {
        format!(
            "(select * from metrics_hourly where tenant_id = '{topic}' and hour = toDateTime({hour}, 'UTC') limit 1)"
        )
    };
    for (changes, hour) in [
        ("concat('stray_', toString(arrayJoin(range(200)))) as metric_name", from),
        (
            "0 as count, 0 as late_count, 1e12 as sum, mapFilter((k, v) -> 0, positive) as positive, \
             mapFilter((k, v) -> 0, negative) as negative, 0 as zero_count",
            next,
        ),
    ] {
        world.flow.bed.execute(&format!(
            "insert into metrics_hourly select * replace ({changes}, now64(3) as inserted_at) from {}",
            row(hour)
        ));
    }
    let found = world.verify(from, from + 2 * 3_600);
    assert_eq!(found.code, 1, "{}", found.text);
    let keys = |hour: u32| found.text.matches(&format!("differs: {} {topic}/", show(hour))).count();
    assert_eq!((keys(from), keys(next)), (10, 1), "{}", found.text);
    world.rebuild(from, from + 2 * 3_600, &[]);
    world.assert_verified(from, from + 2 * 3_600);
}

#[test]
fn a_missing_row_of_the_ledger_is_named_by_its_offsets() {
    let mut world = world();
    let from = world.take_hours(1);
    let topic = world.flow.topic.clone();
    let (partition, start, end): (i32, i64, i64) = world.flow.bed.one(&format!(
        "select kafka_partition, start_offset, end_offset from batch_ledger final where stage = 'aggregate' and kafka_topic = '{topic}' \
         and start_offset > 0 and entry in ('batch', 'recovered') and mapContains(hours, toDateTime({from}, 'UTC')) \
         order by start_offset limit 1"
    ));
    let row = format!(
        "stage = 'aggregate' and kafka_topic = '{topic}' and kafka_partition = {partition} and start_offset = {start} and end_offset = {end}"
    );
    world.flow.bed.execute(&format!(
        "create table kept_ledger engine = Memory as select * from batch_ledger final where {row}"
    ));
    world.flow.bed.execute(&format!("delete from batch_ledger where {row}"));

    let found = world.verify(from, from + 3_600);
    world
        .flow
        .bed
        .execute("insert into batch_ledger select * replace (now64(3) as inserted_at) from kept_ledger");
    world.flow.bed.execute("drop table kept_ledger");
    assert_eq!(found.code, 1, "{}", found.text);
    for said in [
        format!("the ledger of aggregate has a gap: {topic}/{partition} offsets {start}-{end}"),
        format!("differs: {}: count 72, ledger ", show(from)),
    ] {
        assert!(found.text.contains(&said), "{said}\n{}", found.text);
    }
    world.assert_verified(from, from + 3_600);
}

/// Verifies an hour while the ledger has these rows, written `age` ago, of partitions from 70 on, which no topic has.
fn verified_beside(world: &World, from: u32, rows: &[String], age: &str) -> Ended {
    for row in rows {
        write_ledger(world, row, age);
    }
    let ended = world.verify(from, from + 3_600);
    let bed = world.flow.bed;
    bed.execute("delete from batch_ledger where kafka_partition >= 70");
    ended
}

#[test]
fn two_rows_of_one_gap_are_right_and_a_batch_that_others_overlap_is_not() {
    let mut world = world();
    let from = world.take_hours(1);
    let topic = world.flow.topic.clone();
    let rows = [
        (70, 5, 5, "epoch"),
        (70, 5, 100, "batch"),
        (70, 100, 200, "gap"),
        (70, 100, 250, "gap"),
        (70, 250, 300, "batch"),
        (71, 0, 100, "gap"),
        (71, 50, 100, "batch"),
        (72, 0, 100, "batch"),
        (72, 90, 120, "gap"),
        (73, 0, 100, "batch"),
        (73, 100, 200, "batch"),
        (73, 150, 150, "epoch"),
        (74, 0, 100, "batch"),
        (74, 120, 200, "gap"),
    ]
    .map(|(partition, start, end, entry)| {
        format!("'ingest', '{topic}', {partition}, 1, {start}, {end}, '{entry}', map()")
    });
    let found = verified_beside(&world, from, &rows, "0 day");
    assert_eq!(found.code, 1, "{}", found.text);
    let told = |line: &&str| line.starts_with("differs: the ledger of ingest");
    let told: Vec<&str> = found.text.lines().filter(told).collect();
    let expected = [
        "overlap: 71 offsets 50-100",
        "overlap: 72 offsets 90-100",
        "overlap: 73 offsets 150-200",
        "gap: 74 offsets 100-120",
    ]
    .map(|what| {
        let what = what.replace(": ", &format!(": {topic}/"));
        format!("differs: the ledger of ingest has a {what} (raw rows 0)")
    });
    assert_eq!(told, expected, "{}", found.text);
    world.assert_verified(from, from + 3_600);
}

#[test]
fn a_log_that_nobody_reads_and_whose_progress_was_deleted_holds_no_hour_back() {
    let mut world = world();
    let from = world.take_hours(1);
    let topic = world.flow.topic.clone();
    let hours = format!("map(toDateTime({from}, 'UTC'), toUInt64(0))");
    let row = format!("'aggregate', '{topic}', 70, 1, 0, 100, 'batch', {hours}");
    let equal = verified_beside(&world, from, &[row], "2 day");
    assert_eq!(equal.code, 0, "{}", equal.text);
}

#[test]
fn hours_whose_raw_rows_have_expired_are_compared_with_the_ledger() {
    let mut world = world();
    // Older than the hours of all other tests, and than the retention set below; TTL merges are stopped, so that only
    // this test deletes rows.
    let from = world.newest_hour() - 100 * 3_600;
    for hour in [from, from + 3_600] {
        world.send(hour, 72);
    }
    world.flow.wait_until_stored();
    let days =
        "alter table metrics modify ttl toDateTime(time) + interval 3 day settings materialize_ttl_after_modify = 0";
    for statement in ["system stop ttl merges metrics", days] {
        world.flow.bed.execute(statement);
    }
    let topic = world.flow.topic.clone();
    world.flow.bed.execute(&format!(
        "delete from metrics where kafka_topic = '{topic}' and toStartOfHour(time) = toDateTime({from}, 'UTC')"
    ));
    let verify = |world: &World| world.run(&command("verify", from, from + 2 * 3_600, &[]));
    let equal = verify(&world);
    assert_eq!(equal.code, 0, "{}", equal.text);
    assert!(
        equal.text.contains(
            "1 hours compared with raw rows and ledger, 1 with the ledger alone (raw rows expired, or deleted"
        ),
        "{}",
        equal.text
    );
    world.flow.bed.execute(&format!(
        "delete from metrics_hourly where tenant_id = '{topic}' and hour = toDateTime({from}, 'UTC') and metric_name = 'metric_1'"
    ));
    let found = verify(&world);
    assert_eq!(found.code, 1, "{}", found.text);
    assert!(
        found
            .text
            .contains(&format!("differs: {}: count 48, ledger 72", show(from))),
        "{}",
        found.text
    );
}

#[test]
fn hours_with_records_that_kafka_deleted_before_ingest_read_them_are_compared_with_the_ledger() {
    let mut world = world();
    let flow = Flow::new(world.flow.bed, "deleted-unread", 1);
    let mut ingest = flow.ingest(&[]);
    let aggregate = flow.aggregate(&[("HOROLOG_AGGREGATE__VERIFY__INTERVAL_S", "0")]);
    // Before the hours of the other tests, and within the retention that one of them sets.
    let hour = world.newest_hour() - 60 * 3_600;
    let times = |seconds: std::ops::Range<i64>| seconds.map(|second| (i64::from(hour) + second) * 1_000);
    flow.produce_at(times(0..60));
    flow.wait_until_stored();
    ingest.kill9();
    flow.produce_at(times(60..100));
    flow.wait_until_records("aggregate", &flow.topic, 100);
    flow.delete_before(0, 75);
    ingest.restart();
    flow.wait_until_records("ingest", &flow.topic, 85);
    let group = format!("{}-aggregate", flow.topic);
    let on_topic = [
        ("HOROLOG_AGGREGATE__SOURCE__METRICS_TOPIC", flow.topic.as_str()),
        ("HOROLOG_AGGREGATE__SOURCE__GROUP", group.as_str()),
    ];
    let verify = || world.run_with(&command("verify", hour, hour + 3_600, &[]), &on_topic);
    let equal = verify();
    assert_eq!(equal.code, 0, "{}", equal.text);
    let alone = "0 hours compared with raw rows and ledger, 1 with the ledger alone";
    assert!(equal.text.contains(alone), "{}", equal.text);
    // One more than Kafka deleted.
    let row = format!("kafka_topic = '{}' and kafka_offset = 7", flow.topic);
    flow.bed.execute(&format!("delete from metrics where {row}"));
    let found = verify();
    assert_eq!(found.code, 1, "{}", found.text);
    let said = format!("differs: {}: raw rows 84, ledger 100", show(hour));
    assert!(found.text.contains(&said), "{}", found.text);
    // Kept running, since later rebuilds wait for every stage that has reported.
    world.others.extend([ingest, aggregate]);
}

#[test]
fn hours_whose_aggregates_have_expired_are_not_compared() {
    let mut world = world();
    let from = world.newest_hour() - 60 * 24 * 3_600;
    for statement in [
        "system stop ttl merges metrics",
        "system stop ttl merges metrics_hourly",
        "alter table metrics_hourly modify ttl hour + interval 1 month settings materialize_ttl_after_modify = 0",
    ] {
        world.flow.bed.execute(statement);
    }
    world.send(from, 72);
    world.flow.wait_until_stored();
    world.flow.bed.execute(&format!(
        "delete from metrics_hourly where tenant_id = '{}' and hour = toDateTime({from}, 'UTC')",
        world.flow.topic
    ));
    let found = world.verify(from, from + 3_600);
    assert_eq!(found.code, 2, "{}", found.text);
    let said = format!("not compared: {}: its aggregates have expired", show(from));
    assert!(found.text.contains(&said), "{}", found.text);
}

#[test]
fn what_cannot_be_compared_is_no_difference_and_no_success() {
    let world = world();
    let hours = ["verify", "--from", "2001-01-01", "--to", "2001-01-02", "--set"];
    let run = |set: &'static str| world.run(&[&hours[..], &[set]].concat());
    let ended = run("source.metrics_topic=nowhere");
    let said = "not compared: the log: Kafka has no topic nowhere: is source.metrics_topic right?";
    assert!(ended.code == 2 && ended.text.contains(said), "{}", ended.text);
    let ended = run("clickhouse.url=http://127.0.0.1:1");
    assert_eq!(ended.code, 2, "{}", ended.text);
    let ended = run("kafka.bootstrap=127.0.0.1:1");
    assert_eq!(ended.code, 2, "{}", ended.text);
    assert!(ended.text.contains("not compared: the log"), "{}", ended.text);
}

#[test]
fn the_stage_itself_verifies_the_newest_hours_and_tells_what_differs() {
    let mut world = world();
    let hour = world.newest_hour();
    let value = verification(&world);
    let last_hour = format!(
        "horolog_verify_last_hour_timestamp_seconds{{topic=\"{}\"}}",
        world.flow.topic
    );
    let differences = || value(DIFFERENCES);
    // The hours after it are complete, and have no records.
    wait_until(DEADLINE, "the newest hours are verified", || {
        differences() == Some(0.0) && value(&last_hour) >= Some(f64::from(hour + 3 * 3_600))
    });

    break_a_key(&world, hour);
    world.send(hour, 6); // an hour that was equal is verified again when records arrive
    wait_until(DEADLINE, "the difference is told", || differences() == Some(1.0));
    let incidents = format!("incidents where reason = 'hours_differ' and hour = toDateTime({hour}, 'UTC')");
    wait_until(DEADLINE, "the difference is written down", || {
        world.count(&incidents) > 0
    });

    world.rebuild(hour, hour + 3_600, &[]);
    wait_until(DEADLINE, "the difference is gone", || differences() == Some(0.0));
    world.assert_verified(hour, hour + 3_600);
}

#[test]
fn an_hour_that_differs_is_told_of_until_it_is_rebuilt_also_when_the_stage_has_gone_on() {
    let mut world = world();
    let hour = world.take_hours(1);
    let value = verification(&world);
    let differences = || value(DIFFERENCES);
    wait_until(DEADLINE, "nothing differs", || differences() == Some(0.0));
    break_a_key(&world, hour);
    // As if the hours from this one on had become complete just now.
    world.flow.bed.execute(&format!(
        "insert into upkeep_progress (task, kafka_topic, through, revisions_seen, inserted_at) \
         select 'verification', '{}', toDateTime({hour}, 'UTC'), fromUnixTimestamp64Milli(0, 'UTC'), now64(3)",
        world.flow.topic
    ));
    wait_until(DEADLINE, "the difference is told", || differences() == Some(1.0));
    let through = || {
        world.count_of(&format!(
            "select toUInt64(toUInt32(argMax(through, inserted_at))) from upkeep_progress \
             where task = 'verification' and kafka_topic = '{}'",
            world.flow.topic
        ))
    };
    let newest = u64::from(world.newest_hour());
    wait_until(DEADLINE, "it has gone on to the newest hours", || through() > newest);
    // The round that ends next may be the one that found it.
    for _ in 0..2 {
        let seconds = || value("horolog_verify_last_duration_seconds");
        let before = seconds();
        wait_until(DEADLINE, "another round ends", || seconds() != before);
    }
    assert_eq!(differences(), Some(1.0));

    world.rebuild(hour, hour + 3_600, &[]);
    wait_until(DEADLINE, "the difference is gone", || differences() == Some(0.0));
}
