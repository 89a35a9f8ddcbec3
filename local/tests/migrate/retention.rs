//! Retention as `horolog-migrate up` sets it: which parts are recompressed, moved and dropped, from `system.parts`.

use std::time::Duration;

use crate::bed::wait_until;
use crate::target::Target;

/// The engine looks for expired parts every few seconds.
const MERGES: Duration = Duration::from_secs(300);
/// The engine of a test bed has this policy with the volume `cold`.
const TIERED: &str = "--set=tables.storage_policy=tiered";
const SHORTEN: &str = "--shorten-retention";

/// One row that is `days` old.
fn insert(target: &Target, table: &str, columns: &str, values: &str, days: u32) {
    let values = values.replace("{time}", &format!("now64(6) - interval {days} day"));
    target.execute(&format!(
        "insert into {table} ({columns}, inserted_at) select {values}, now64(3)"
    ));
}

/// Rows, codec and disk of every part that has rows, oldest first.
fn parts(target: &Target, table: &str) -> Vec<(u64, String, String)> {
    target.rows(&format!(
        "select rows, default_compression_codec, disk_name from system.parts \
         where database = '{}' and table = '{table}' and active and rows > 0 order by partition",
        target.database
    ))
}

fn part(codec: &str, disk: &str) -> (u64, String, String) {
    (1, codec.to_owned(), disk.to_owned())
}

#[track_caller]
fn wait_for(target: &Target, table: &str, expected: &[(u64, String, String)]) {
    wait_until(MERGES, &format!("parts of {table} are {expected:?}"), || {
        parts(target, table) == expected
    });
}

#[test]
fn old_samples_are_recompressed_and_then_deleted() {
    let target = Target::new();
    target.migrate(&["up", TIERED]).done();
    for days in [1, 10, 40] {
        insert(
            &target,
            "metrics",
            "tenant_id, metric_name, time",
            "'demo', 'm', {time}",
            days,
        );
    }
    wait_for(&target, "metrics", &[part("ZSTD(9)", "hot"), part("ZSTD(5)", "hot")]);
}

#[test]
fn old_audit_events_are_recompressed_and_moved_and_much_later_deleted() {
    let target = Target::new();
    target.migrate(&["up", TIERED]).done();
    for days in [1, 40, 100, 2_600] {
        let values = "generateUUIDv4(), 'demo', {time}, 'create'";
        insert(
            &target,
            "audit_logs",
            "event_id, tenant_id, occurred_at, action",
            values,
            days,
        );
    }
    let expected = [part("ZSTD(9)", "cold"), part("ZSTD(9)", "hot"), part("ZSTD(3)", "hot")];
    wait_for(&target, "audit_logs", &expected);
}

#[test]
fn the_ledger_outlives_the_events_that_it_vouches_for() {
    let target = Target::new();
    target.migrate(&["up", TIERED]).done();
    target.execute("alter table batch_ledger drop constraint lease"); // which lets nothing old in
    for days in [2_600, 2_700] {
        let values = "generateUUIDv4(), 'demo', {time}";
        insert(&target, "audit_logs", "event_id, tenant_id, occurred_at", values, days);
        target.execute(&format!(
            "insert into batch_ledger (stage, start_offset, inserted_at) select 'ingest', {days}, now64(3) - interval {days} day"
        ));
    }
    wait_until(
        MERGES,
        "the events are gone, and the ledger's row of the older one",
        || {
            let vouched = target.rows::<i64>("select start_offset from batch_ledger");
            parts(&target, "audit_logs").is_empty() && vouched == [2_600]
        },
    );
}

#[test]
fn rejected_records_live_as_long_as_their_kind_from_when_they_came() {
    let target = Target::new();
    target.migrate(&["up", TIERED]).done();
    target.execute("alter table rejected_records drop constraint lease"); // which lets nothing old in
    let insert = |kind: &str, came_days: u32, timestamp: &str| {
        target.execute(&format!(
            "insert into rejected_records (kind, kafka_topic, kafka_timestamp, inserted_at) \
             select '{kind}', '{kind} {came_days}', toDateTime64('{timestamp}', 3), now64(3) - interval {came_days} day"
        ));
    };
    for kind in ["audit_event", "metric_sample"] {
        insert(kind, 500, "2026-01-01 00:00:00");
        insert(kind, 2_600, "2026-02-01 00:00:00");
        insert(kind, 0, "1970-01-21 00:00:00"); // a producer that wrote seconds as milliseconds
    }
    let recompressed = || target.rows::<String>(&topics("default_compression_codec = 'ZSTD(9)'"));
    let kept = || target.rows::<String>(&topics("1"));
    wait_until(
        MERGES,
        "what is expired is gone and what is old is recompressed",
        || recompressed() == ["audit_event 500"] && kept().len() == 3,
    );
    assert_eq!(kept(), ["audit_event 0", "audit_event 500", "metric_sample 0"]);
}

