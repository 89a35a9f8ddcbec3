//! A stack that cannot be started is refused with the name of the option to change.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use crate::bed::wait_until;
use crate::own_stack::{Stack, text};

/// How long another test's process may hold a port, on a busy machine.
const HELD_MAX: Duration = Duration::from_secs(60);

#[test]
fn a_taken_port_is_named_with_the_flag_that_changes_it() {
    let stack = Stack::new();
    // Something that another test starts may for a moment hold a port that was free when ports were looked for.
    let mut taken = None;
    wait_until(HELD_MAX, "the port can be taken", || {
        taken = TcpListener::bind((Ipv4Addr::LOCALHOST, stack.ports.clickhouse)).ok();
        taken.is_some()
    });
    let output = stack.up(&[]);
    assert!(!output.status.success());
    let said = text(&output);
    assert!(
        said.contains(&stack.ports.clickhouse.to_string()) && said.contains("--port-clickhouse"),
        "{said}"
    );
    assert_eq!(stack.status()["state"], "stopped");
}

#[test]
fn bad_arguments_are_refused_with_their_name() {
    let stack = Stack::new();
    for (flag, value) in [
        ("--memory-kafka", "12"),
        ("--port-query", "70000"),
        ("--keep-all", "perhaps"),
        ("--no-sample", "perhaps"),
    ] {
        let output = stack.up(&[&format!("{flag}={value}")]);
        assert!(!output.status.success());
        assert!(text(&output).contains(flag), "{}", text(&output));
    }
    assert!(text(&stack.horolog(&["logs"])).contains("no logs"));
}
