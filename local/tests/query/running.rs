//! The service as its operator sees it: start, ids, metrics, an unreachable ClickHouse, shutdown.

use crate::bed::{Bed, http, wait_until};
use crate::client::{DEADLINE, EVENTS, HOURS, assert_is_problem, get, get_at, ready, send, service};
use crate::rows::insert_hours;

#[test]
fn a_request_id_comes_back_and_one_is_made_where_there_is_none() {
    let ask = |id: &str| {
        let url = format!("{}{HOURS}?tenant_id=a", service().http());
        let answer = send(Bed::shared(), http().get(url).header("x-request-id", id));
        assert_eq!(answer.status, 200);
        answer.header("x-request-id").to_owned()
    };
    assert_eq!(ask("trace-42"), "trace-42");
    assert_eq!(ask("not; plain").len(), 36);
    assert_eq!(get("/nowhere", &[]).header("x-request-id").len(), 36);
}

#[test]
fn the_service_measures_itself() {
    let bed = Bed::shared();
    let service = ready(bed, &[]);
    insert_hours("measured", 1);
    assert_eq!(get_at(bed, &service, HOURS, &[("tenant_id", "measured")]).status, 200);
    assert_eq!(get_at(bed, &service, HOURS, &[]).status, 400);
    assert_eq!(get_at(bed, &service, "/some/path", &[]).status, 404);
    let (status, text) = bed.get(&format!("{}/metrics", service.http()));
    assert_eq!(status, 200);
    for line in [
        "horolog_query_requests_total{route=\"/v1/metrics/hourly\",status=\"200\"} 1",
        "horolog_query_requests_total{route=\"/v1/metrics/hourly\",status=\"400\"} 1",
        "horolog_query_requests_total{route=\"unknown\",status=\"404\"} 1",
        "horolog_query_rows_returned_total{route=\"/v1/metrics/hourly\"} 8",
        "horolog_query_request_duration_seconds_count{route=\"/v1/metrics/hourly\"} 2",
        "horolog_query_requests_in_flight 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert!(!text.contains("/some/path"), "a path of a caller's choice is no label");
}

#[test]
fn a_store_that_is_away_is_said_so_until_it_is_back() {
    let bed = Bed::start();
    let service = ready(&bed, &[]);
    let ask = |path: &str| get_at(&bed, &service, path, &[("tenant_id", "a")]);
    assert_eq!(ask(HOURS).status, 200);
    bed.kill_engine();
    for path in [HOURS, EVENTS] {
        let answer = ask(path);
        assert_eq!((answer.status, answer.header("retry-after")), (503, "5"));
        assert_is_problem(&answer);
    }
    wait_until(DEADLINE, "the service is not ready", || {
        get_at(&bed, &service, "/readyz", &[]).status == 503
    });
    assert_eq!(get_at(&bed, &service, "/livez", &[]).status, 200);
    bed.start_engine();
    wait_until(DEADLINE, "the service is ready again", || {
        get_at(&bed, &service, "/readyz", &[]).status == 200
    });
    assert_eq!(ask(EVENTS).status, 200);
}

#[test]
fn a_wrong_configuration_stops_the_start_with_one_line_that_names_the_setting() {
    for (variable, value, said) in [
        (
            "HOROLOG_QUERY__HTTP__LISTEN",
            "0.0.0.0:0",
            "http.listen: must be a loopback address, because keys",
        ),
        ("HOROLOG_QUERY__CLICKHOUSE__URL", "http://127.0.0.1:1", "clickhouse.url"),
        (
            "HOROLOG_QUERY__CLICKHOUSE__DATABASE",
            "nowhere",
            "run `horolog-migrate up`",
        ),
        (
            "HOROLOG_QUERY__CLICKHOUSE__PASSWORD_FILE",
            "/dev/null",
            "clickhouse.password_file",
        ),
        (
            "HOROLOG_QUERY__CLICKHOUSE__PASSWORD_FILE",
            "/nonexistent",
            "clickhouse.password_file",
        ),
        ("HOROLOG_QUERY__LIMITS__PAGE_ROWS", "1", "page_rows"),
    ] {
        let mut service = Bed::shared().spawn("horolog-query", &[(variable, value)]);
        assert!(!service.wait(DEADLINE).success(), "{variable}");
        let log = std::fs::read_to_string(service.log()).unwrap();
        assert!(log.contains(said), "{variable}: {log}");
        assert_eq!(log.trim_end().lines().count(), 1, "{log}");
    }
}

#[test]
fn is_drained_on_sigterm() {
    let mut service = ready(Bed::shared(), &[]);
    service.term();
    assert!(service.wait(DEADLINE).success(), "{}", service.log_tail());
}
