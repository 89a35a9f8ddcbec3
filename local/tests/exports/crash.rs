//! An export outlives the process that writes it.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use horolog_local::stack::Ports;

use crate::bed::{Bed, Proc, wait_until};
use crate::client::{ready, wait_until_ready};
use crate::history::insert_history;
use crate::requester::{DEADLINE, assert_verifies, begin, delete, ended, export, file_names, folder, look, of};
use crate::s3::settings_at;

/// What distinguishes a file from one that was written again.
fn identities(folder: &Path) -> BTreeMap<String, (u64, i64, i64)> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let identity = |entry: std::fs::DirEntry| {
        let metadata = entry.metadata().unwrap();
        (
            entry.file_name().into_string().unwrap(),
            (metadata.ino(), metadata.mtime(), metadata.mtime_nsec()),
        )
    };
    files.map(identity).collect()
}

#[test]
fn an_export_that_was_killed_goes_on_and_finished_files_are_not_written_again() {
    insert_history("killed", 111, 30_000);
    let bed = Bed::shared();
    let mut service = ready(bed, &[("HOROLOG_QUERY__EXPORTS__ROWS_PER_FILE", "150")]);
    let (whole, _) = export(&service, "killed", &of("parquet", "zstd"));
    // An export may be faster than the kill: then another is tried.
    let interrupted = (0..10).find_map(|_| {
        let id = begin(&service, "killed", &of("parquet", "zstd"));
        let mut finished = Vec::new();
        wait_until(DEADLINE, "some files are finished", || {
            finished = file_names(&look(&service, "killed", &format!("/{id}")).json());
            finished.len() >= 5
        });
        service.kill9();
        let mut before = identities(&folder(&service, &id));
        let cut_off = !before.contains_key("manifest.json");
        // The newest file may have its name already but not be recorded as finished: then it is written again, with the
        // same content.
        before.retain(|name, _| finished.contains(name));
        service.restart();
        wait_until_ready(bed, &mut service);
        let export = ended(&service, "killed", &id);
        assert_eq!(export["state"], "complete", "{export}\n{}", service.log_tail());
        cut_off.then_some((id, before, export))
    });
    let (id, before, export) = interrupted.expect("an export was killed before its end");
    let after = identities(&folder(&service, &id));
    assert!(before.len() >= 5);
    for (name, identity) in &before {
        assert_eq!(after.get(name), Some(identity), "{name}");
    }
    assert!(after.len() > before.len());
    assert_eq!(
        export["files"], whole["files"],
        "the same files as of an export that was not interrupted"
    );
    assert_verifies(&folder(&service, &id), &[]);
}

#[test]
fn an_export_can_be_ended_and_removed() {
    insert_history("removed", 112, 30_000);
    let service = ready(Bed::shared(), &[("HOROLOG_QUERY__EXPORTS__ROWS_PER_FILE", "100")]);
    let delete = |id: &str, status| delete(&service, "removed", id, status);
    let id = begin(&service, "removed", &of("csv", "none"));
    delete(&id, 204);
    let ended_or_gone = look(&service, "removed", &format!("/{id}"));
    assert!(
        ended_or_gone.status == 404 || ended_or_gone.json()["state"] == "cancelled",
        "{}",
        ended_or_gone.text
    );
    let (_, folder) = export(&service, "removed", &of("csv", "none"));
    let id = folder.file_name().unwrap().to_str().unwrap();
    delete(id, 204);
    assert!(!folder.exists());
    assert_eq!(look(&service, "removed", &format!("/{id}")).status, 404);
    delete(id, 404);
}

#[test]
fn after_a_crash_exports_have_their_turns_in_the_order_of_asking() {
    // Each runs until it is cancelled, because nothing answers at its bucket's address.
    let nobody = format!("http://127.0.0.1:{}", Ports::free().unwrap().query);
    let (bed, tenant) = (Bed::shared(), "ordered");
    let mut service = ready(bed, &settings_at(&nobody, "ordered"));
    let state = |service: &Proc, id: &str| look(service, tenant, &format!("/{id}")).json()["state"].clone();
    let asked: Vec<String> = (0..6).map(|_| begin(&service, tenant, &of("csv", "none"))).collect();
    wait_until(DEADLINE, "the first runs", || state(&service, &asked[0]) == "running");
    service.restart();
    wait_until_ready(bed, &mut service);
    for (number, id) in asked.iter().enumerate() {
        wait_until(DEADLINE, "the next has its turn", || state(&service, id) == "running");
        for later in &asked[number + 1..] {
            assert_eq!(state(&service, later), "queued");
        }
        delete(&service, tenant, id, 204);
    }
}
