//! One runner at a time; a dead one's lock is freed by a command that the error names.

use std::process::Stdio;
use std::sync::atomic::AtomicBool;

use horolog_schemas::migrate::{Layout, MigrateError, Retention, RunOptions, Runner, Server, up};

use crate::target::{Run, Target};

const DEAD_RUNNER: &str = "create table schema_migrations_lock (holder String) engine = Memory comment 'elsewhere, process 7, up, since 2026-01-01'";

#[test]
fn runners_that_start_together_apply_everything_once() {
    let target = Target::new();
    let start = || {
        target
            .command(&["up"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let runners: Vec<_> = (0..4).map(|_| start()).collect();
    let runs: Vec<Run> = runners
        .into_iter()
        .map(|runner| runner.wait_with_output().unwrap().into())
        .collect();
    let (done, refused): (Vec<Run>, Vec<Run>) = runs.into_iter().partition(|run| run.code == 0);
    assert!(!done.is_empty(), "{refused:?}");
    refused
        .into_iter()
        .for_each(|run| run.refused("another run holds the lock"));
    let twice: u64 =
        target.one("select countIf(n > 1) from (select count() as n from schema_migrations group by version)");
    assert_eq!(twice, 0);
    assert_eq!(target.check(), [""; 0]);
}

#[test]
fn the_lock_of_a_dead_runner_is_freed_by_the_command_that_the_error_names() {
    let target = Target::migrated();
    target.execute(DEAD_RUNNER);
    let run = target.migrate(&["down", "--to", "6"]);
    run.refused(
        "another run holds the lock (elsewhere, process 7, up, since 2026-01-01); if it is dead, \
         run `horolog-migrate down --to 6 --break-lock`",
    );
    assert!(
        target
            .migrate(&["status"])
            .done()
            .stdout
            .contains("locked by elsewhere, process 7")
    );
    target.migrate(&["down", "--to", "6", "--break-lock"]).done();
    assert!(!target.tables().contains(&"schema_migrations_lock".to_owned()));
    target.migrate(&["up", "--break-lock"]).done();
}

#[test]
fn a_run_that_fails_or_is_interrupted_gives_its_lock_back() {
    let target = Target::new();
    target
        .migrate(&["up", "--set", "tables.storage_policy=nowhere"])
        .refused("nowhere");
    let server = Server::new(
        target.client(),
        &target.database,
        Layout::default(),
        Retention::default(),
    )
    .unwrap();
    let interrupted = AtomicBool::new(true);
    let options = RunOptions {
        runner: Runner::this_process("up"),
        break_lock: false,
        interrupted: &interrupted,
    };
    assert!(matches!(
        target.block_on(up(&server, None, false, &options)),
        Err(MigrateError::Interrupted)
    ));
    assert_eq!(target.tables(), ["schema_migrations"]);
    target.migrate(&["up"]).done();
}
