//! `horolog-aggregate rebuild`.

use std::time::Duration;

use crate::bed::now_ms;
use crate::world::{World, command, show, world};

const DEADLINE: Duration = Duration::from_secs(300);

#[test]
fn rebuilding_what_was_right_changes_nothing_while_records_keep_arriving() {
    let mut world = world();
    let from = world.take_hours(4);
    let (still, moving, to) = (from, from + 2 * 3_600, from + 4 * 3_600);
    let was = world.visible(still, moving);
    assert!(
        was.0.iter().any(|row| !row.contains("1970-01-01")),
        "some rows are revisions"
    );

    let mut command = world.start(&command("rebuild", from, to, &[]), &[]);
    std::thread::scope(|scope| {
        let ended = scope.spawn(|| {
            let status = command.wait(DEADLINE);
            (status, std::fs::read_to_string(command.log()).unwrap())
        });
        while !ended.is_finished() {
            world.send(moving, 10);
            world.send((now_ms() / 1_000) as u32 / 3_600 * 3_600, 10);
        }
        let (status, said) = ended.join().unwrap();
        assert!(status.success(), "{said}");
    });
    world.assert_visible(still, moving, &was);
    world.flow.wait_until_stored();
    world.assert_verified(from, to);
    let epochs: Vec<u32> = world.flow.bed.sql(&format!(
        "select distinct epoch from visible_partials where tenant_id = '{}' and hour = toDateTime({still}, 'UTC')",
        world.flow.topic
    ));
    assert!(epochs.len() == 1 && epochs[0] % 2 == 1, "{epochs:?}");
}

#[test]
fn damage_is_shown_by_a_dry_run_found_by_verify_and_repaired() {
    let mut world = world();
    let from = world.take_hours(3);
    let to = from + 3 * 3_600;
    let was = world.visible(from, to);
    let tenant = world.flow.topic.clone();
    world.flow.bed.execute(&format!(
        "delete from metrics_hourly where tenant_id = '{tenant}' and hour = toDateTime({from}, 'UTC') and metric_name = 'metric_1'"
    ));
    world.flow.bed.execute(&format!(
        "insert into metrics_hourly select * replace (now64(3) as inserted_at) from metrics_hourly \
         where tenant_id = '{tenant}' and hour = toDateTime({}, 'UTC') and metric_name = 'metric_2'",
        from + 3_600
    ));

    let written = |world: &World| (world.total("metrics_hourly"), world.count("rebuilds final"));
    let before = written(&world);
    let shown = world.rebuild(from, to, &["--dry-run"]);
    assert!(
        shown.contains(&format!("{} {tenant} metric_1: count 0 -> 24", show(from))),
        "{shown}"
    );
    assert!(
        shown.contains(&format!("{} {tenant} metric_2: count 48 -> 24", show(from + 3_600))),
        "{shown}"
    );
    assert!(shown.contains("2 metrics and hours would change"), "{shown}");
    assert_eq!(written(&world), before);
    let shown = world.rebuild(from, to, &["--dry-run", "--source", "kafka"]);
    assert!(shown.contains("2 metrics and hours would change"), "{shown}");

    let found = world.verify(from, to);
    assert_eq!(found.code, 1, "{}", found.text);
    for said in [
        format!("differs: {} {tenant}/metric_1/", show(from)),
        format!("differs: {} {tenant}/metric_2/", show(from + 3_600)),
        format!("differs: {}: count 48, ledger 72", show(from)),
        format!("{tenant}/0 offsets "),
    ] {
        assert!(found.text.contains(&said), "{said}\n{}", found.text);
    }

    world.rebuild(from, to, &[]);
    world.assert_verified(from, to);
    world.assert_visible(from, to, &was);
    assert!(
        world
            .rebuild(from, to, &["--dry-run"])
            .contains("0 metrics and hours would change")
    );
}