/// Topics of the rejected records in parts that fulfil `condition`.
fn topics(condition: &str) -> String {
    format!(
        "select distinct toString(kafka_topic) from rejected_records where _part in (select name from system.parts where \
         database = currentDatabase() and table = 'rejected_records' and active and {condition}) order by all"
    )
}

#[test]
fn keep_all_deletes_nothing_and_still_recompresses() {
    let target = Target::new();
    target.migrate(&["up", TIERED, "--set=retention.keep_all=true"]).done();
    for days in [10, 4_000] {
        insert(
            &target,
            "metrics",
            "tenant_id, metric_name, time",
            "'demo', 'm', {time}",
            days,
        );
    }
    wait_for(&target, "metrics", &[part("ZSTD(9)", "hot"), part("ZSTD(9)", "hot")]);
}

#[test]
fn a_changed_retention_is_applied_once_and_only_where_it_differs() {
    let target = Target::migrated();
    let keep_all = "--set=retention.keep_all=true";
    let of_hours = [
        "metrics_hourly",
        "daily_rollups",
        "hourly_totals",
        "daily_totals",
        "counter_hourly",
        "counter_revisions",
        "hour_revisions",
        "incidents",
    ];
    let others = [
        "metrics",
        "audit_logs",
        "audit_event_ids",
        "rejected_records",
        "batch_ledger",
        "replayed_records",
    ];
    let set = |table: &&str| format!("set the retention of {table}");
    let hourly: Vec<String> = of_hours.iter().map(set).collect();
    let lines: Vec<String> = others.iter().chain(&of_hours).map(set).collect();
    assert!(
        target
            .migrate(&["check", keep_all])
            .stdout
            .contains("metrics_hourly: ttl: expected none, found hour")
    );
    assert_eq!(target.migrate(&["up", keep_all]).done().lines(), lines);
    assert_eq!(target.migrate(&["up", keep_all]).done().lines(), ["nothing to do"]);
    target.migrate(&["check", keep_all]).done();
    target.migrate(&["up"]).refused("metrics from unlimited to 30 days");
    assert_eq!(target.migrate(&["up", SHORTEN]).done().lines(), lines);
    let longer = target.migrate(&["up", "--set", "retention.hourly_months=26"]).done();
    assert_eq!(longer.lines(), hourly);
}

#[test]
fn a_run_without_the_settings_of_the_installation_shortens_nothing() {
    let target = Target::new();
    let settings = [
        TIERED,
        "--set=retention.metrics_days=365",
        "--set=retention.audit_days=3650",
    ];
    let installation = [&["up"][..], &settings].concat();
    target.migrate(&installation).done();
    target.migrate(&["up", "--set", "tables.row_policies=true"]).refused(
        "refused to shorten the retention: metrics from 365 days to 30 days, \
         audit_logs from 3650 days to 2555 days and no longer moved to VOLUME 'cold', \
         audit_event_ids from 3712 days to 2617 days, \
         rejected_records from 13 months or 3650 days to 13 months or 2555 days, \
         batch_ledger from 3712 days to 2617 days, replayed_records from 3650 days to 2555 days; \
         use the settings of the installation again",
    );
    assert_eq!(target.migrate(&installation).done().lines(), ["nothing to do"]);
    let metrics_only = ["up", TIERED, "--set=retention.audit_days=3650", SHORTEN];
    let shortened = target.migrate(&metrics_only).done();
    assert_eq!(shortened.lines(), ["set the retention of metrics"]);
}

#[test]
fn a_table_that_was_never_given_a_ttl_gets_one_unless_that_deletes_rows() {
    let target = Target::migrated();
    let set = ["set the retention of incidents"];
    target.execute("alter table incidents remove ttl"); // as an interrupted run leaves it
    assert_eq!(target.migrate(&["up"]).done().lines(), set);
    target.execute("alter table incidents remove ttl");
    insert(&target, "incidents", "stage", "'ingest'", 0);
    target
        .migrate(&["up"])
        .refused("refused to shorten the retention: incidents from unlimited to 25 months;");
    assert_eq!(target.migrate(&["up", SHORTEN]).done().lines(), set);
}
