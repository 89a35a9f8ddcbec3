//! What administrators may hand out: their own tenants and teams, within the bounds of their own key.

use reqwest::Method;
use serde_json::{Value, json};

use crate::asking::{KEYS, call, get_as, made, make_key};
use crate::client::{Answer, EVENTS, assert_is_problem};

/// Asks for a key as an administrator, with `more` fields.
fn create(admin: &str, role: &str, tenant: &str, more: &Value) -> Answer {
    let mut body = json!({"name": "x", "role": role, "tenant": tenant});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    call(admin, Method::POST, KEYS, Some(&body))
}

/// What an administrator does to a key.
fn change(admin: &str, id: &str, change: &str) -> Answer {
    call(admin, Method::POST, &format!("{KEYS}/{id}/{change}"), Some(&json!({})))
}

#[test]
fn an_administrator_of_one_tenant_hands_out_that_tenant_alone() {
    let admin = make_key("admin", "own", json!({}));
    let other = make_key("auditor", "other", json!({}));
    let create = |tenant: &str| create(&admin.token, "auditor", tenant, &json!({}));
    assert_eq!(create("own").status, 201);
    for tenant in ["other", "*", "OWN"] {
        let refused = create(tenant);
        assert_eq!(refused.status, 403, "{tenant}");
        assert_is_problem(&refused);
    }
    for (method, path) in [
        (Method::GET, format!("{KEYS}/{}", other.id)),
        (Method::POST, format!("{KEYS}/{}/rotate", other.id)),
        (Method::POST, format!("{KEYS}/{}/revoke", other.id)),
        (Method::GET, format!("{KEYS}/000000000000")),
        (Method::GET, format!("{KEYS}/%2e%2e")),
    ] {
        assert_eq!(
            call(&admin.token, method, &path, Some(&json!({}))).status,
            404,
            "{path}"
        );
    }
    let rows = get_as(&admin.token, KEYS).json()["rows"].as_array().unwrap().clone();
    assert!(rows.len() >= 2 && rows.iter().all(|row| row["tenant"] == "own"));
    assert_eq!(get_as(&other.token, EVENTS).status, 200, "nothing has happened to it");
}

#[test]
fn an_administrator_of_some_teams_hands_out_those_teams_alone() {
    let admin = make_key("admin", "teamed", json!({"teams": ["red", "blue"]}));
    let keys = [json!({}), json!({"teams": ["red", "green"]}), json!({"teams": ["red"]})];
    for (more, created, changed) in [(&keys[0], 403, 403), (&keys[1], 403, 403), (&keys[2], 201, 200)] {
        let answer = create(&admin.token, "auditor", "teamed", more);
        assert_eq!(answer.status, created, "{more}: {}", answer.text);
        let existing = make_key("auditor", "teamed", more.clone());
        for done in ["rotate", "revoke"] {
            let answer = change(&admin.token, &existing.id, done);
            assert_eq!(answer.status, changed, "{done} {more}: {}", answer.text);
        }
    }
}

#[test]
fn an_administrator_with_bounds_hands_out_what_is_bounded_likewise_and_ends_anything() {
    let bounds = json!({"expires_at": "2100-01-01T00:00:00Z", "addresses": ["127.0.0.0/8"], "limits": {"statement_timeout_s": 5}});
    let admin = make_key("admin", "bounded", bounds.clone());
    for (different, refused) in [
        (json!({}), None),
        (
            json!({"expires_at": "2099-01-01T00:00:00Z", "addresses": ["127.0.0.1/32"], "limits": {"statement_timeout_s": 1}}),
            None,
        ),
        (json!({"expires_at": null}), Some("expires_at")),
        (json!({"expires_at": "2100-01-01T00:00:01Z"}), Some("expires_at")),
        (json!({"addresses": []}), Some("addresses")),
        (json!({"addresses": ["127.0.0.0/8", "10.0.0.0/8"]}), Some("addresses")),
        (json!({"limits": {}}), Some("limits.statement_timeout_s")),
        (
            json!({"limits": {"statement_timeout_s": 6}}),
            Some("limits.statement_timeout_s"),
        ),
    ] {
        let mut wanted = bounds.clone();
        wanted
            .as_object_mut()
            .unwrap()
            .extend(different.as_object().unwrap().clone());
        for role in ["analyst", "admin"] {
            let existing = make_key(role, "bounded", wanted.clone());
            for (answer, done) in [
                (create(&admin.token, role, "bounded", &wanted), 201),
                (change(&admin.token, &existing.id, "rotate"), 200),
            ] {
                let status = refused.map_or(done, |_| 403);
                assert_eq!(answer.status, status, "{role} {wanted}: {}", answer.text);
                assert!(answer.text.contains(refused.unwrap_or_default()), "{}", answer.text);
            }
            assert_eq!(
                change(&admin.token, &existing.id, "revoke").status,
                200,
                "{role} {wanted}"
            );
        }
    }
    assert_eq!(change(&admin.token, &admin.id, "rotate").status, 200, "its own secret");
}

