//! What holds for every resource: tags, compression, deadlines, limits, the description.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use reqwest::Method;
use serde_json::{Value, json};

use crate::asking::{call_at, get_as, make_key};
use crate::bed::{Bed, Proc, http, wait_until};
use crate::client::{DEADLINE, EVENTS, HOURS, assert_is_problem, get, get_at, ready, send, send_as, service};
use crate::rows::{insert_event, insert_hours, insert_rejected};
use crate::slow;

#[test]
fn an_answer_that_the_caller_has_is_not_sent_again() {
    insert_hours("tagged", 1);
    let ask = |known: &str| {
        let url = format!("{}{HOURS}?tenant_id=tagged", service().http());
        send(Bed::shared(), http().get(url).header("if-none-match", known))
    };
    let first = ask("\"none\"");
    assert_eq!(first.status, 200);
    let tag = first.header("etag");
    assert!(tag.starts_with('"') && tag.len() > 20, "strong: {tag}");
    assert_eq!(first.header("cache-control"), "private, no-cache");
    assert!(first.header("vary").contains("accept-encoding"));
    let again = ask(tag);
    assert_eq!(
        (again.status, again.text.as_str(), again.header("etag")),
        (304, "", tag)
    );
    insert_hours("tagged", 1);
    let changed = ask(tag);
    assert_eq!(changed.status, 200);
    assert_ne!(changed.header("etag"), tag);
}

#[test]
fn large_answers_are_compressed_for_those_who_take_it() {
    insert_hours("compressed", 40);
    let ask = |encoding: &str| {
        let url = format!("{}{HOURS}?tenant_id=compressed", service().http());
        send(Bed::shared(), http().get(url).header("accept-encoding", encoding))
    };
    let plain = ask("identity");
    assert_eq!(plain.header("content-encoding"), "");
    for encoding in ["gzip", "zstd"] {
        let answer = ask(encoding);
        assert_eq!(answer.header("content-encoding"), encoding);
        assert!(answer.header("content-length").parse::<usize>().unwrap() < plain.text.len() / 5);
        assert_ne!(
            answer.header("etag"),
            plain.header("etag"),
            "each encoding has a tag of its own"
        );
    }
}

#[test]
fn a_file_of_the_program_comes_in_the_encoding_that_is_taken_every_time() {
    let ask = |encoding: &str| {
        let url = format!("{}/docs/swagger-ui-bundle.js", service().http());
        send(Bed::shared(), http().get(url).header("accept-encoding", encoding))
    };
    let plain = ask("identity");
    assert_eq!((plain.status, plain.header("content-encoding")), (200, ""));
    for encoding in ["gzip", "zstd", "gzip", "zstd"] {
        let answer = ask(encoding);
        assert_eq!((answer.status, answer.header("content-encoding")), (200, encoding));
        assert!(answer.header("content-length").parse::<usize>().unwrap() < plain.text.len() / 2);
    }
    assert_eq!(ask("identity").text, plain.text);
}

