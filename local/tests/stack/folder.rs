//! The data folder of a stack: what is remembered in it, and which folders commands may touch.

use horolog_local::stack::DataFolder;

use crate::own_stack::{Stack, succeeds, text};

#[test]
fn keep_all_removes_deletion_by_age_and_is_remembered() {
    let stack = Stack::new();
    let deletes = || {
        let tables = "select count() from system.tables where database = 'horolog' and match(engine_full, 'TTL [^,]* DELETE|TTL [^,]*[0-9]\\)( ,|$| SETTINGS)')";
        stack.sql(tables).parse::<u64>().unwrap()
    };
    succeeds(&stack.up(&["--no-sample", "--keep-all"]));
    assert_eq!(stack.status()["retention"]["keep_all"], true);
    assert_eq!(
        deletes(),
        0,
        "{}",
        stack.sql("select name, engine_full from system.tables where database = 'horolog'")
    );
    succeeds(&stack.horolog(&["down"]));
    succeeds(&stack.up(&["--no-sample"]));
    assert_eq!(stack.status()["retention"]["keep_all"], true);
    succeeds(&stack.horolog(&["down"]));
    let folder = DataFolder::at(&stack.data()).unwrap();
    let mut failing = stack.command(&["up", "--keep-all=false"]);
    failing
        .args(stack.port_flags())
        .env("HOROLOG_MIGRATE__RETENTION__METRICS_DAYS", "many");
    assert!(!failing.output().unwrap().status.success());
    assert!(folder.keeps_all(), "nothing came of ending it");
    succeeds(&stack.up(&["--no-sample", "--keep-all=false"]));
    assert!(!folder.keeps_all());
    assert_eq!(stack.status()["retention"]["keep_all"], false);
    assert!(
        deletes() > 0,
        "{}",
        stack.sql("select name, engine_full from system.tables where database = 'horolog'")
    );
}

#[test]
fn a_foreign_folder_is_neither_used_nor_wiped() {
    let stack = Stack::new();
    std::fs::create_dir(stack.data()).unwrap();
    std::fs::write(stack.data().join("thesis.tex"), "").unwrap();
    for output in [stack.up(&[]), stack.horolog(&["wipe", "--yes"])] {
        assert!(!output.status.success());
        assert!(text(&output).contains("--data"), "{}", text(&output));
    }
    assert!(stack.data().join("thesis.tex").exists());
}

#[test]
fn what_a_linked_folder_leads_to_is_wiped_too() {
    let stack = Stack::new();
    let disk = stack.folder.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    std::os::unix::fs::symlink(&disk, stack.data()).unwrap();
    DataFolder::at(&stack.data()).unwrap().create().unwrap();
    succeeds(&stack.horolog(&["wipe", "--yes"]));
    assert!(!disk.exists() && !stack.data().is_symlink());
}
