//! A panicking worker ends the process, with a message.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::process::Command;

use horolog_aggregate::samples::Samples;
use horolog_aggregate::workers::Workers;

/// Set in the process that is to die.
const VICTIM: &str = "HOROLOG_TEST_PANICKING_WORKER";

fn panics(_chunk: ()) -> Result<Samples, String> {
    panic!("the decoder broke an invariant");
}

#[test]
fn a_worker_panic_ends_the_process() {
    if std::env::var_os(VICTIM).is_some() {
        let workers = Workers::start(2, || panics).unwrap();
        drop(workers.aggregate([()]));
        std::process::exit(0); // not reached
    }
    let itself = std::env::current_exe().unwrap();
    let victim = Command::new(itself)
        .args(["--nocapture"])
        .env(VICTIM, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&victim.stderr);
    assert_eq!(victim.status.code(), None, "ended by a signal, not by itself: {said}");
    assert!(said.contains("the decoder broke an invariant"), "{said}");
}
