//! Every access to audit data is an audit event itself: through Kafka and ingest, into the table that it was about.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::asking::{KEYS, call_at, make_key};
use crate::bed::{Bed, Proc, TRAIL_SETTING, http, wait_until};
use crate::client::{DEADLINE, EVENTS, HOURS, assert_is_problem, ready};
use crate::rows::{insert_event, insert_hours};

const EXPORTS: &str = "/v1/audit/exports";
/// How long a client waits that leaves before the service gives up an unwritable trail.
const PATIENCE: Duration = Duration::from_secs(5);

#[test]
fn every_access_to_audit_data_is_an_audit_event_of_its_tenant() {
    let bed = Bed::shared();
    for topic in ["watched-trail", "watched-metrics"] {
        bed.topic(topic, 1);
    }
    let _ingest = bed.spawn(
        "horolog-ingest",
        &[
            ("HOROLOG_INGEST__SOURCE__AUDIT_TOPIC", "watched-trail"),
            ("HOROLOG_INGEST__SOURCE__METRICS_TOPIC", "watched-metrics"),
            ("HOROLOG_INGEST__SOURCE__GROUP", "watched-ingest"),
        ],
    );
    let service = ready(bed, &[(TRAIL_SETTING, "watched-trail")]);
    insert_event("watched", 1, &[]);
    insert_hours("watched", 1);
    let (auditor, analyst) = (
        make_key("auditor", "watched", json!({})),
        make_key("analyst", "watched", json!({})),
    );
    let ask = |token: &str, method: Method, path: &str| {
        let body = (method == Method::POST).then(|| json!({"format": "csv", "filter": {"user_id": "ann"}}));
        call_at(&service, token, method, path, body.as_ref())
    };
    let behind_noise = format!("{EVENTS}?{}user_id=ann", "&".repeat(10_000));
    for (key, method, path, status) in [
        (&auditor, Method::GET, "/v1/audit/events?user_id=ann&limit=5", 200),
        (&auditor, Method::GET, behind_noise.as_str(), 200),
        (
            &auditor,
            Method::GET,
            "/v1/audit/events/00000000-0000-4000-8000-000000000001",
            200,
        ),
        (&auditor, Method::GET, "/v1/audit/counts?by=action", 200),
        (&analyst, Method::GET, "/v1/audit/events", 403),
        (&auditor, Method::GET, "/v1/audit/events?limit=x", 400),
        (&auditor, Method::GET, HOURS, 200),
        (&auditor, Method::GET, EXPORTS, 200),
    ] {
        assert_eq!(ask(&key.token, method, path).status, status, "{path}");
    }
    let export = ask(&auditor.token, Method::POST, EXPORTS).json();
    let export = format!("{EXPORTS}/{}", export["id"].as_str().unwrap());
    wait_until(DEADLINE, "the export is complete", || {
        ask(&auditor.token, Method::GET, &export).json()["state"] == "complete"
    });
    let file = format!("{export}/files/manifest.json");
    assert_eq!(ask(&auditor.token, Method::GET, &file).status, 200);
    assert_eq!(ask(&auditor.token, Method::DELETE, &export).status, 204);

    let trail = || {
        bed.sql::<(String, String, String)>(
            "select action, toString(status), metadata['role'] from audit_logs \
             where tenant_id = 'watched' and service_id = 'horolog-query' order by occurred_at",
        )
    };
    let expected = [
        ("audit.read", "success", "auditor"),
        ("audit.read", "success", "auditor"),
        ("audit.read", "success", "auditor"),
        ("audit.count", "success", "auditor"),
        ("audit.read", "failure", "analyst"),
        ("audit.read", "failure", "auditor"),
        ("export.create", "success", "auditor"),
        ("audit.download", "success", "auditor"),
        ("export.delete", "success", "auditor"),
    ];
    wait_until(DEADLINE, "the trail is stored", || trail().len() >= expected.len());
    let texts = expected.map(|(action, status, role)| (action.to_owned(), status.to_owned(), role.to_owned()));
    assert_eq!(trail(), texts);

    let (user, address, filter, rows, request): (String, String, String, String, String) = bed.one(
        "select user_id, ip_address, metadata['filter'], metadata['rows'], request_id from audit_logs \
         where tenant_id = 'watched' and action = 'audit.read' order by occurred_at limit 1",
    );
    assert_eq!((user, address.as_str()), (format!("key:{}", auditor.id), "127.0.0.1"));
    assert_eq!((filter.as_str(), rows.as_str()), ("user_id=ann&limit=5", "1"));
    assert_eq!(request.len(), 36, "the request, as the logs have it");
    let told: u64 = bed.one(
        "select count() from audit_logs where tenant_id = 'watched' and endsWith(metadata['filter'], '&&&user_id=ann')",
    );
    assert_eq!(told, 1, "nothing of a question is hidden by its length");
    let asked: String =
        bed.one("select metadata['asked'] from audit_logs where tenant_id = 'watched' and action = 'export.create'");
    assert!(
        asked.contains("\"user_id\":\"ann\"") && asked.contains("csv"),
        "{asked}"
    );
}

