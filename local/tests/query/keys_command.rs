//! `horolog-query keys` and `access-review`, run by somebody who has the service's configuration.

use crate::asking::get_as;
use crate::bed::{Bed, wait_until};
use crate::client::{DEADLINE, EVENTS};

/// The arguments that make a key.
pub(crate) fn creating<'a>(name: &'a str, role: &'a str, tenant: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let key = ["keys", "create", "--name", name, "--role", role, "--tenant", tenant];
    [&key, more].concat()
}

/// The token that a command has shown.
#[track_caller]
pub(crate) fn token_of(output: &str) -> String {
    let line = output.lines().find(|line| line.starts_with("hlg_"));
    line.unwrap_or_else(|| panic!("no token: {output}")).to_owned()
}

#[test]
fn whoever_runs_the_service_makes_and_ends_keys_in_a_terminal() {
    let run = |arguments: &[&str]| {
        let mut run = Bed::shared().spawn_command("horolog-query", arguments, &[]);
        let status = run.wait(DEADLINE);
        (status.success(), std::fs::read_to_string(run.log()).unwrap())
    };
    let limit = ["--statement-result-rows-max", "54321"];
    let (done, output) = run(&creating("by hand", "auditor", "terminal", &limit));
    assert!(done, "{output}");
    let token = token_of(&output);
    wait_until(DEADLINE, "the running service takes it", || {
        get_as(&token, EVENTS).status == 200
    });
    let id = token.split('_').nth(1).unwrap();
    let (done, output) = run(&["keys", "rotate", id, "--overlap-s", "0"]);
    assert!(done, "{output}");
    let next = token_of(&output);
    wait_until(DEADLINE, "the running service takes the next one", || {
        get_as(&next, EVENTS).status == 200
    });
    assert_eq!(get_as(&token, EVENTS).status, 401);
    let (done, output) = run(&["keys", "expire", id, "--at", "2099-12-31T00:00:00Z"]);
    assert!(done, "{output}");
    let (done, output) = run(&["keys", "list"]);
    let row = output.lines().find(|line| line.contains(id)).unwrap_or_default();
    assert!(
        done && row.contains("auditor")
            && row.contains("2099-12-31")
            && row.contains("54321")
            && !output.contains(&next[20..]),
        "{output}"
    );
    let (done, output) = run(&["access-review", "--json"]);
    assert!(
        done && output.contains(&format!("\"id\": \"{id}\"")) && !output.contains(&next[20..]),
        "{output}"
    );
    assert!(run(&["keys", "revoke", id]).0);
    wait_until(DEADLINE, "the running service refuses it", || {
        get_as(&next, EVENTS).status == 401
    });
    for (wrong, said) in [
        (&["keys", "revoke", "nobody"][..], "there is no such key"),
        (
            &creating("x", "analyst", "t", &["--scope", "audit:read"]),
            "scopes: the role analyst has no audit:read",
        ),
        (&creating("", "analyst", "t", &[]), "name: expected"),
        (
            &creating("x", "analyst", "t", &["--statement-timeout-s", "0"]),
            "--statement-timeout-s",
        ),
    ] {
        let (done, output) = run(wrong);
        assert!(!done && output.contains(said), "{wrong:?}: {output}");
    }
}
