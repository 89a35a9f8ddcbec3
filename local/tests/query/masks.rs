//! Which parts of an event each caller sees, in search, counts, differences and exports.

use reqwest::Method;
use serde_json::{Value, json};

use crate::asking::{call, get_as, make_key};
use crate::bed::wait_until;
use crate::client::{DEADLINE, EVENTS};
use crate::rows::{event_numbers, insert_event, vouch_for_events};

const EXPORTS: &str = "/v1/audit/exports";

fn insert(tenant: &str, number: u32) {
    insert_event(
        tenant,
        number,
        &[
            ("user_id", "'ann@example.org'"),
            ("resource_name", "'Records of Bob'"),
            ("old_value", "'{\"diagnosis\":\"x1\"}'"),
            ("new_value", "'{\"diagnosis\":\"x2\"}'"),
            ("ip_address", "'10.1.2.3'"),
            ("user_agent", "'ann@example.org'"),
            ("session_id", "'s-77'"),
            ("error_message", "'denied for ann'"),
            ("metadata", "map('reason', 'sick leave')"),
        ],
    );
}

#[track_caller]
fn rows(token: &str, path: &str) -> Vec<Value> {
    let answer = get_as(token, path);
    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    answer.json()["rows"].as_array().unwrap().clone()
}

#[test]
fn a_program_sees_pseudonyms_where_an_auditor_sees_people() {
    for (number, tenant) in ["masked", "masked-too"].into_iter().enumerate() {
        insert(tenant, number as u32);
    }
    let auditor = make_key("auditor", "masked", json!({})).token;
    let program = make_key("service", "masked", json!({})).token;
    let other = make_key("service", "masked-too", json!({})).token;
    let clear = rows(&auditor, EVENTS).remove(0);
    for (column, value) in [
        ("user_id", json!("ann@example.org")),
        ("old_value", json!({"diagnosis": "x1"})),
        ("ip_address", json!("10.1.2.3")),
        ("metadata", json!({"reason": "sick leave"})),
    ] {
        assert_eq!(clear[column], value, "{column}");
    }
    let masked = rows(&program, EVENTS).remove(0);
    for (column, value) in [
        ("old_value", Value::Null),
        ("new_value", Value::Null),
        ("session_id", json!("")),
        ("metadata", json!({})),
        ("ip_address", json!("10.1.2.0/24")),
        ("action", json!("update")),
        ("resource_id", json!("d1")),
        ("event_id", clear["event_id"].clone()),
    ] {
        assert_eq!(masked[column], value, "{column}");
    }
    let pseudonym = masked["user_id"].as_str().unwrap();
    assert_eq!(pseudonym.len(), 32, "{pseudonym}");
    assert_ne!(
        rows(&other, EVENTS)[0]["user_id"],
        pseudonym,
        "pseudonyms of two tenants cannot be joined"
    );
    let agent = masked["user_agent"].as_str().unwrap();
    assert_eq!(agent.len(), 32, "{agent}");
    assert_ne!(
        agent, pseudonym,
        "nor those of two columns: callers choose their user agent, which is in the trail"
    );

    // Filters and counts see what the caller sees: nobody can guess a value by asking for it.
    for guess in [
        "user_id=ann@example.org",
        "text=records",
        "text=denied",
        "ip_address=10.1.2.3",
        "session_id=s-77",
    ] {
        assert_eq!(rows(&auditor, &format!("{EVENTS}?{guess}")).len(), 1, "{guess}");
        assert_eq!(rows(&program, &format!("{EVENTS}?{guess}")).len(), 0, "{guess}");
    }
    assert_eq!(
        rows(&program, &format!("{EVENTS}?user_id={pseudonym}")).len(),
        1,
        "a pseudonym can be followed"
    );
    assert_eq!(
        rows(&program, &format!("{EVENTS}?ip_address=10.1.2.0/24")).len(),
        1,
        "so can a network that stands for an address"
    );
    let counts = |token: &str, by: &str| rows(token, &format!("/v1/audit/counts?by={by}"))[0]["value"].clone();
    assert_eq!(counts(&auditor, "user_id"), "ann@example.org");
    assert_eq!(counts(&program, "user_id"), pseudonym);
    for (by, value) in [("error_message", "denied for ann"), ("resource_name", "Records of Bob")] {
        assert_eq!(counts(&auditor, by), value);
        assert_eq!(counts(&program, by).as_str().map(str::len), Some(32), "{by}");
    }
    let one = format!("{EVENTS}/{}", clear["event_id"].as_str().unwrap());
    assert!(get_as(&auditor, &one).text.contains("diagnosis"));
    let hidden = get_as(&program, &one);
    assert_eq!(hidden.status, 200);
    assert!(
        !hidden.text.contains("diagnosis") && !hidden.text.contains("ann"),
        "{}",
        hidden.text
    );
}