#[test]
fn an_administrator_lets_no_key_end_later_than_their_own_and_any_of_theirs_earlier() {
    let bounds = json!({"expires_at": "2100-01-01T00:00:00Z", "addresses": ["127.0.0.0/8"]});
    let admin = make_key("admin", "ending", bounds.clone());
    let expire = |id: &str, end: Value| {
        let path = format!("{KEYS}/{id}/expire");
        call(&admin.token, Method::POST, &path, Some(&json!({"expires_at": end}))).status
    };
    let bounded = make_key("auditor", "ending", bounds.clone()).id;
    for id in [&bounded, &admin.id] {
        assert_eq!(expire(id, Value::Null), 403);
        assert_eq!(expire(id, json!("2100-01-01T00:00:01Z")), 403);
        assert_eq!(expire(id, json!("2099-01-01T00:00:00Z")), 200);
    }
    let unbounded = make_key("auditor", "ending", json!({})).id;
    assert_eq!(expire(&unbounded, json!("2101-01-01T00:00:00Z")), 200, "it ended never");
    assert_eq!(expire(&unbounded, json!("2102-01-01T00:00:00Z")), 403);
    let other = make_key("auditor", "not-ending", json!({})).id;
    assert_eq!(expire(&other, json!("2099-01-01T00:00:00Z")), 404);
}

#[test]
fn an_administrator_hands_out_no_scope_that_was_taken_from_them() {
    let scopes = json!({"scopes": ["keys:manage"]});
    let admin = make_key("admin", "*", scopes.clone()).token;
    let refused = create(&admin, "admin", "*", &json!({}));
    assert_eq!(refused.status, 403);
    assert!(
        refused.text.contains("scopes must not include system:read"),
        "{}",
        refused.text
    );
    assert_eq!(create(&admin, "admin", "*", &scopes).status, 201);
    let auditor = create(&admin, "auditor", "unscoped", &json!({}));
    assert_eq!(
        auditor.status, 201,
        "contents are what no administrator sees: {}",
        auditor.text
    );
}

#[test]
fn of_all_who_rotate_their_own_key_at_once_one_has_the_secret_that_lasts() {
    let admin = make_key("admin", "at once", json!({}));
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let rotate = || change(&admin.token, &admin.id, "rotate").status;
        let asked: Vec<_> = (0..8).map(|_| scope.spawn(rotate)).collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    let count = |status| statuses.iter().filter(|&&one| one == status).count();
    assert_eq!((count(200), count(403)), (1, 7), "{statuses:?}");
}

#[test]
fn a_secret_in_its_overlap_hands_out_what_ends_with_it_and_does_not_rotate_its_key() {
    let old = make_key("admin", "overlapping", json!({}));
    let other = make_key("auditor", "overlapping", json!({}));
    let new = made(&change(&old.token, &old.id, "rotate"));
    for (refused, said) in [
        (change(&old.token, &old.id, "rotate"), "cannot rotate its own key"),
        (change(&old.token, &other.id, "rotate"), "expires_at"),
        (create(&old.token, "auditor", "overlapping", &json!({})), "expires_at"),
    ] {
        assert_eq!(refused.status, 403, "{}", refused.text);
        assert!(refused.text.contains(said), "{}", refused.text);
    }
    let soon = chrono::Utc::now() + chrono::TimeDelta::hours(1);
    let ends = json!({"expires_at": soon});
    assert_eq!(create(&old.token, "auditor", "overlapping", &ends).status, 201);
    assert_eq!(
        change(&new.token, &new.id, "rotate").status,
        200,
        "the one that follows it does"
    );
    assert_eq!(
        change(&old.token, &other.id, "revoke").status,
        200,
        "to revoke is no handing out"
    );
}