#[test]
fn a_rebuild_that_is_killed_goes_on_where_it_was() {
    let mut world = world();
    let from = world.take_hours(4);
    let to = from + 4 * 3_600;
    let was = world.visible(from, to);
    for crash_at in [
        "rebuild-registered",
        "rebuild-piece:2",
        "rebuild-part:3",
        "rebuild-before-visible",
    ] {
        let args = command("rebuild", from, to, &["--json"]);
        let killed = world.run_with(&args, &[("HOROLOG_CRASH_AT", crash_at)]);
        assert!(
            killed
                .text
                .contains(&format!("crash point {crash_at}").replace(":2", "").replace(":3", "")),
            "{}",
            killed.text
        );
        world.assert_visible(from, to, &was);
        let number: u32 = world.flow.bed.one("select max(number) from rebuilds");
        let parts = |world: &World| -> Vec<(String, i64)> {
            world.flow.bed.sql(&format!(
                "select part, toUnixTimestamp64Milli(inserted_at) from rebuild_parts where number = {number} order by part"
            ))
        };
        let done = parts(&world);

        let other = world.run(&command("rebuild", from, to - 3_600, &[]));
        assert_eq!(other.code, 1, "{}", other.text);
        assert!(
            other.text.contains(&format!("rebuild {number} ")) && other.text.contains("--abandon"),
            "{}",
            other.text
        );

        let said = world.rebuild(from, to, &["--json"]);
        assert!(
            said.contains("\"resumed\":true") && said.contains("\"records\":288"),
            "{crash_at}: {said}"
        );
        let all = parts(&world);
        assert_eq!(all.len(), 4);
        assert!(
            done.iter().all(|part| all.contains(part)),
            "{crash_at}: what was done is not done again"
        );
        world.assert_visible(from, to, &was);
    }
    world.assert_verified(from, to);
}

#[test]
fn from_kafka_it_is_the_same_and_some_metrics_of_a_tenant_can_be_picked() {
    let mut world = world();
    let from = world.take_hours(2);
    let to = from + 2 * 3_600;
    let was = world.visible(from, to);
    let tenant = world.flow.topic.clone();
    world.rebuild(from, to, &["--source", "kafka"]);
    world.assert_visible(from, to, &was);

    world.flow.bed.execute(&format!(
        "delete from metrics_hourly where tenant_id = '{tenant}' and hour >= toDateTime({from}, 'UTC') and hour < toDateTime({to}, 'UTC')"
    ));
    world.rebuild(
        from,
        to,
        &["--tenant", &tenant, "--metric", "metric_0", "--source", "kafka"],
    );
    world.rebuild(from, to, &["--tenant", &tenant, "--metric", "metric_1"]);
    world.rebuild(from, to, &["--tenant", "nobody"]);
    let is = world.visible(from, to);
    let expected: Vec<String> = was.0.iter().filter(|row| !row.contains("metric_2")).cloned().collect();
    assert_eq!(is.0, expected);
    world.rebuild(from, to, &[]);
    world.assert_visible(from, to, &was);
}

#[test]
fn hours_whose_raw_rows_are_gone_are_refused_with_what_is_still_possible() {
    let mut world = world();
    let from = world.take_hours(3);
    let (gone, to) = (from + 3_600, from + 3 * 3_600);
    let was = world.visible(from, to);
    world.flow.bed.execute(&format!(
        "delete from metrics where tenant_id = '{}' and toStartOfHour(time) = toDateTime({gone}, 'UTC')",
        world.flow.topic
    ));
    let rebuilds = world.count("rebuilds final");
    let refused = world.run(&command("rebuild", from, to, &[]));
    assert_eq!(refused.code, 1, "{}", refused.text);
    let said = format!(
        "{} (72 records): a rebuild would lose what these hours contain; these can be rebuilt: --from {} --to {}, \
         --from {} --to {}",
        show(gone),
        show(gone + 3_600),
        show(to),
        show(from),
        show(gone)
    );
    assert!(refused.text.contains(&said), "{said}\n{}", refused.text);
    assert_eq!(world.count("rebuilds final"), rebuilds, "nothing is registered");
    let incidents =
        format!("incidents where reason = 'raw_expired' and hour = toDateTime({gone}, 'UTC') and records = 72");
    assert_eq!(world.count(&incidents), 1);
    world.assert_visible(from, to, &was);

    world.rebuild(from, gone, &[]);
    world.rebuild(from, to, &["--source", "kafka"]);
    world.assert_visible(from, to, &was);
}

