//! Up and down: what is applied, recorded and refused.

use horolog_schemas::migrate::{MIGRATIONS, MigrateError, require_current};
use serde_json::Value;

use crate::target::Target;

const ONE_SAMPLE: &str =
    "insert into metrics (tenant_id, time, metric_name, inserted_at) values ('demo', now64(6), 'm', now64(3))";

fn ids() -> Vec<&'static str> {
    MIGRATIONS.iter().map(|migration| migration.id).collect()
}

#[test]
fn up_applies_and_records_everything_once() {
    let target = Target::new();
    let applied: Vec<String> = ids().iter().map(|id| format!("applied {id}")).collect();
    let run = target.migrate(&["up"]).done();
    assert_eq!(run.lines()[..applied.len()], applied);
    assert_eq!(target.migrate(&["up"]).done().lines(), ["nothing to do"]);
    assert_eq!(target.check(), [""; 0]);
    let recorded: Vec<String> = target.rows("select name from schema_migrations where action = 'up' order by sequence");
    assert_eq!(recorded, ids());
}

#[test]
fn status_shows_what_is_applied_and_what_is_pending() {
    let target = Target::new();
    let pending = target.migrate(&["status"]).done();
    assert!(
        pending.lines().iter().all(|line| line.contains("pending")),
        "{pending:?}"
    );
    target.migrate(&["up", "--to", "2"]).done();
    let status: Value = serde_json::from_str(&target.migrate(&["status", "--json"]).done().stdout).unwrap();
    assert_eq!(status["current"], false);
    assert_eq!(status["lock"], Value::Null);
    let states: Vec<&str> = status["migrations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["state"].as_str().unwrap())
        .collect();
    assert_eq!(states[..3], ["applied", "applied", "pending"]);
}

#[test]
fn the_way_back_leads_to_the_same_schema_again() {
    let target = Target::migrated();
    for version in (0..MIGRATIONS.len()).rev() {
        target.migrate(&["down", "--to", &version.to_string()]).done();
        let id = ids()[version];
        assert!(
            target
                .check()
                .contains(&format!("migration {id}: state: expected applied, found none"))
        );
    }
    assert_eq!(target.tables(), ["schema_migrations"]);
    target.migrate(&["up"]).done();
    assert_eq!(target.check(), [""; 0]);
}

#[test]
fn a_step_that_was_done_but_not_recorded_is_done_again() {
    let target = Target::migrated();
    target.execute("alter table schema_migrations delete where version >= 3 settings mutations_sync = 2");
    let run = target.migrate(&["up"]).done();
    assert_eq!(
        run.lines(),
        ids()[2..].iter().map(|id| format!("applied {id}")).collect::<Vec<_>>()
    );
    assert_eq!(target.check(), [""; 0]);
}

#[test]
fn a_way_back_that_was_interrupted_is_ended_by_going_on_and_by_going_forth() {
    let target = Target::migrated();
    let (newest, before) = (MIGRATIONS.len(), MIGRATIONS.len() - 1);
    let id = ids()[before];
    let begin = || {
        target.execute(&format!(
            "insert into schema_migrations select (select max(sequence) from schema_migrations) + 1, version, name, 'down', checksum, \
             recorded_at, recorded_by from schema_migrations where version = {newest} limit 1"
        ));
    };
    begin();
    target.execute(&format!("drop table {}", &id[5..]));
    assert_eq!(target.migrate(&["up"]).done().lines()[0], format!("applied {id}"));
    assert_eq!(target.check(), [""; 0]);
    begin();
    let back = || target.migrate(&["down", "--to", &before.to_string()]).done();
    assert_eq!(back().lines(), [format!("reverted {id}")]);
    assert!(!target.tables().contains(&id[5..].to_owned()));
    assert_eq!(back().lines(), ["nothing to do"]);
}

#[test]
fn down_refuses_to_drop_rows_and_names_table_and_count() {
    let target = Target::migrated();
    target.execute(ONE_SAMPLE);
    target
        .migrate(&["down", "--to", "0"])
        .refused("refused to destroy data: metrics has 1 rows");
    assert_eq!(target.check(), [""; 0], "nothing was taken back");
    target.migrate(&["down", "--to", "1"]).done();
    target.migrate(&["down", "--to", "0", "--destroy-data"]).done();
    assert_eq!(target.tables(), ["schema_migrations"]);
}

#[test]
fn an_applied_migration_that_was_changed_is_refused_by_name() {
    let target = Target::migrated();
    target.execute(
        "insert into schema_migrations select 1000, version, name, action, 'other', recorded_at, recorded_by \
         from schema_migrations where version = 4",
    );
    for args in [&["up"][..], &["down", "--to", "0"]] {
        target
            .migrate(args)
            .refused("migration 0004_batch_ledger was changed after it was applied");
    }
    let expected = "migration 0004_batch_ledger: state: expected applied as it is now, found applied as it was before";
    assert_eq!(target.check(), [expected]);
    let refused = target.block_on(require_current(&target.client()));
    assert!(matches!(refused, Err(MigrateError::Changed { id }) if id == "0004_batch_ledger"));
}

#[test]
fn going_back_a_release_changes_nothing() {
    let target = Target::migrated();
    target.execute("insert into schema_migrations values (1000, 9999, '9999_later', 'up', 'x', now64(3), 'test')");
    let said = target.migrate(&["up", "--set", "retention.metrics_days=40"]).done();
    assert_eq!(
        said.lines(),
        ["nothing to do: a newer release has migrated the tables (9999_later); this release works with them"]
    );
    assert!(target.block_on(require_current(&target.client())).is_ok());
    target
        .migrate(&["down", "--to", "0"])
        .refused("migration 9999_later is applied but unknown here");
}

#[test]
fn a_service_that_starts_too_early_is_told_what_to_run() {
    let target = Target::new();
    let error = |target: &Target| {
        target
            .block_on(require_current(&target.client()))
            .unwrap_err()
            .to_string()
    };
    assert!(
        error(&target).ends_with("run `horolog-migrate up`"),
        "without a database"
    );
    target.migrate(&["up", "--to", "6"]).done();
    let lacks = error(&target);
    assert!(
        lacks.starts_with(&format!("database {} lacks 0007_rebuilds, 0008_", target.database)),
        "{lacks}"
    );
    assert!(lacks.ends_with(": run `horolog-migrate up`"), "{lacks}");
}

#[test]
fn what_cannot_work_is_one_line_that_names_what_to_change() {
    let target = Target::new();
    target
        .migrate(&["up", "--to", "99"])
        .refused("--to 99: the last migration is");
    target
        .migrate(&["up", "--set", "retention.audit_days=730"])
        .refused("retention.audit_days = 730 is below its minimum");
    target
        .migrate(&["up", "--set", "tables.storage_policy=nowhere"])
        .refused("is tables.storage_policy right?");
    target
        .migrate(&["up", "--user", "nobody"])
        .refused("are clickhouse.user and clickhouse.password_file right?");
    let mut command = target.command(&["up"]);
    let run: crate::target::Run = command
        .args(["--set", "tables.lease_seconds=0"])
        .output()
        .unwrap()
        .into();
    run.refused("tables.lease_seconds must be at least 1");
}

/// The embedded engine is no part of a cluster, so this is as far as a cluster's tables get here: understood, then
/// refused for what is missing. The first table is that of the history, which comes from the same template.
#[test]
fn the_statements_for_a_cluster_are_understood() {
    let target = Target::new();
    target
        .migrate(&["up", "--set", "tables.engine=replicated"])
        .refused("No macro 'shard' in config");
    let nowhere = ["up", "--set", "tables.cluster=nowhere"];
    target.migrate(&nowhere).refused("tables.cluster = nowhere: ");
    target
        .migrate(&[&nowhere[..], &["--set", "tables.engine=replicated"]].concat())
        .refused("Requested cluster 'nowhere' not found");
}
