//! API keys over the admin API: their life, their limits, where they can be seen.

use reqwest::Method;
use serde_json::{Value, json};

use crate::asking::{KEYS, administer, call_at, get_as, made, make_key};
use crate::bed::{Bed, http, wait_until};
use crate::client::{DEADLINE, EVENTS, HOURS, assert_is_problem, ready, service};

#[test]
fn a_key_is_made_used_rotated_and_revoked() {
    let first = make_key("auditor", "life", json!({}));
    assert_eq!(get_as(&first.token, EVENTS).status, 200);
    let rotate = format!("{KEYS}/{}/rotate", first.id);
    let both = made(&administer(&rotate, &json!({})));
    assert_eq!(both.id, first.id);
    for token in [&first.token, &both.token] {
        assert_eq!(get_as(token, EVENTS).status, 200, "while it is rotated both are taken");
    }
    let last = made(&administer(&rotate, &json!({"overlap_s": 0})));
    for (token, status) in [(&first.token, 401), (&both.token, 401), (&last.token, 200)] {
        assert_eq!(get_as(token, EVENTS).status, status);
    }
    let revoked = administer(&format!("{KEYS}/{}/revoke", first.id), &json!({}));
    assert_eq!((revoked.status, &revoked.json()["in_force"]), (200, &json!(false)));
    let refused = get_as(&last.token, EVENTS);
    assert_eq!(refused.status, 401);
    assert_is_problem(&refused);
    assert_eq!(administer(&rotate, &json!({})).status, 409, "nothing brings it back");
}

#[test]
fn a_key_is_given_another_end() {
    let key = make_key("auditor", "ends", json!({"expires_at": "2100-01-01T00:00:00Z"}));
    let expire = format!("{KEYS}/{}/expire", key.id);
    for (body, named) in [
        (json!({"expires_at": "2020-01-01T00:00:00Z"}), "expires_at"),
        (json!({"expires_at": "soon"}), "expires_at"),
        (json!({}), "expires_at"),
    ] {
        let refused = administer(&expire, &body);
        assert_eq!(refused.status, 400, "{body}: {}", refused.text);
        assert!(refused.text.contains(named), "{body}: {}", refused.text);
    }
    let end = |body: &Value| administer(&expire, body).json()["expires_at"].clone();
    assert_eq!(end(&json!({"expires_at": null})), Value::Null);
    let soon = chrono::Utc::now() + chrono::TimeDelta::seconds(2);
    assert_eq!(get_as(&key.token, EVENTS).status, 200);
    assert_ne!(end(&json!({"expires_at": soon})), Value::Null);
    wait_until(DEADLINE, "it has ended", || get_as(&key.token, EVENTS).status == 401);
    let late = administer(&expire, &json!({"expires_at": null}));
    assert_eq!(late.status, 409, "nothing brings it back: {}", late.text);
}

#[test]
fn what_is_shown_of_keys_holds_no_secret() {
    let key = make_key(
        "analyst",
        "shown",
        json!({"teams": ["t1"], "expires_at": "2100-01-01T00:00:00Z"}),
    );
    let admin = Bed::shared().key("admin");
    let shown = get_as(&admin, &format!("{KEYS}/{}", key.id)).json();
    assert_eq!(shown["tenant"], "shown");
    assert_eq!(shown["teams"], json!(["t1"]));
    assert_eq!(shown["permissions"], json!(["metrics:read", "audit:count"]));
    assert_eq!(shown["created_by"].as_str().unwrap().split(':').next(), Some("key"));
    let secret = &key.token[key.token.len() - 30..];
    for path in [
        KEYS.to_owned(),
        format!("{KEYS}/{}", key.id),
        "/v1/admin/access-review".to_owned(),
    ] {
        let answer = get_as(&admin, &path);
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert!(answer.text.contains(&key.id) && !answer.text.contains(secret) && !answer.text.contains("sha256"));
    }
}