/// Posts nothing, and does not wait for the answer.
fn post_and_leave(service: &Proc, token: &str, path: &str) {
    let request = http().post(format!("{}{path}", service.http()));
    let request = request.bearer_auth(token).json(&json!({})).timeout(PATIENCE);
    // Created within the runtime too, since its time-out needs one.
    let _ = Bed::shared().block_on(async { request.send().await });
}

#[test]
fn where_no_trail_can_be_written_no_audit_data_are_shown() {
    let bed = Bed::shared();
    insert_event("untold", 1, &[("user_id", "'secret-user'")]);
    insert_hours("untold", 1);
    let [auditor, leaked, admin] = ["auditor", "auditor", "admin"].map(|role| make_key(role, "untold", json!({})));
    let service = ready(bed, &[(TRAIL_SETTING, "there-is-no-such-topic")]);
    let ask = |token: &str, method: Method, path: &str, body: Option<&serde_json::Value>| {
        call_at(&service, token, method, path, body)
    };
    // A leaked key ends before the service gives up its trail, and also if the caller does not wait for that. This
    // comes first: a missing topic is waited for only until the Kafka client knows that it is missing.
    post_and_leave(&service, &admin.token, &format!("{KEYS}/{}/revoke", leaked.id));
    wait_until(DEADLINE, "the key has ended", || {
        ask(&leaked.token, Method::GET, HOURS, None).status == 401
    });
    for path in [EVENTS, "/v1/audit/counts?by=user_id"] {
        let refused = ask(&auditor.token, Method::GET, path, None);
        assert_eq!(refused.status, 503, "{path}");
        assert_is_problem(&refused);
        assert_eq!(refused.json()["type"], "urn:horolog:problem:log-unavailable");
        assert!(!refused.text.contains("secret-user"));
    }
    let asked = ask(&auditor.token, Method::POST, EXPORTS, Some(&json!({"format": "csv"})));
    assert_eq!(asked.status, 503);
    let exports = ask(&auditor.token, Method::GET, EXPORTS, None).json();
    assert_eq!(exports["rows"], json!([]), "nothing was begun");
    let new = json!({"name": "n", "role": "analyst", "tenant": "untold"});
    assert_eq!(ask(&admin.token, Method::POST, KEYS, Some(&new)).status, 503);
    assert_eq!(
        ask(&auditor.token, Method::GET, HOURS, None).status,
        200,
        "metrics are no audit data"
    );
    let revoke = format!("{KEYS}/{}/revoke", auditor.id);
    let revoked = ask(&admin.token, Method::POST, &revoke, Some(&json!({})));
    assert_eq!(revoked.status, 200, "a key that leaked can be ended at any time");
}

#[test]
fn wrong_keys_are_counted_in_the_trail_though_none_follows_them() {
    let bed = Bed::shared();
    for topic in ["guessed-trail", "guessed-metrics"] {
        bed.topic(topic, 1);
    }
    let settings = [
        (TRAIL_SETTING, "guessed-trail"),
        ("HOROLOG_QUERY__ACCESS__PLATFORM_TENANT", "guessed"),
    ];
    let mut service = ready(bed, &settings);
    for _ in 0..7 {
        assert_eq!(call_at(&service, "nonsense", Method::GET, EVENTS, None).status, 401);
    }
    service.term();
    assert!(service.wait(DEADLINE).success(), "{}", service.log_tail());
    let _ingest = bed.spawn(
        "horolog-ingest",
        &[
            ("HOROLOG_INGEST__SOURCE__AUDIT_TOPIC", "guessed-trail"),
            ("HOROLOG_INGEST__SOURCE__METRICS_TOPIC", "guessed-metrics"),
            ("HOROLOG_INGEST__SOURCE__GROUP", "guessed-ingest"),
        ],
    );
    wait_until(DEADLINE, "the first and the others are told", || {
        let counts = "select metadata['requests'] from audit_logs where tenant_id = 'guessed' and action = 'access.refuse' \
            and ip_address = '127.0.0.1' order by occurred_at";
        bed.sql::<String>(counts) == ["1", "6"]
    });
}
