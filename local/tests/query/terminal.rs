//! The command line client as a person and as a script see it: the real binary against the real service.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::asking::{get_as, make_key};
use crate::bed::{Bed, HOROLOG};
use crate::client::service;
use crate::rows::{insert_event, insert_hours, insert_rejected, vouch_for_events};

const TENANT: &str = "terminal";
const SPAN: [&str; 4] = ["--from", "2026-01-01", "--to", "2026-01-02"];

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(Path::new(HOROLOG).with_file_name("horolog-query"));
    command
        .args(arguments)
        .env("HOROLOG_QUERY_URL", service().http())
        .env("HOROLOG_API_KEY", Bed::shared().key("auditor"))
        .env("HOROLOG_TENANT", TENANT);
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
fn succeeds(arguments: &[&str]) -> String {
    succeeds_for(TENANT, arguments)
}

#[track_caller]
fn succeeds_for(tenant: &str, arguments: &[&str]) -> String {
    let output = command(arguments).env("HOROLOG_TENANT", tenant).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Exit code and what was said.
#[track_caller]
fn fails(mut command: Command) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert_eq!(text(&stdout), "", "answers and errors do not share a channel");
    (status.code(), text(&stderr))
}

fn documents(lines: &str) -> Vec<Value> {
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn hours_are_a_table_for_people_and_json_lines_for_programs() {
    insert_hours(TENANT, 3);
    let show = ["metrics", "show", "cpu", "--service", "api", "--group-by", "service_id"];
    let table = succeeds(&[&show[..], &SPAN].concat());
    let lines: Vec<&str> = table.lines().collect();
    assert!(
        lines[0].contains("SERVICE") && lines[0].contains("COUNT") && lines[0].contains("P99"),
        "{table}"
    );
    assert!(
        !lines[0].contains("PLUGIN"),
        "a column without a value is left out: {table}"
    );
    let rows = documents(&succeeds(&[&show[..], &SPAN, &["--json"]].concat()));
    assert_eq!(rows.len(), lines.len() - 1);
    let before_the_command = ["--json", "--tenant", TENANT];
    assert_eq!(
        documents(&succeeds(&[&before_the_command[..], &show, &SPAN].concat())),
        rows
    );
    assert!(
        rows.iter()
            .all(|row| row["metric_name"] == "cpu" && row["service_id"] == "api")
    );
    let two = documents(&succeeds(&[&show[..], &SPAN, &["--json", "--limit", "2"]].concat()));
    assert_eq!(two, rows[..2]);
}

#[test]
fn a_table_has_what_was_asked_to_be_told() {
    let tenant = "terminal-measures";
    insert_hours(tenant, 2);
    let show = [
        "metrics",
        "show",
        "cpu",
        "--unit",
        "%",
        "--service",
        "api",
        "--service",
        "web",
        "--measures",
        "last,p999",
    ];
    let more = [
        "--type",
        "gauge",
        "--threshold",
        "2",
        "--by",
        "daily",
        "--zone",
        "Europe/Berlin",
        "--json",
    ];
    let rows = documents(&succeeds_for(tenant, &[&show[..], &more, &SPAN].concat()));
    let [day] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!(day["start"], "2025-12-31T23:00:00Z");
    assert!(
        day["unit"] == "%" && day["count"] == 6 && day["last"] == 1.5 && day["share_under"] == 1.0,
        "{day}"
    );
    let table = succeeds_for(tenant, &[&show[..], &SPAN].concat());
    assert!(
        table.contains("P999") && table.contains("LAST") && table.contains("TYPE") && !table.contains("AVG"),
        "{table}"
    );
    let of_counters = [&show[..], &["--type", "counter", "--json"], &SPAN].concat();
    assert_eq!(succeeds_for(tenant, &of_counters), "");
}

#[test]
fn what_there_is_to_ask_for_is_told_and_a_cut_answer_says_so() {
    let tenant = "terminal-discovery";
    insert_hours(tenant, 1);
    let values = [
        &["metrics", "values", "service_id", "--metric", "cpu", "--json"][..],
        &SPAN,
    ]
    .concat();
    let values = documents(&succeeds_for(tenant, &values));
    assert_eq!(
        values.iter().map(|row| &row["value"]).collect::<Vec<_>>(),
        ["api", "web"]
    );
    assert_eq!(succeeds_for(tenant, &["metrics", "labels", "cpu", "--json"]), "");
    assert_eq!(succeeds_for(tenant, &["metrics", "revisions", "--json"]), "");
    assert_eq!(succeeds_for(tenant, &["metrics", "health", "--json"]), "");

    for number in 21..24 {
        insert_event(tenant, number, &[("action", &format!("'action {number}'"))]);
    }
    for cut in [
        &["audit", "counts", "--limit", "2", "--json"][..],
        &["audit", "search", "--limit", "2", "--json"],
        &["metrics", "list", "--limit", "1", "--from", "2026-01-01", "--json"],
    ] {
        let output = command(cut).env("HOROLOG_TENANT", tenant).output().unwrap();
        assert!(
            text(&output.stderr).contains("there are more"),
            "{cut:?}: {}",
            text(&output.stderr)
        );
    }
    let whole = command(&["audit", "counts"])
        .env("HOROLOG_TENANT", tenant)
        .output()
        .unwrap();
    assert_eq!(
        (text(&whole.stdout).lines().count(), text(&whole.stderr).as_str()),
        (4, "")
    );
}

#[test]
fn an_empty_answer_says_which_span_was_asked_for() {
    for (asked, said) in [
        (&["metrics", "list"][..], "nothing in the last seven days; try --from\n"),
        (
            &["metrics", "values", "service_id"],
            "nothing in the last seven days; try --from\n",
        ),
        (&["metrics", "labels", "cpu"], "nothing in the last hour; try --from\n"),
        (&["metrics", "list", "--last", "12w"], "nothing matches\n"),
        (
            &["metrics", "show", "cpu"],
            "nothing in the last 24 hours; try --last or --from\n",
        ),
        (
            &["metrics", "rate", "cpu", "--by", "monthly"],
            "nothing in the last 12 months; try --last or --from\n",
        ),
        (&["metrics", "show", "cpu", "--last", "12w"], "no values match\n"),
        (&["metrics", "list", "--json"], ""),
    ] {
        let output = command(asked).env("HOROLOG_TENANT", "terminal-empty").output().unwrap();
        assert_eq!(
            (text(&output.stdout).as_str(), text(&output.stderr).as_str()),
            ("", said),
            "{asked:?}"
        );
    }
}

#[test]
fn the_system_is_told_to_whoever_may_ask() {
    vouch_for_events();
    insert_rejected(TENANT, 0, "validate", "time_too_early");
    for (what, told) in [
        ("progress", "audit-events"),
        ("ledger", "BALANCED"),
        ("rejections", "time_too_early"),
        ("storage", "audit_logs"),
        ("configuration", "limits.request_timeout_s"),
    ] {
        let mut asked = command(&["system", what]);
        asked.env("HOROLOG_API_KEY", Bed::shared().key("admin"));
        let output = asked.output().unwrap();
        assert!(
            text(&output.stdout).contains(told),
            "{what}: {}{}",
            text(&output.stdout),
            text(&output.stderr)
        );
        assert_eq!(fails(command(&["system", what])).0, Some(3));
    }
}

#[test]
fn a_key_whose_requests_are_used_up_is_waited_for() {
    let key = make_key("analyst", TENANT, json!({"requests_per_hour": 240})).token;
    let is_used_up = || get_as(&key, "/v1/no-such-thing").status == 429;
    assert!((0..2_000).any(|_| is_used_up()), "240 requests are never used up");
    let mut asked = command(&["metrics", "list", "--from", "2026-01-01"]);
    let output = asked.env("HOROLOG_API_KEY", key).output().unwrap();
    let said = text(&output.stderr);
    assert!(
        output.status.success() && said.contains("more than 240 requests per hour") && said.contains("trying again in"),
        "{said}"
    );
}

#[test]
fn events_are_found_shown_with_what_they_changed_and_cannot_steer_the_terminal() {
    insert_event(
        TENANT,
        1,
        &[
            ("user_id", "'eve'"),
            ("resource_id", "'a\\x1b[2Jb'"),
            ("old_value", r#"'{"title": "a", "n": 1}'"#),
            ("new_value", r#"'{"title": "b", "m": 2}'"#),
        ],
    );
    let found = succeeds(&[&["audit", "search", "--user", "eve"][..], &SPAN].concat());
    assert!(found.contains("eve") && found.contains("a\u{fffd}[2Jb"), "{found}");
    let shown = succeeds(&["audit", "show", "00000000-0000-4000-8000-000000000001"]);
    assert!(shown.contains("~ /title: \"a\" -> \"b\""), "{shown}");
    assert!(shown.contains("+ /m: 2") && shown.contains("- /n: 1"), "{shown}");
    assert!(!shown.contains('\u{1b}') && !found.contains('\u{1b}'));
    let line = succeeds(&[&["audit", "timeline", "--user", "eve", "--json"][..], &SPAN].concat());
    assert_eq!(documents(&line)[0]["user_id"], "eve");
    assert_eq!(
        succeeds(&["audit", "timeline", "--user", "eve", "--to", "1999-01-01", "--json"]),
        ""
    );
}

#[test]
fn events_are_listed_from_either_end_of_their_time() {
    for number in 11..14 {
        insert_event(TENANT, number, &[("user_id", "'ada'")]);
    }
    let listed = |order: &[&str]| {
        documents(&succeeds(
            &[&["audit", "search", "--user", "ada", "--json"], order].concat(),
        ))
    };
    let (newest, mut oldest) = (listed(&[]), listed(&["--oldest"]));
    oldest.reverse();
    assert_eq!((newest.len(), newest), (3, oldest));
}

#[test]
fn an_exit_code_says_whose_turn_it_is() {
    let search = ["audit", "search", "--from", "yesterday"];
    let (code, said) = fails(command(&search));
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.starts_with("horolog-query: from: ") && said.contains("request "),
        "{said}"
    );

    let mut without_key = command(&["audit", "search"]);
    without_key.env_remove("HOROLOG_API_KEY");
    let (code, said) = fails(without_key);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("HOROLOG_API_KEY"), "{said}");

    let mut not_allowed = command(&["audit", "search"]);
    not_allowed.env("HOROLOG_API_KEY", Bed::shared().key("analyst"));
    assert_eq!(fails(not_allowed).0, Some(3));

    let (code, said) = fails(command(&["metrics", "list", "--url", "http://127.0.0.1:1"]));
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("HOROLOG_QUERY_URL"), "{said}");

    assert_eq!(fails(command(&["audit", "search", "--status", "fine"])).0, Some(2));
}