#[test]
fn a_key_does_what_its_scopes_say_from_where_and_until_when_they_say() {
    let scoped = make_key("auditor", "scoped", json!({"scopes": ["audit:count"]}));
    assert_eq!(get_as(&scoped.token, "/v1/audit/counts").status, 200);
    for path in [EVENTS, HOURS, "/v1/audit/exports", "/v1/system/ledger", KEYS] {
        assert_eq!(get_as(&scoped.token, path).status, 403, "{path}");
    }
    let (here, elsewhere) = (
        json!({"addresses": ["127.0.0.0/8"]}),
        json!({"addresses": ["10.0.0.0/8", "::1/128"]}),
    );
    assert_eq!(get_as(&make_key("auditor", "scoped", here).token, EVENTS).status, 200);
    assert_eq!(
        get_as(&make_key("auditor", "scoped", elsewhere.clone()).token, EVENTS).status,
        401
    );
    // Only a trusted proxy may name the client's address.
    let request = http().get(format!("{}{EVENTS}", service().http()));
    let token = make_key("auditor", "scoped", elsewhere).token;
    let answer = crate::client::send_as(Bed::shared(), &token, request.header("x-forwarded-for", "10.1.1.1"));
    assert_eq!(answer.status, 401);
    // On a busy machine the expiry may have passed before the key is made: then a later one is tried.
    let ends = [2, 20, 60].into_iter().find_map(|seconds| {
        let soon = (chrono::Utc::now() + chrono::TimeDelta::seconds(seconds)).to_rfc3339();
        let body = json!({
            "name": "ends soon", "role": "auditor", "tenant": "scoped", "requests_per_hour": 100_000, "expires_at": soon
        });
        let answer = administer(KEYS, &body);
        (answer.status == 201).then(|| made(&answer))
    });
    let ends = ends.expect("a key that ends soon is made");
    wait_until(DEADLINE, "the key has expired", || {
        get_as(&ends.token, EVENTS).status == 401
    });
}

#[test]
fn requests_beyond_the_limit_are_told_when_to_come_back() {
    let key = make_key("analyst", "limited-key", json!({"requests_per_hour": 3}));
    for left in ["r=2", "r=1", "r=0"] {
        let answer = get_as(&key.token, HOURS);
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.header("ratelimit-policy"), "\"hour\";q=3;w=3600");
        assert!(
            answer.header("ratelimit").contains(left),
            "{}",
            answer.header("ratelimit")
        );
    }
    let refused = get_as(&key.token, HOURS);
    assert_eq!(refused.status, 429);
    assert_is_problem(&refused);
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=1_201).contains(&wait), "{wait}");
    assert!(
        refused.header("ratelimit").contains("r=0"),
        "{}",
        refused.header("ratelimit")
    );
    let other = make_key("analyst", "limited-key", json!({}));
    assert_eq!(get_as(&other.token, HOURS).status, 200, "another key has its own");
}