#[test]
fn the_description_is_openapi_and_names_every_parameter() {
    let answer = get("/openapi.json", &[]);
    assert_eq!(answer.status, 200);
    let description = answer.json();
    assert_eq!(description["openapi"], "3.1.0");
    let paths = description["paths"].as_object().unwrap();
    for path in [
        HOURS,
        EVENTS,
        "/v1/metrics/daily",
        "/v1/metrics/names",
        "/v1/system/ledger",
    ] {
        assert!(paths.contains_key(path), "{path}");
    }
    let names: Vec<_> = description["paths"][HOURS]["get"]["parameters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|parameter| parameter["name"].as_str().unwrap())
        .collect();
    for name in ["tenant_id", "metric_name", "group_by", "as_of", "cursor"] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    assert!(description["components"]["schemas"]["Problem"].is_object());
    let scheme = &description["components"]["securitySchemes"]["key"];
    assert_eq!((&scheme["type"], &scheme["scheme"]), (&json!("http"), &json!("bearer")));
    assert_eq!(description["security"], json!([{"key": []}]));
    let page = get("/docs/", &[]);
    assert_eq!(page.status, 200);
    assert!(!page.text.contains("https://"), "the page needs nothing from elsewhere");
}

#[test]
fn the_operators_see_how_the_system_is() {
    let bed = Bed::shared();
    insert_hours("stored", 1);
    let ask = |path: &str| {
        let url = format!("{}{path}", service().http());
        let answer = send_as(bed, &bed.key("admin"), http().get(url));
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        answer.json()["rows"].as_array().unwrap().clone()
    };
    let tables: Vec<Value> = ask("/v1/system/storage");
    assert!(
        tables
            .iter()
            .any(|row| row["table"] == "metrics_hourly" && row["bytes"].as_u64() > Some(0))
    );
    ask("/v1/system/ledger");
    ask("/v1/system/progress");
    insert_rejected("stored", 0, "validate", "time_too_early");
    insert_rejected("stored", 1, "insert", "refused_by_clickhouse");
    insert_rejected("stored", 2, "validate", "time_too_early");
    let rejections: Vec<_> = ask("/v1/system/rejections")
        .into_iter()
        .filter(|row| row["topic"] == "stored")
        .collect();
    let expected = json!([
        {"topic": "stored", "step": "validate", "reason": "time_too_early", "records": 2,
         "first_at": "2026-01-01T00:00:00Z", "newest_at": "2026-01-01T00:00:02Z", "newest_partition": 0, "newest_offset": 2,
         "newest_detail": "in words, of 2"},
        {"topic": "stored", "step": "insert", "reason": "refused_by_clickhouse", "records": 1,
         "first_at": "2026-01-01T00:00:01Z", "newest_at": "2026-01-01T00:00:01Z", "newest_partition": 0, "newest_offset": 1,
         "newest_detail": null},
    ]);
    assert_eq!(
        json!(rejections),
        expected,
        "ClickHouse may quote a row that it refuses"
    );
    let settings = ask("/v1/system/configuration");
    let url = settings.iter().find(|row| row["setting"] == "clickhouse.url").unwrap();
    assert_eq!(url["is_default"], false, "it was set: {url}");
    let refused = get("/v1/system/ledger", &[]);
    assert_eq!(refused.status, 403, "an auditor runs nothing");
    assert_is_problem(&refused);
    let one = make_key("admin", "stored", json!({})).token;
    let refused = get_as(&one, "/v1/system/ledger");
    assert_eq!(
        refused.status, 403,
        "sums of all tenants are nothing for an administrator of one"
    );
    assert!(refused.text.contains("system:read"), "{}", refused.text);
    let known = get_as(&one, "/v1/whoami").json();
    assert_eq!(known["permissions"], json!(["keys:manage"]));
}

#[test]
fn a_limit_of_the_engine_is_named() {
    let bed = Bed::shared();
    insert_hours("limited", 200);
    for (setting, value, said) in [
        ("STATEMENT_RESULT_ROWS_MAX", "10", "limits.statement_result_rows_max"),
        ("STATEMENT_READ_BYTES_MAX", "100", "limits.statement_read_bytes_max"),
        (
            "STATEMENT_MEMORY_BYTES_MAX",
            "1000",
            "limits.statement_memory_bytes_max",
        ),
    ] {
        let service = ready(bed, &[(&format!("HOROLOG_QUERY__LIMITS__{setting}"), value)]);
        let answer = get_at(bed, &service, HOURS, &[("tenant_id", "limited")]);
        assert_eq!(answer.status, 422, "{setting}: {}", answer.text);
        assert_is_problem(&answer);
        assert!(answer.text.contains(said), "{}", answer.text);
    }
}

#[test]
fn a_statement_ends_when_its_caller_leaves() {
    let service = slow::service();
    let leaves = slow::ask(&service, &Bed::shared().key("auditor"), "leaver");
    leaves.abort();
    wait_until(DEADLINE, "the statement is gone", || !slow::is_running("leaver"));
}

/// A connection on which a request has been begun with these bytes.
pub(crate) fn begin(service: &Proc, bytes: &[u8]) -> TcpStream {
    let address = service.http().trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(bytes).unwrap();
    stream
}

#[test]
fn what_a_tenant_does_not_read_is_bounded_and_keeps_no_other_from_its_answer() {
    let bed = Bed::shared();
    // More than the kernel buffers for a client that does not read.
    for number in 0..12 {
        insert_event("unread", number, &[("old_value", "repeat('x', 1000000)")]);
    }
    let key = make_key("auditor", "unread", json!({})).token;
    let settings = [
        ("HOROLOG_QUERY__LIMITS__ANSWERS_BYTES_MAX", "33554432"),
        ("HOROLOG_QUERY__LIMITS__ADMISSION_WAIT_MS_MAX", "0"),
        ("HOROLOG_QUERY__HTTP__IDLE_TIMEOUT_S", "3600"),
    ];
    let service = ready(bed, &settings);
    let request = format!("GET {EVENTS} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {key}\r\n\r\n");
    let mut unread = begin(&service, request.as_bytes());
    let mut begun = [0; 12];
    unread.read_exact(&mut begun).unwrap();
    assert_eq!(&begun, b"HTTP/1.1 200");
    let ask = |path: &str| call_at(&service, &key, Method::GET, path, None);
    let refused = ask(EVENTS);
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (503, "1"),
        "{}",
        refused.text
    );
    assert_is_problem(&refused);
    assert!(refused.text.contains("waiting to be read"), "{}", refused.text);
    assert_eq!(ask(HOURS).status, 200, "what is small needs no place");
    let other = get_at(bed, &service, EVENTS, &[("tenant_id", "unread")]);
    assert_eq!(other.status, 200, "who is of no one tenant has a share of their own");
    drop(unread);
    wait_until(DEADLINE, "there is a place again", || ask(EVENTS).status == 200);
}

