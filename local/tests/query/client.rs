//! The service under test, and requests to it.

use std::sync::OnceLock;
use std::time::Duration;

use reqwest::header::HeaderMap;
use serde_json::Value;
use url::Url;

use crate::bed::{Bed, Proc, http, wait_until};

/// How long anything may take on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(180);
pub(crate) const HOURS: &str = "/v1/metrics/hourly";
pub(crate) const EVENTS: &str = "/v1/audit/events";

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The parameter that a refusal names.
    #[track_caller]
    pub(crate) fn refused_parameter(&self) -> String {
        assert_eq!(self.status, 400, "{}", self.text);
        assert_is_problem(self);
        self.json()["parameter"].as_str().unwrap().to_owned()
    }
}

/// The service that most tests share.
pub(crate) fn service() -> &'static Proc {
    static SERVICE: OnceLock<Proc> = OnceLock::new();
    SERVICE.get_or_init(|| ready(Bed::shared(), &[]))
}

pub(crate) fn ready(bed: &Bed, env: &[(&str, &str)]) -> Proc {
    let mut service = bed.spawn("horolog-query", env);
    wait_until_ready(bed, &mut service);
    service
}

#[track_caller]
pub(crate) fn wait_until_ready(bed: &Bed, service: &mut Proc) {
    wait_until(DEADLINE, "the query service is ready", || {
        assert!(service.exited().is_none(), "{}", service.log_tail());
        let url = format!("{}/readyz", service.http());
        bed.try_get(&url).is_ok_and(|(status, _)| status == 200)
    });
}

/// Sends a request with the key of an auditor of any tenant.
pub(crate) fn send(bed: &Bed, request: reqwest::RequestBuilder) -> Answer {
    send_as(bed, &bed.key("auditor"), request)
}

pub(crate) fn send_as(bed: &Bed, key: &str, request: reqwest::RequestBuilder) -> Answer {
    let request = request.bearer_auth(key);
    bed.block_on(async {
        let response = request.timeout(DEADLINE).send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer {
            status,
            headers,
            text: response.text().await.unwrap(),
        }
    })
}

pub(crate) fn get_at(bed: &Bed, service: &Proc, path: &str, parameters: &[(&str, &str)]) -> Answer {
    let url = Url::parse_with_params(&format!("{}{path}", service.http()), parameters).unwrap();
    send(bed, http().get(url))
}

pub(crate) fn get(path: &str, parameters: &[(&str, &str)]) -> Answer {
    get_at(Bed::shared(), service(), path, parameters)
}

#[track_caller]
pub(crate) fn rows(path: &str, parameters: &[(&str, &str)]) -> Vec<Value> {
    let answer = get(path, parameters);
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["rows"].as_array().unwrap().clone()
}

/// All rows by following `next_cursor`, calling `between` after each page.
#[track_caller]
pub(crate) fn pages(path: &str, parameters: &[(&str, &str)], between: impl FnMut()) -> Vec<Value> {
    pages_at(Bed::shared(), service(), path, parameters, between)
}

#[track_caller]
pub(crate) fn pages_at(
    bed: &Bed,
    service: &Proc,
    path: &str,
    parameters: &[(&str, &str)],
    mut between: impl FnMut(),
) -> Vec<Value> {
    let (mut rows, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let continued = cursor.iter().map(|cursor| ("cursor", cursor.as_str()));
        let parameters: Vec<_> = parameters.iter().copied().chain(continued).collect();
        let answer = get_at(bed, service, path, &parameters);
        assert_eq!(answer.status, 200, "{}", answer.text);
        let page = answer.json();
        rows.extend(page["rows"].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => return rows,
        }
        between();
    }
}

#[track_caller]
pub(crate) fn assert_is_problem(answer: &Answer) {
    assert_eq!(answer.header("content-type"), "application/problem+json");
    let problem = answer.json();
    assert_eq!(problem["status"], answer.status);
    assert_eq!(problem["request_id"], answer.header("x-request-id"));
    for member in ["type", "title", "detail"] {
        assert!(problem[member].is_string(), "{member}: {problem}");
    }
    for secret in [
        "select ",
        "SELECT",
        "DB::Exception",
        "metrics_hourly_view",
        "audit_logs",
        "panicked",
        ".rs:",
    ] {
        assert!(!answer.text.contains(secret), "{secret}: {}", answer.text);
    }
}