#[test]
fn a_key_that_cannot_be_is_refused_by_the_member_to_change() {
    for (change, named) in [
        (json!({"name": ""}), "name"),
        (json!({"name": "x".repeat(101)}), "name"),
        (json!({"role": "root"}), "role"),
        (json!({"tenant": ""}), "tenant"),
        (json!({"scopes": ["keys:manage"]}), "scopes"),
        (json!({"role": "admin", "scopes": ["system:read"]}), "scopes"),
        (json!({"scopes": ["everything"]}), "scopes[0]"),
        (json!({"addresses": ["10.0.0.0/99"]}), "addresses[0]"),
        (json!({"requests_per_hour": 0}), "requests_per_hour"),
        (json!({"requests_per_hour": -1}), "requests_per_hour"),
        (json!({"requests_per_hour": 1_000_001}), "requests_per_hour"),
        (
            json!({"limits": {"statement_timeout_s": 0}}),
            "limits.statement_timeout_s",
        ),
        (
            json!({"limits": {"concurrent_requests_max": 0}}),
            "limits.concurrent_requests_max",
        ),
        (json!({"limits": {"rows": 1}}), "limits.rows"),
        (json!({"expires_at": "2001-01-01T00:00:00Z"}), "expires_at"),
        (json!({"expires_at": "soon"}), "expires_at"),
        (json!({"teams": [""]}), "teams"),
        (json!({"rights": []}), "rights"),
    ] {
        let mut body = json!({"name": "n", "role": "auditor", "tenant": "refused"});
        body.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        assert_eq!(administer(KEYS, &body).refused_parameter(), named, "{change}");
    }
    let key = make_key("auditor", "refused", json!({}));
    let rotate = format!("{KEYS}/{}/rotate", key.id);
    assert_eq!(
        administer(&rotate, &json!({"overlap_s": 99_999_999})).refused_parameter(),
        "overlap_s"
    );
}

#[test]
fn a_tenant_has_so_many_keys_in_force() {
    let service = ready(Bed::shared(), &[("HOROLOG_QUERY__ACCESS__KEYS_PER_TENANT_MAX", "2")]);
    let admin = Bed::shared().key("admin");
    let post = |path: &str, body: &Value| call_at(&service, &admin, Method::POST, path, Some(body));
    let create = |tenant: &str| {
        post(
            KEYS,
            &json!({"name": "one of many", "role": "analyst", "tenant": tenant}),
        )
    };
    let first = made(&create("many-keys"));
    assert_eq!(create("many-keys").status, 201);
    let refused = create("many-keys");
    assert_eq!(refused.status, 409);
    assert_is_problem(&refused);
    assert_eq!(create("few-keys").status, 201, "another tenant has its own");
    assert_eq!(post(&format!("{KEYS}/{}/revoke", first.id), &json!({})).status, 200);
    assert_eq!(create("many-keys").status, 201, "one that is over does not count");
}

#[test]
fn keys_can_be_asked_for_in_sql_and_reviewed() {
    let bed = Bed::shared();
    let key = make_key("service", "review", json!({"addresses": ["127.0.0.0/8"]}));
    let service = ready(bed, &[("HOROLOG_QUERY__ACCESS__LAST_USE_INTERVAL_S", "1")]);
    assert_eq!(call_at(&service, &key.token, Method::GET, EVENTS, None).status, 200);
    let select = |columns: &str| format!("select {columns} from access_review where key_id = '{}'", key.id);
    wait_until(DEADLINE, "its use is in the table", || {
        bed.sql::<String>(&select("last_used_from")) == ["127.0.0.1"]
    });
    let notes = bed.one::<Vec<String>>(&select("notes"));
    assert_eq!(notes, ["never expires"]);
    let masked = bed.one::<Vec<(String, String)>>(&select("arraySort(masked::Array(Tuple(String, String)))"));
    assert!(
        masked.contains(&("user_id".to_owned(), "keyed_hash".to_owned())),
        "{masked:?}"
    );
    let review = get_as(&bed.key("admin"), "/v1/admin/access-review").json();
    let row = |row: &&Value| row["id"] == key.id;
    let row = review["rows"].as_array().unwrap().iter().find(row).unwrap();
    assert_eq!(
        (&row["notes"], &row["masked"]["old_value"]),
        (&json!(["never expires"]), &json!("hidden"))
    );
    wait_until(DEADLINE, "the process that was asked knows of the use as well", || {
        let shown = get_as(&bed.key("admin"), &format!("{KEYS}/{}", key.id)).json();
        shown["last_used"]["from"] == "127.0.0.1"
    });
    administer(&format!("{KEYS}/{}/revoke", key.id), &json!({}));
    wait_until(DEADLINE, "it is gone from the review", || {
        bed.sql::<String>(&select("name")).is_empty()
    });
}
