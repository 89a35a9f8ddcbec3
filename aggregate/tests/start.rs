//! An error at the start ends the binary, and the last line it prints names the setting to change.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::process::Command;

fn refused(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_horolog-aggregate"));
    // Even if backtraces are on, none of their lines is for the operator.
    let ended = command.args(arguments).env("RUST_BACKTRACE", "1").output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{said}");
    // librdkafka's log lines about a missing broker may precede it.
    let last = said.lines().last().unwrap_or_default();
    assert!(last.starts_with("horolog-aggregate: "), "{said}");
    last.to_owned()
}

#[test]
fn an_unknown_key_is_named() {
    assert!(refused(&["--set", "aggregate.wokers=2"]).contains("aggregate.wokers"));
}

#[test]
fn an_unreachable_store_is_named_with_its_setting() {
    assert!(refused(&["--set", "clickhouse.url=http://127.0.0.1:1"]).contains("clickhouse.url"));
}

#[test]
fn a_missing_schema_folder_is_named() {
    assert!(refused(&["--set", "source.schema_folder=/nowhere/schemas"]).contains("/nowhere/schemas"));
}