#[test]
fn an_analyst_counts_events_and_sees_no_person() {
    insert("counted", 1);
    insert("counted", 2);
    let analyst = make_key("analyst", "counted", json!({})).token;
    assert_eq!(get_as(&analyst, EVENTS).status, 403);
    let by_action = rows(&analyst, "/v1/audit/counts?by=action");
    assert_eq!(by_action, [json!({"value": "update", "count": 2})]);
    for by in [
        "user_id",
        "ip_address",
        "session_id",
        "resource_id",
        "resource_name",
        "error_message",
    ] {
        assert_eq!(
            rows(&analyst, &format!("/v1/audit/counts?by={by}")),
            [json!({"value": "", "count": 2})],
            "{by}"
        );
    }
    for guess in ["user_id=ann@example.org", "text=records", "ip_address=10.0.0.0/8"] {
        assert_eq!(
            rows(&analyst, &format!("/v1/audit/counts?{guess}")),
            [] as [Value; 0],
            "{guess}"
        );
    }
}

#[test]
fn teams_of_a_key_bound_what_it_sees_of_events() {
    for (number, team) in ["'a'", "'b'", "''"].into_iter().enumerate() {
        insert_event("teams", number as u32, &[("team_id", team)]);
    }
    let of_a = make_key("auditor", "teams", json!({"teams": ["a"]})).token;
    assert_eq!(event_numbers(&rows(&of_a, EVENTS)), [0]);
    assert_eq!(
        rows(&of_a, "/v1/audit/counts?by=team_id"),
        [json!({"value": "a", "count": 1})]
    );
    for (number, status) in [(0, 200), (1, 404), (2, 404)] {
        let path = format!("{EVENTS}/00000000-0000-4000-8000-{number:012}");
        assert_eq!(get_as(&of_a, &path).status, status, "{number}");
    }
}

#[test]
fn an_export_is_masked_as_its_requester_and_its_manifest_says_so() {
    insert("masked-export", 1);
    vouch_for_events();
    let scopes = json!({"scopes": ["audit:read", "audit:export"]});
    let whole = make_key("auditor", "masked-export", json!({})).token;
    let partly = make_key("auditor", "masked-export", scopes).token;
    let export = |token: &str| {
        let body = json!({"format": "ndjson", "compression": "none"});
        let asked = call(token, Method::POST, EXPORTS, Some(&body));
        assert_eq!(asked.status, 202, "{}", asked.text);
        let path = format!("{EXPORTS}/{}", asked.json()["id"].as_str().unwrap());
        wait_until(DEADLINE, "the export is complete", || {
            get_as(token, &path).json()["state"] == "complete"
        });
        let file = get_as(token, &path).json()["files"][0]["name"]
            .as_str()
            .unwrap()
            .to_owned();
        (path, file)
    };
    let (path, file) = export(&partly);
    let lines = get_as(&partly, &format!("{path}/files/{file}")).text;
    assert!(
        lines.contains("ann@example.org") && !lines.contains("diagnosis") && !lines.contains("sick leave"),
        "{lines}"
    );
    let manifest = get_as(&partly, &format!("{path}/files/manifest.json")).json();
    let hidden = json!({"old_value": "hidden", "new_value": "hidden", "session_id": "hidden", "metadata": "hidden"});
    assert_eq!(manifest["masked"], hidden);
    assert_eq!(get_as(&whole, &path).status, 200, "who may see more may see less");

    let (path, file) = export(&whole);
    let lines = get_as(&whole, &format!("{path}/files/{file}")).text;
    assert!(lines.contains("diagnosis"), "{lines}");
    assert_eq!(
        get_as(&whole, &format!("{path}/files/manifest.json")).json()["masked"],
        json!({})
    );
    for path in [
        path.clone(),
        format!("{path}/files/{file}"),
        format!("{path}/files/manifest.json"),
    ] {
        assert_eq!(get_as(&partly, &path).status, 404, "{path}");
        assert_eq!(call(&partly, Method::DELETE, &path, None).status / 100, 4, "{path}");
    }
    assert_eq!(rows(&partly, EXPORTS).len(), 1);
    assert_eq!(rows(&whole, EXPORTS).len(), 2);
}
