//! Requests to the service by different callers: keys made for a test, any method, any body.

use reqwest::Method;
use serde_json::{Value, json};

use crate::bed::{Bed, Proc, http, wait_until};
use crate::client::{Answer, DEADLINE, send_as, service};

pub(crate) const KEYS: &str = "/v1/admin/keys";

/// A key that was made for a test.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) id: String,
    pub(crate) token: String,
}

/// Any request to the service that most tests share.
pub(crate) fn call(token: &str, method: Method, path: &str, body: Option<&Value>) -> Answer {
    call_at(service(), token, method, path, body)
}

/// Any request to a service.
pub(crate) fn call_at(service: &Proc, token: &str, method: Method, path: &str, body: Option<&Value>) -> Answer {
    let request = http().request(method, format!("{}{path}", service.http()));
    let request = match body {
        Some(body) => request.json(body),
        None => request,
    };
    send_as(Bed::shared(), token, request)
}

pub(crate) fn get_as(token: &str, path: &str) -> Answer {
    call(token, Method::GET, path, None)
}

/// What an administrator of all tenants posts.
pub(crate) fn administer(path: &str, body: &Value) -> Answer {
    call(&Bed::shared().key("admin"), Method::POST, path, Some(body))
}

/// A key with a role and a tenant, and `more` fields.
#[track_caller]
pub(crate) fn make_key(role: &str, tenant: &str, more: Value) -> Made {
    let mut body =
        json!({"name": format!("{role} of {tenant}"), "role": role, "tenant": tenant, "requests_per_hour": 100_000});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let answer = administer(KEYS, &body);
    assert_eq!(answer.status, 201, "{}", answer.text);
    made(&answer)
}

/// The key of an answer that shows a token.
pub(crate) fn made(answer: &Answer) -> Made {
    let answer = answer.json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    Made {
        id: text(&answer["key"]["id"]),
        token: text(&answer["token"]),
    }
}

/// A complete export of all events of a tenant.
pub(crate) fn export(token: &str) -> String {
    let asked = call(
        token,
        Method::POST,
        "/v1/audit/exports",
        Some(&json!({"format": "csv"})),
    );
    assert_eq!(asked.status, 202, "{}", asked.text);
    let id = asked.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/audit/exports/{id}");
    wait_until(DEADLINE, "the export is complete", || {
        get_as(token, &path).json()["state"] == "complete"
    });
    id
}
