//! A key's own limits: a request beyond one is told which, other keys are unaffected, and no limit of the service is
//! widened.

use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::asking::{KEYS, Made, call_at, export, get_as, make_key};
use crate::bed::{Bed, Proc, Record, wait_until};
use crate::client::{Answer, DEADLINE, EVENTS, HOURS, assert_is_problem, ready};
use crate::rows::{insert_event, insert_hours, vouch_for_events};
use crate::slow;

fn limited(tenant: &str, limits: &Value) -> Made {
    make_key("auditor", tenant, json!({"limits": limits}))
}

/// The answer of the test's own process, once it knows the key.
fn ask(service: &Proc, key: &Made, path: &str) -> Answer {
    let get = |path| call_at(service, &key.token, Method::GET, path, None);
    wait_until(DEADLINE, "the process knows the key", || {
        get("/v1/whoami").status == 200
    });
    get(path)
}

#[track_caller]
fn assert_names(answer: &Answer, status: u16, limit: &str) {
    assert_eq!(answer.status, status, "{}", answer.text);
    assert_is_problem(answer);
    let named = format!("limits.{limit} of this key allows");
    assert!(answer.text.contains(&named), "{}", answer.text);
}

#[test]
fn the_engine_stops_a_statement_beyond_the_limits_of_its_key_and_of_no_other() {
    let tenant = "own-limits";
    insert_hours(tenant, 200);
    for number in 0..3 {
        insert_event(tenant, 900 + number, &[]);
    }
    for (limit, max) in [
        ("statement_result_rows_max", 1),
        ("statement_read_bytes_max", 100),
        ("statement_memory_bytes_max", 1_000),
    ] {
        let key = limited(tenant, &json!({limit: max}));
        for path in [HOURS, EVENTS] {
            assert_names(&get_as(&key.token, path), 422, limit);
        }
        let other = limited(tenant, &json!({limit: 1_000_000_000_000_u64}));
        for path in [HOURS, EVENTS] {
            let answer = get_as(&other.token, path);
            assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        }
    }
}

#[test]
fn a_slow_statement_ends_with_the_time_of_its_key() {
    let service = slow::service();
    let key = limited(slow::TENANT, &json!({"statement_timeout_s": 1}));
    assert_names(&ask(&service, &key, slow::QUESTION), 422, "statement_timeout_s");
}

#[test]
fn a_key_has_the_places_that_it_says_and_leaves_those_of_others() {
    let service = slow::service();
    let [key, other] = [json!({"concurrent_requests_max": 1}), json!({})].map(|limits| limited(slow::TENANT, &limits));
    assert_eq!(ask(&service, &key, EVENTS).status, 200);
    let running = slow::ask(&service, &key.token, "alone");
    let refused = ask(&service, &key, EVENTS);
    assert_names(&refused, 503, "concurrent_requests_max");
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(ask(&service, &other, EVENTS).status, 200);
    running.abort();
    wait_until(DEADLINE, "the place is free again", || {
        ask(&service, &key, EVENTS).status == 200
    });
}

#[test]
fn a_key_never_widens_what_the_service_allows() {
    let tenant = "own-wide";
    insert_hours(tenant, 200);
    let service = ready(
        Bed::shared(),
        &[("HOROLOG_QUERY__LIMITS__STATEMENT_RESULT_ROWS_MAX", "10")],
    );
    let key = limited(tenant, &json!({"statement_result_rows_max": 1_000_000}));
    let answer = ask(&service, &key, HOURS);
    assert_eq!(answer.status, 422, "{}", answer.text);
    assert!(
        answer.text.contains("limits.statement_result_rows_max allows"),
        "{}",
        answer.text
    );
}

#[test]
fn an_export_is_within_limits_of_its_own() {
    let tenant = "own-export";
    vouch_for_events();
    for number in 0..3 {
        insert_event(tenant, 910 + number, &[]);
    }
    let key = limited(
        tenant,
        &json!({"statement_result_rows_max": 1, "statement_read_bytes_max": 1, "statement_memory_bytes_max": 1}),
    );
    assert_eq!(get_as(&key.token, EVENTS).status, 422);
    let id = export(&key.token);
    assert_eq!(get_as(&key.token, &format!("/v1/audit/exports/{id}")).json()["rows"], 3);
}

#[test]
fn the_limits_of_a_key_are_shown_wherever_it_is() {
    let limits = json!({"statement_timeout_s": 5, "concurrent_requests_max": 2});
    let key = limited("own-shown", &limits);
    let admin = Bed::shared().key("admin");
    let is_it = |row: &&Value| row["id"] == key.id;
    for path in [KEYS, "/v1/admin/access-review"] {
        let rows = get_as(&admin, path).json()["rows"].as_array().unwrap().clone();
        assert_eq!(rows.iter().find(is_it).unwrap()["limits"], limits, "{path}");
    }
    assert_eq!(get_as(&admin, &format!("{KEYS}/{}", key.id)).json()["limits"], limits);
    assert_eq!(get_as(&key.token, "/v1/whoami").json()["limits"], limits);
}

#[test]
fn a_key_that_an_earlier_release_wrote_is_taken_and_has_none() {
    let key = make_key("auditor", "earlier", json!({}));
    let sha256: String = Sha256::digest(&key.token)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let at = "2026-01-01T00:00:00Z";
    let earlier = json!({
        "id": key.id, "name": "earlier", "role": "auditor", "tenant": "earlier", "teams": [], "scopes": [], "addresses": [],
        "requests_per_hour": 777, "secrets": [{"sha256": sha256, "created_at": at, "expires_at": null}],
        "created_at": at, "created_by": "operator:root", "expires_at": null, "revoked_at": null
    });
    let record = Record::of(earlier.to_string()).key(format!("key/{}", key.id));
    Bed::shared().produce("horolog-journal", 0, &[record]);
    wait_until(DEADLINE, "it is as the earlier release wrote it", || {
        get_as(&key.token, "/v1/whoami").json()["requests_per_hour"] == 777
    });
    assert_eq!(get_as(&key.token, EVENTS).status, 200);
    assert_eq!(get_as(&key.token, "/v1/whoami").json()["limits"], json!({}));
}
