//! What cannot be answered is a problem that names what to change.

use proptest::prelude::*;
use url::Url;

use crate::bed::Bed;
use crate::client::{EVENTS, HOURS, assert_is_problem, get, get_at, ready, send, service};
use crate::rows::insert_hours;

#[test]
fn a_refusal_names_the_parameter() {
    for (path, parameters, parameter) in [
        (HOURS, vec![], "tenant_id"),
        (EVENTS, vec![("tenant_id", "")], "tenant_id"),
        (HOURS, vec![("tenant_id", "a"), ("limit", "50001")], "limit"),
        (EVENTS, vec![("tenant_id", "a"), ("limit", "1001")], "limit"),
        (
            HOURS,
            vec![("tenant_id", "a"), ("limit", "1; drop table metrics")],
            "limit",
        ),
        (HOURS, vec![("tenant_id", "a"), ("from", "noon")], "from"),
        (EVENTS, vec![("tenant_id", "a"), ("to", "1767225600000")], "to"),
        (
            EVENTS,
            vec![("tenant_id", "a"), ("from", "2026-01-02"), ("to", "2026-01-01")],
            "to",
        ),
        (EVENTS, vec![("tenant_id", "a"), ("status", "ok")], "status"),
        (HOURS, vec![("tenant_id", "a"), ("cursor", "AAAA")], "cursor"),
        (HOURS, vec![("tenant_id", "a"), ("user_id", "u")], "user_id"),
        (HOURS, vec![("tenant_id", "a"), ("tenant_id", "b")], "tenant_id"),
        (EVENTS, vec![("tenant_id", "a"), ("<script>", "1")], "<script>"),
    ] {
        assert_eq!(get(path, &parameters).refused_parameter(), parameter, "{parameters:?}");
    }
}

#[test]
fn what_is_not_there_is_a_problem_too() {
    for (method, path, status) in [
        (reqwest::Method::GET, "/v1/metrics", 404),
        (reqwest::Method::GET, "/", 404),
        (reqwest::Method::POST, HOURS, 405),
        (reqwest::Method::DELETE, EVENTS, 405),
    ] {
        let request = reqwest::Client::new().request(method, format!("{}{path}", service().http()));
        let answer = send(Bed::shared(), request);
        assert_eq!(answer.status, status, "{path}");
        assert_is_problem(&answer);
    }
    let long = "a".repeat(50_000);
    let answer = get(HOURS, &[("tenant_id", &long)]);
    assert_eq!(answer.status, 414);
    assert_is_problem(&answer);
}

#[test]
fn a_question_beyond_the_limits_is_refused_and_says_how_to_narrow_it() {
    let bed = Bed::shared();
    insert_hours("expensive", 1);
    let service = ready(bed, &[("HOROLOG_QUERY__LIMITS__STATEMENT_MEMORY_BYTES_MAX", "1000")]);
    let answer = get_at(bed, &service, HOURS, &[("tenant_id", "expensive")]);
    assert_eq!(answer.status, 422, "{}", answer.text);
    assert_is_problem(&answer);
    assert!(answer.json()["detail"].as_str().unwrap().contains("from, to"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_query_string_is_answered_or_refused(raw in "[ -\"$-~]{0,60}|tenant_id=[!-\"$-~]{1,30}|tenant_id=%[0-9a-f]{2}(&[a-z_]{2,11}=[0-9a-zA-Z%:.-]{0,12}){0,4}") {
        for path in [HOURS, EVENTS] {
            let Ok(url) = Url::parse(&format!("{}{path}?{raw}", service().http())) else { continue };
            let answer = send(Bed::shared(), reqwest::Client::new().get(url));
            prop_assert!([200, 400].contains(&answer.status), "{}", answer.text);
            if answer.status == 400 {
                assert_is_problem(&answer);
                prop_assert!(answer.json()["parameter"].is_string());
            }
        }
    }
}
