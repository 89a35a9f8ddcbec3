//! A disk that is full.

use std::path::Path;

use horolog_local::stack::Ports;

use crate::bed::{Bed, SmallDisk, wait_until};
use crate::client::ready;
use crate::history::insert_history;
use crate::requester::{DEADLINE, begin, delete, ended, of};
use crate::s3::{S3, settings_at};

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn a_full_disk_fails_the_export_with_a_reason_and_leaves_no_half_file() {
    let folder = tempfile::tempdir().unwrap();
    let Some(small) = SmallDisk::mount(folder.path(), 256) else {
        eprintln!("not tried: a file system cannot be mounted here");
        return;
    };
    insert_history("full", 141, 24_000);
    let folder = small.path().to_str().unwrap();
    let service = ready(Bed::shared(), &[("HOROLOG_QUERY__EXPORTS__FOLDER", folder)]);
    let id = begin(&service, "full", &of("csv", "none"));
    let export = ended(&service, "full", &id);
    assert_eq!(export["state"], "failed", "{export}");
    assert!(
        export["error"]
            .as_str()
            .unwrap()
            .starts_with("no space is left in exports.folder"),
        "{export}"
    );
    let finished: Vec<_> = export["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file["name"].as_str().unwrap())
        .collect();
    let mut there = names(&small.path().join(&id));
    there.sort();
    assert_eq!(there, finished);
    assert!(
        names(&small.path().join(".jobs").join(&id))
            .iter()
            .all(|name| !name.ends_with(".tmp") && !name.ends_with(".new"))
    );
}

#[test]
fn an_export_that_cannot_be_ended_for_want_of_room_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let Some(small) = SmallDisk::mount(folder.path(), 1_024) else {
        eprintln!("not tried: a file system cannot be mounted here");
        return;
    };
    insert_history("endless", 144, 100);
    // It waits for its bucket.
    let port = Ports::free().unwrap().query;
    let nobody = format!("http://127.0.0.1:{port}");
    let mut settings = settings_at(&nobody, "endless");
    settings.push(("HOROLOG_QUERY__EXPORTS__FOLDER", small.path().to_str().unwrap()));
    let mut service = ready(Bed::shared(), &settings);
    let id = begin(&service, "endless", &of("csv", "none"));
    wait_until(DEADLINE, "the export waits", || {
        std::fs::read_to_string(service.log())
            .unwrap()
            .contains("an export waits")
    });
    small.fill();
    delete(&service, "endless", &id, 500);
    small.empty();
    // Paused between the start of the server and the creation of the bucket: a missing bucket would be a refusal.
    service.stop();
    let server = S3::start_at(port);
    server.make_bucket("endless");
    service.cont();
    let export = ended(&service, "endless", &id);
    assert_eq!(export["state"], "complete", "{export}\n{}", service.log_tail());
}
