//! A disk that is full.

use std::path::Path;
use std::process::Command;

use crate::bed::Bed;
use crate::client::ready;
use crate::history::insert_history;
use crate::requester::{begin, ended, of};

/// A small file system, unmounted when dropped. `None` where the tests may not mount one.
struct Small(tempfile::TempDir);

impl Small {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"])
            .arg(folder.path())
            .output();
        mounted
            .is_ok_and(|output| output.status.success())
            .then_some(Self(folder))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn a_full_disk_fails_the_export_with_a_reason_and_leaves_no_half_file() {
    let Some(small) = Small::mount() else {
        eprintln!("not tried: a file system cannot be mounted here");
        return;
    };
    insert_history("full", 141, 24_000);
    let folder = small.0.path().to_str().unwrap();
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
    let mut there = names(&small.0.path().join(&id));
    there.sort();
    assert_eq!(there, finished);
    assert!(
        names(&small.0.path().join(".jobs").join(&id))
            .iter()
            .all(|name| !name.ends_with(".tmp"))
    );
}
