//! A request that cannot be answered gets a problem document that names what to change.

use proptest::prelude::*;
use serde_json::json;
use url::Url;

use crate::bed::{Bed, http};
use crate::client::{EVENTS, HOURS, assert_is_problem, get, get_at, ready, send, send_as, service};
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
        (HOURS, vec![("tenant_id", "a"), ("from", "2026")], "from"),
        (EVENTS, vec![("tenant_id", "a"), ("from", "20260101")], "from"),
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

/// Placeholders in routes are left as they are: an unknown parameter is refused before anything else.
#[test]
fn no_route_ignores_a_parameter_that_it_does_not_have() {
    let bed = Bed::shared();
    let description = get("/openapi.json", &[]).json();
    let mut asked = 0;
    for (path, item) in description["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys().map(|method| method.to_uppercase()) {
            let role = match path.starts_with("/v1/admin/") || path.starts_with("/v1/system/") {
                true => "admin",
                false => "auditor",
            };
            let url = format!("{}{path}?userid=ann", service().http());
            let request = http().request(method.parse().unwrap(), url);
            let request = if method == "POST" {
                request.json(&json!({}))
            } else {
                request
            };
            let answer = send_as(bed, &bed.key(role), request);
            assert_eq!(answer.refused_parameter(), "userid", "{method} {path}");
            asked += 1;
        }
    }
    assert!(asked > 20, "{asked}");
    let head = http().head(format!("{}{EVENTS}?tenant_id=a&userid=ann", service().http()));
    assert_eq!(send(bed, head).status, 400);
}

#[test]
fn what_is_not_there_is_a_problem_too() {
    for (method, path, status) in [
        (reqwest::Method::GET, "/v1/metrics", 404),
        (reqwest::Method::GET, "/nothing", 404),
        (reqwest::Method::POST, HOURS, 405),
        (reqwest::Method::DELETE, EVENTS, 405),
        (reqwest::Method::GET, "/v1/audit/events/%ff?tenant_id=a", 404),
        (reqwest::Method::GET, "/v1/audit/exports/%ff?tenant_id=a", 404),
        (reqwest::Method::DELETE, "/v1/audit/exports/%ff?tenant_id=a", 404),
        (reqwest::Method::GET, "/v1/audit/exports/%ff/files/%ff?tenant_id=a", 404),
    ] {
        let request = http().request(method, format!("{}{path}", service().http()));
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

/// Everything that is asked with a query string alone.
const PATHS: [&str; 8] = [
    HOURS,
    EVENTS,
    "/v1/metrics/daily",
    "/v1/metrics/monthly",
    "/v1/metrics/names",
    "/v1/metrics/values",
    "/v1/metrics/labels",
    "/v1/metrics/revisions",
];

/// A query string that is noise, or almost valid.
fn any_question() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        "[0-9a-zA-Z%:.,+-]{0,12}",
        "[-]?[0-9]{1,20}",
        "(19|20|99)[0-9]{2}-[01][0-9]-[0-3][0-9]",
        Just("Europe/Berlin".to_owned()),
        Just("true".to_owned()),
        Just("service_id".to_owned()),
        Just("1e308".to_owned()),
    ];
    let name = prop::sample::select(vec![
        "metric_name",
        "service_id",
        "from",
        "to",
        "limit",
        "cursor",
        "group_by",
        "measures",
        "threshold",
        "as_of",
        "fresh",
        "zone",
        "format",
        "column",
        "label",
        "contains",
        "status",
        "user_id",
        "unknown",
    ]);
    let pairs = prop::collection::vec((name, value).prop_map(|(name, value)| format!("&{name}={value}")), 0..5);
    prop_oneof![
        1 => "[ -\"$-~]{0,60}",
        9 => pairs.prop_map(|pairs| format!("tenant_id=random{}", pairs.concat())),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_query_string_is_answered_or_refused(raw in any_question()) {
        for path in PATHS {
            let Ok(url) = Url::parse(&format!("{}{path}?{raw}", service().http())) else { continue };
            let answer = send(Bed::shared(), http().get(url));
            prop_assert!([200, 400].contains(&answer.status), "{path}?{raw} {}: {}", answer.status, answer.text);
            if answer.status == 400 {
                assert_is_problem(&answer);
                prop_assert!(answer.json()["parameter"].is_string());
            }
        }
    }

    #[test]
    fn any_header_is_borne(name in prop::sample::select(vec!["accept", "accept-encoding", "if-none-match", "x-request-id", "range", "content-type"]), value in "[ -~]{0,80}") {
        let url = format!("{}{HOURS}?tenant_id=random", service().http());
        let answer = send(Bed::shared(), http().get(url).header(name, value.trim()));
        prop_assert!([200, 304, 406].contains(&answer.status), "{}: {}", answer.status, answer.text);
    }
}
