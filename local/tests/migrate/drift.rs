//! Planted drift: `check` names each difference, with what it expected and what it found, and nothing else.

use crate::target::Target;

/// What is done to the live schema, and what `check` has to say about it.
const DRIFT: &[(&str, &str)] = &[
    (
        "alter table metrics add column extra String",
        "metrics.extra: column: expected none, found String",
    ),
    (
        "alter table metrics drop column unit",
        "metrics.unit: column: expected LowCardinality(String), found none",
    ),
    (
        "alter table audit_logs modify column action String",
        "audit_logs.action: type: expected LowCardinality(String), found String",
    ),
    (
        "alter table audit_logs modify column team_id default 'x'",
        "audit_logs.team_id: default: expected none, found 'x'",
    ),
    (
        "alter table metrics modify column value codec(Gorilla, Default)",
        "metrics.value: codec: expected none, found (Gorilla(8), Default)",
    ),
    (
        "alter table metrics modify column time codec(ZSTD(3))",
        "metrics.time: codec: expected (GCD, DoubleDelta, Default), found (ZSTD(3))",
    ),
    (
        "alter table metrics modify column user_id ttl toDateTime(time) + interval 1 day",
        "metrics.user_id: ttl: expected none, found toDateTime(time) + toIntervalDay(1)",
    ),
    (
        "alter table batch_ledger modify column rows comment 'other'",
        "batch_ledger.rows: comment: expected none, found 'other'",
    ),
    (
        "alter table metrics_hourly modify ttl hour + interval 3 month",
        "metrics_hourly: ttl: expected hour + toIntervalMonth(25), found hour + toIntervalMonth(3)",
    ),
    (
        "alter table audit_logs drop index users",
        "audit_logs: index users: expected user_id TYPE bloom_filter(0.01) GRANULARITY 1, found none",
    ),
    (
        "alter table metrics add index extra value type minmax granularity 1",
        "metrics: index extra: expected none, found value TYPE minmax GRANULARITY 1",
    ),
    (
        "alter table metrics drop constraint lease",
        "metrics: constraint lease: expected CHECK (inserted_at > (now64(3) - toIntervalSecond(60))) AND (inserted_at < (now64(3) + toIntervalSecond(60))), found none",
    ),
    (
        "alter table metrics modify setting ttl_only_drop_parts = 0",
        "metrics: setting ttl_only_drop_parts: expected 1, found 0",
    ),
    (
        "alter table metrics modify setting non_replicated_deduplication_window = 5",
        "metrics: setting non_replicated_deduplication_window: expected 100000, found 5",
    ),
    (
        "create table stranger (a UInt8) engine = Memory",
        "stranger: exists: expected none, found table",
    ),
];

/// A table of its own, made again with one clause of its text changed.
fn remake(target: &Target, table: &str, from: &str, to: &str) {
    let text: String = target.one(&format!(
        "select create_table_query from system.tables where database = '{}' and name = '{table}'",
        target.database
    ));
    assert!(text.contains(from), "{text}");
    target.execute(&format!("drop table {table} sync"));
    target.execute(&text.replacen(from, to, 1));
}

#[test]
fn every_planted_difference_is_named_and_nothing_else() {
    let target = Target::migrated();
    DRIFT.iter().for_each(|(statement, _)| target.execute(statement));
    let mut expected: Vec<&str> = DRIFT.iter().map(|(_, difference)| *difference).collect();
    expected.sort_unstable();
    let mut found = target.check();
    found.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn a_table_made_with_another_key_or_engine_is_named() {
    let target = Target::migrated();
    remake(&target, "rejected_records", "ORDER BY (kafka_topic, ", "ORDER BY (");
    remake(
        &target,
        "batch_ledger",
        "PARTITION BY toYYYYMM(inserted_at)",
        "PARTITION BY toYear(inserted_at)",
    );
    remake(
        &target,
        "partition_progress",
        "AggregatingMergeTree",
        "ReplacingMergeTree",
    );
    let order = "ORDER BY (tenant_id, occurred_at, event_id)";
    remake(&target, "audit_logs", order, &format!("PRIMARY KEY tenant_id {order}"));
    assert_eq!(
        target.check(),
        [
            "audit_logs: primary key: expected none, found tenant_id",
            "batch_ledger: partition by: expected toYYYYMM(inserted_at), found toYear(inserted_at)",
            "partition_progress: engine: expected AggregatingMergeTree, found ReplacingMergeTree",
            "rejected_records: order by: expected (kafka_topic, kafka_partition, kafka_offset), \
             found (kafka_partition, kafka_offset)",
        ]
    );
}

#[test]
fn a_changed_view_is_named_with_the_place() {
    let target = Target::migrated();
    remake(&target, "metrics_hourly_view", "quantile_at(0.95)", "quantile_at(0.90)");
    let found = target.check();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("metrics_hourly_view: query: expected "),
        "{found:?}"
    );
    assert!(
        found[0].contains("quantile_at(0.95) AS p95") && found[0].contains("quantile_at(0.9) AS p95"),
        "{found:?}"
    );
}

#[test]
fn missing_tables_and_views_are_named() {
    let target = Target::migrated();
    target.execute("drop view metrics_hourly_view");
    target.execute("drop table partition_progress sync");
    assert_eq!(
        target.check(),
        [
            "metrics_hourly_view: exists: expected view, found none",
            "partition_progress: exists: expected table, found none"
        ]
    );
}

#[test]
fn a_parameter_that_was_changed_after_the_tables_were_made_is_drift() {
    let target = Target::migrated();
    let run = target.migrate(&["check", "--set", "tables.lease_seconds=30"]);
    assert_eq!(run.code, 1);
    assert!(
        run.stdout
            .contains("metrics: constraint lease: expected CHECK (inserted_at > (now64(3) - toIntervalSecond(30)))")
    );
    let run = target.migrate(&["check", "--set", "tables.engine=replicated"]);
    assert!(
        run.stdout
            .contains("metrics: engine: expected ReplicatedMergeTree, found MergeTree"),
        "{run:?}"
    );
    assert!(
        run.stdout
            .contains("batch_ledger: engine: expected ReplicatedReplacingMergeTree(version)"),
        "{run:?}"
    );
}

#[test]
fn check_leaves_no_scratch_database_and_drops_an_abandoned_one() {
    let target = Target::migrated();
    let abandoned = format!("{}_check_killed", target.database);
    target.execute(&format!("create database {abandoned} comment '1700000000'"));
    assert_eq!(target.check(), [""; 0]);
    let left: Vec<String> = target.rows(&format!(
        "select name from system.databases where startsWith(name, '{}_check_')",
        target.database
    ));
    assert_eq!(left, [""; 0]);
}