#[test]
fn a_service_on_this_machine_is_asked_through_no_proxy() {
    let mut asked = command(&["metrics", "list", "--json"]);
    asked.env("http_proxy", "http://127.0.0.1:1");
    asked.env_remove("NO_PROXY").env_remove("no_proxy");
    let output = asked.output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn a_key_is_read_from_a_file_and_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    let key = Bed::shared().key("auditor");
    std::fs::write(&file, format!("{key}\n")).unwrap();
    let mut from_file = command(&["audit", "search", "--user", "nobody", "--key-file"]);
    from_file.arg(&file).env("HOROLOG_API_KEY", "what is typed counts");
    let mut by_variable = command(&["audit", "search", "--user", "nobody"]);
    by_variable
        .env_remove("HOROLOG_API_KEY")
        .env("HOROLOG_API_KEY_FILE", &file);
    for mut asked in [from_file, by_variable] {
        let output = asked.output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    assert!(!succeeds(&["audit", "search", "--help"]).contains(&key));
}

#[test]
fn an_export_is_created_watched_and_downloaded_once() {
    // A tenant of its own: an export fails when rows of its tenant arrive that the ledger had counted before they were
    // there.
    let tenant = "terminal-exports";
    let succeeds = |arguments: &[&str]| succeeds_for(tenant, arguments);
    insert_event(tenant, 2, &[]);
    vouch_for_events();
    let created = succeeds(
        &[
            &["exports", "create", "--format", "ndjson", "--watch", "--json"][..],
            &SPAN,
        ]
        .concat(),
    );
    let job = documents(&created).remove(0);
    assert_eq!(job["state"], "complete", "{job}");
    let id = job["id"].as_str().unwrap();
    assert!(succeeds(&["exports", "list"]).contains(id));
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().to_str().unwrap();
    succeeds(&["exports", "download", id, "--to", to]);
    let file = job["files"][0]["name"].as_str().unwrap();
    let path = folder.path().join(file);
    for name in [file, "manifest.json", "manifest.json.sha256"] {
        assert!(folder.path().join(name).is_file(), "{name}");
    }
    let before = std::fs::metadata(&path).unwrap().modified().unwrap();
    // Partial files are resumed, whole ones left alone, damaged ones fetched anew.
    let manifest = folder.path().join("manifest.json");
    std::fs::write(&manifest, "{}").unwrap();
    succeeds(&["exports", "download", id, "--to", to]);
    assert_eq!(std::fs::metadata(&path).unwrap().modified().unwrap(), before);
    assert_ne!(std::fs::read(manifest).unwrap(), b"{}");
}

#[test]
fn a_caller_learns_who_they_are() {
    let shown = succeeds(&["whoami"]);
    assert!(shown.contains("auditor") && shown.contains("audit:read"), "{shown}");
    let known: Value = serde_json::from_str(&succeeds(&["whoami", "--json"])).unwrap();
    assert_eq!(known["role"], "auditor");
}

#[test]
fn shells_complete_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let script = succeeds(&["completion", shell]);
        assert!(
            script.contains("horolog-query") && script.contains("exports"),
            "{shell}"
        );
    }
}
