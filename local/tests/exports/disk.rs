//! A disk that is full.

use std::path::Path;

use crate::bed::{Bed, SmallDisk};
use crate::client::ready;
use crate::history::insert_history;
use crate::requester::{begin, ended, of};

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
