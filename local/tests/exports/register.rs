//! What is known of an export when its files are gone.

use std::path::Path;
use std::process::Command;

use horolog_local::stack::Ports;
use serde_json::json;

use crate::bed::{Bed, Proc, http, wait_until};
use crate::client::{assert_is_problem, ready, send, wait_until_ready};
use crate::history::insert_history;
use crate::requester::{DEADLINE, EXPORTS, export, look};
use crate::s3::settings_at;

/// The default topic of the journal.
const JOURNAL_TOPIC: &str = "horolog-journal";

/// Columns of an export's row, as one line each.
fn registered(id: &str, columns: &str) -> Vec<String> {
    let row = format!("select toString(tuple({columns})) from audit_exports final where export_id = '{id}'");
    Bed::shared().sql::<String>(&row)
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(copied.success());
}

#[test]
fn who_took_what_stays_known_when_the_files_are_removed_and_a_restored_folder_does_not_bring_them_back() {
    insert_history("registered", 113, 2_000);
    let mut service = ready(Bed::shared(), &[]);
    let asked = json!({"format": "csv", "compression": "gzip", "filter": {"status": "failure"}});
    let (export, folder) = export(&service, "registered", &asked);
    let text = |member: &str| export[member].as_str().unwrap().to_owned();
    let (id, files) = (text("id"), export["files"].as_array().unwrap().len());
    let expected = format!(
        "('registered','failure','csv','gzip','complete',{},{files},{},'{}','{}',NULL)",
        export["rows"],
        export["bytes"],
        text("digest"),
        text("requested_by"),
    );
    let columns = "tenant, filter['status'], format, compression, state, rows, files, bytes, digest, requested_by";
    wait_until(DEADLINE, "the export is in the table", || {
        registered(&id, &format!("{columns}, removed_at")) == [expected.as_str()]
    });

    let kept = tempfile::tempdir().unwrap();
    let root = folder.parent().unwrap();
    let work = root.join(".jobs").join(&id);
    copy(&folder, &kept.path().join("files"));
    copy(&work, &kept.path().join("work"));
    let url = format!("{}{EXPORTS}/{id}?tenant_id=registered", service.http());
    assert_eq!(send(Bed::shared(), http().delete(url)).status, 204);
    assert!(!folder.exists() && !work.exists());
    let removed = || registered(&id, &format!("{columns}, removed_at is not null"));
    wait_until(DEADLINE, "its removal is in the table", || {
        removed() == [expected.replace("NULL", "1")]
    });

    service.kill9();
    copy(&kept.path().join("files"), &folder);
    copy(&kept.path().join("work"), &work);
    service.restart();
    wait_until_ready(Bed::shared(), &mut service);
    wait_until(DEADLINE, "what came back is removed again", || {
        !folder.exists() && !work.exists()
    });
    assert_eq!(look(&service, "registered", &format!("/{id}")).status, 404);
    assert_eq!(removed(), [expected.replace("NULL", "1")]);
}

/// Sets how large a record the journal of a bed accepts.
fn take_bytes(bed: &Bed, max: &str) {
    bed.set_topic(
        JOURNAL_TOPIC,
        &[("cleanup.policy", "compact"), ("max.message.bytes", max)],
    );
}

#[test]
fn an_export_that_the_journal_does_not_take_is_not_made() {
    let bed = Bed::start();
    let service = ready(&bed, &[]);
    let url = format!("{}{EXPORTS}?tenant_id=unregistered", service.http());
    let ask = || send(&bed, http().post(&url).json(&json!({})));
    let list = || send(&bed, http().get(&url)).json()["rows"].as_array().unwrap().len();
    take_bytes(&bed, "100");
    let refused = ask();
    assert_eq!(refused.status, 503, "{}", refused.text);
    assert_is_problem(&refused);
    wait_until(DEADLINE, "nothing is left of it", || list() == 0);
    take_bytes(&bed, "1000000");
    wait_until(DEADLINE, "the journal takes exports again", || ask().status == 202);
    assert_eq!(list(), 1);
}

#[test]
fn an_export_that_was_not_accepted_and_cannot_be_removed_does_not_run_after_the_next_start() {
    let bed = Bed::start();
    // Nothing answers at its bucket's address, so it stays in the folder.
    let nobody = format!("http://127.0.0.1:{}", Ports::free().unwrap().query);
    let mut service = ready(&bed, &settings_at(&nobody, "unaccepted"));
    let url = |service: &Proc| format!("{}{EXPORTS}?tenant_id=unaccepted", service.http());
    take_bytes(&bed, "100");
    let refused = send(&bed, http().post(url(&service)).json(&json!({})));
    assert_eq!(refused.status, 503, "{}", refused.text);
    service.kill9();
    service.restart();
    wait_until_ready(&bed, &mut service);
    let listed = send(&bed, http().get(url(&service))).json();
    let states: Vec<_> = listed["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|export| (export["state"].as_str().unwrap(), export["error"].as_str().unwrap()))
        .collect();
    assert_eq!(states, [("failed", "it was not accepted")]);
}