#[test]
fn a_missing_raw_row_is_not_made_up_for_by_one_that_is_stored_twice_or_was_never_aggregated() {
    let mut world = world();
    let from = world.take_hours(4);
    let [doubled, replaced, more, other] = [0, 1, 2, 3].map(|hour| from + hour * 3_600);
    // Batches of their own, with no record of the hours before.
    world.send(other, 20);
    world.flow.wait_until_stored();
    let topic = world.flow.topic.clone();
    let was = world.visible(from, other);
    let in_hour = |hour: u32| format!("kafka_topic = '{topic}' and toStartOfHour(time) = toDateTime({hour}, 'UTC')");
    let place = |hour: u32, order: &str| -> (i32, i64) {
        world.flow.bed.one(&format!(
            "select kafka_partition, kafka_offset from metrics where {} order by kafka_partition, kafka_offset {order} limit 1",
            in_hour(hour)
        ))
    };
    let at = |(partition, offset)| format!("kafka_partition = {partition} and kafka_offset = {offset}");
    let delete = |hour: u32, row: (i32, i64)| {
        let statement = format!("delete from metrics where {} and {}", in_hour(hour), at(row));
        world.flow.bed.execute(&statement);
    };
    let copy = |hour: u32, row: (i32, i64), offset: i64| {
        world.flow.bed.execute(&format!(
            "insert into metrics select * replace (toInt64({offset}) as kafka_offset, now64(3) as inserted_at) \
             from (select * from metrics where {} and {})",
            in_hour(hour),
            at(row)
        ));
    };

    let (first, last) = (place(doubled, "asc"), place(doubled, "desc"));
    delete(doubled, last);
    copy(doubled, first, first.1);
    // Of the newest batch of the partition of the first row.
    let never_seen: i64 = world.flow.bed.one(&format!(
        "select max(kafka_offset) from metrics where {} and kafka_partition = {}",
        in_hour(other),
        first.0
    ));
    let row = place(replaced, "asc");
    copy(replaced, row, never_seen);
    delete(replaced, row);
    let (row, at_most) = (place(more, "asc"), never_seen - 1);
    copy(more, row, at_most);
    for hour in [doubled, replaced] {
        let rows = world.count(&format!("metrics where {}", in_hour(hour)));
        assert_eq!(rows, 72, "as many as the ledger counts");
    }

    let refusal = |hour: u32| world.run(&command("rebuild", hour, hour + 3_600, &[]));
    let refused = refusal(doubled);
    let said = format!(
        "raw rows of {} are stored more than once, first in {topic}/{}",
        show(doubled),
        first.0
    );
    assert!(refused.code == 1 && refused.text.contains(&said), "{}", refused.text);
    let refused = refusal(replaced);
    let said = format!("raw rows have expired or are missing of {} (1 records)", show(replaced));
    assert!(refused.code == 1 && refused.text.contains(&said), "{}", refused.text);
    world.assert_visible(from, other, &was);

    let rebuilt = world.rebuild(more, more + 3_600, &[]);
    assert!(
        rebuilt.contains(" 73 records"),
        "what was never aggregated is welcome: {rebuilt}"
    );
    world.rebuild(from, other, &["--source", "kafka"]);
    world.assert_visible(from, other, &was);
}

#[test]
fn an_unfinished_rebuild_can_be_given_up() {
    let mut world = world();
    let from = world.take_hours(1);
    let was = world.visible(from, from + 3_600);
    let args = command("rebuild", from, from + 3_600, &[]);
    world.run_with(&args, &[("HOROLOG_CRASH_AT", "rebuild-part")]);
    let number: u32 = world.flow.bed.one("select max(number) from rebuilds");
    let ended = world.run(&["rebuild", "--abandon", &number.to_string()]);
    assert_eq!(ended.code, 0, "{}", ended.text);
    world.assert_visible(from, from + 3_600, &was);
    assert!(
        world
            .rebuild(from, from + 3_600, &["--json"])
            .contains(&format!("\"rebuild\":{}", number + 1))
    );
    world.assert_visible(from, from + 3_600, &was);
    assert_eq!(world.run(&["rebuild", "--abandon", &number.to_string()]).code, 1);
}

#[test]
fn bad_arguments_name_what_to_change() {
    let world = world();
    for (args, said) in [
        (
            &["rebuild", "--from", "2026-01-01T00:30", "--to", "2026-01-02"][..],
            "expected the start of an hour",
        ),
        (
            &["rebuild", "--from", "2026-01-02", "--to", "2026-01-01"],
            "--to must be after --from",
        ),
        (&["rebuild", "--from", "2026-01-02"], "--to"),
        (&["verify", "--from", "tomorrow"], "--from"),
    ] {
        let ended = world.run(args);
        assert!(ended.code != 0 && ended.text.contains(said), "{args:?}: {}", ended.text);
    }
}