#[test]
fn a_connection_that_does_not_finish_what_it_begins_is_closed() {
    let service = ready(Bed::shared(), &[("HOROLOG_QUERY__HTTP__IDLE_TIMEOUT_S", "1")]);
    for beginning in ["", "P", "G", "PRI * HTTP/2.0\r\n", "GET /livez HTTP/1.1\r\nhost: a\r\n"] {
        let mut stream = begin(&service, beginning.as_bytes());
        let mut said = Vec::new();
        stream
            .read_to_end(&mut said)
            .unwrap_or_else(|error| panic!("{beginning:?}: {error}"));
        assert!(
            said.is_empty() || said.starts_with(b"HTTP/1.1 408"),
            "{beginning:?}: {said:?}"
        );
    }
    let mut kept = begin(&service, b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n");
    let mut said = String::new();
    kept.read_to_string(&mut said).unwrap();
    assert!(said.starts_with("HTTP/1.1 200"), "answered, then closed: {said}");
}

#[test]
fn connections_beyond_the_limit_are_closed_at_once_until_others_end() {
    let bed = Bed::shared();
    let service = ready(bed, &[("HOROLOG_QUERY__HTTP__CONNECTIONS_MAX", "8")]);
    let answers = || bed.try_get(&format!("{}/livez", service.http())).is_ok();
    wait_until(DEADLINE, "all others have gone", answers);
    let mut held: Vec<TcpStream> = Vec::new();
    wait_until(DEADLINE, "there is no place", || {
        // Earlier connections may still be closing: the places that they leave are taken too.
        held.extend((0..8).map(|_| begin(&service, b"G")));
        !answers()
    });
    assert!(
        std::fs::read_to_string(service.log())
            .unwrap()
            .contains("http.connections_max")
    );
    drop(held);
    wait_until(DEADLINE, "there is a place again", answers);
}
