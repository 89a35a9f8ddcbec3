//! The web page in a real browser: `page/page.mjs` drives it, axe judges it. `page/docs.mjs` drives the page of the
//! description.
//!
//! The browser comes from the distribution; its driver is installed once from npm, verified by checksums.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use horolog_local::setup::{Package, browser, require};
use serde_json::json;

use crate::asking::make_key;
use crate::bed::Bed;
use crate::client::service;
use crate::rows::{
    decide_counter_hour, insert_counter_hour, insert_event, insert_hours, insert_rejected, vouch_for_events,
};

const TENANT: &str = "page";

#[test]
fn every_view_works_and_is_accessible_in_a_real_browser() {
    records();
    drive("page.mjs");
}

#[test]
fn the_page_of_the_description_asks_with_a_key_in_a_real_browser() {
    drive("docs.mjs");
}

/// Runs a script against the service; panics if the script fails.
fn drive(script: &str) {
    require(&[Package::Chromium, Package::Npm]).unwrap();
    let mut keys = ["auditor", "analyst", "admin"]
        .map(|role| (role.to_owned(), json!(Bed::shared().key(role))))
        .to_vec();
    keys.push((
        "tenant-admin".to_owned(),
        json!(make_key("admin", TENANT, json!({})).token),
    ));
    let output = Command::new("node")
        .arg(tools().join(script))
        .env("PAGE_URL", service().http())
        .env("CHROMIUM", browser().unwrap())
        .env("KEYS", json!(serde_json::Map::from_iter(keys)).to_string())
        .env("TENANT", TENANT)
        .output()
        .unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    println!("{said}");
    assert!(output.status.success(), "{said}");
}

/// A day of two metrics, one event that changed something, and more events than a page holds.
fn records() {
    insert_hours(TENANT, 24);
    insert_rejected(TENANT, 0, "validate", "time_too_early");
    insert_counter_hour(TENANT, 3, "api", "", 1, 60, 7_200.0);
    decide_counter_hour(TENANT, 3, 1, 1);
    vouch_for_events();
    insert_event(
        TENANT,
        1,
        &[
            ("user_id", "'bob'"),
            (
                "old_value",
                r#"'{"title": "Budget", "owner": {"name": "ann"}, "draft": true}'"#,
            ),
            (
                "new_value",
                r#"'{"title": "Budget", "owner": {"name": "bob"}, "tags": ["x"]}'"#,
            ),
            ("status", "'failure'"),
        ],
    );
    Bed::shared().execute(&format!(
        "insert into audit_logs (event_id, tenant_id, occurred_at, user_id, source, action, resource_type, resource_id, \
         status, kafka_topic, kafka_partition, kafka_offset, kafka_timestamp, log_epoch, inserted_at) \
         select generateUUIDv4(), '{TENANT}', toDateTime64('2026-01-02 00:00:00', 6, 'UTC') + number, 'many', 'ui', 'view', \
         'doc', 'd2', 'success', 'audit-events', 1, number, toDateTime64('2026-01-02 00:00:00', 3, 'UTC'), 1, now64(3) \
         from numbers(120)"
    ));
}

/// The folder with the scripts and what they need, made once and kept with the build.
fn tools() -> &'static Path {
    static TOOLS: OnceLock<PathBuf> = OnceLock::new();
    TOOLS.get_or_init(install)
}

fn install() -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/query/page");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
    std::fs::create_dir_all(&folder).unwrap();
    let lock = "package-lock.json";
    let wanted = std::fs::read_to_string(source.join(lock)).unwrap();
    // Written last: an installation that was cut off half-way is made again.
    let complete = folder.join("node_modules/complete");
    for entry in std::fs::read_dir(&source).unwrap() {
        let file = entry.unwrap();
        std::fs::copy(file.path(), folder.join(file.file_name())).unwrap();
    }
    if !std::fs::read_to_string(&complete).is_ok_and(|installed| installed == wanted) {
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
        npm.args(["--fetch-retries", "5"]);
        let output = npm.current_dir(&folder).output().unwrap();
        assert!(
            output.status.success(),
            "npm ci: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        std::fs::write(complete, wanted).unwrap();
    }
    folder
}
