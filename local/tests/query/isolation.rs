//! Every endpoint with every role against the data of three tenants, compared with a table written by hand.
//!
//! An endpoint that is not in the table fails, and so does a line of the table without an endpoint. An answer about the
//! caller's own tenant contains its data where it should; it never contains anything of the two others, whether they
//! are named or their ids are used.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::asking::{KEYS, call, export, make_key};
use crate::bed::Bed;
use crate::client::{Answer, get};
use crate::rows::{insert_event, vouch_for_events};

const TENANTS: [&str; 3] = ["isolated-red", "isolated-blue", "isolated-green"];
const ROLES: [&str; 4] = ["analyst", "auditor", "admin", "service"];

/// Method, route as it is described, what to add to it, and the status for [`ROLES`] in their order.
type Line = (&'static str, &'static str, &'static str, [u16; 4]);

#[rustfmt::skip]
const TABLE: [Line; 34] = [
    ("GET",    "/v1/metrics/hourly",                  "",                          [200, 200, 403, 200]),
    ("GET",    "/v1/metrics/daily",                   "",                          [200, 200, 403, 200]),
    ("GET",    "/v1/metrics/monthly",                 "",                          [200, 200, 403, 200]),
    ("GET",    "/v1/metrics/names",                   "from=2026-01-01",           [200, 200, 403, 200]),
    ("GET",    "/v1/metrics/values",                  "column=service_id&from=2026-01-01", [200, 200, 403, 200]),
    ("GET",    "/v1/metrics/labels",                  "metric_name=m&label=whose&from=2026-01-01", [200, 200, 403, 200]),
    ("GET",    "/v1/metrics/revisions",               "",                          [200, 200, 403, 200]),
    ("GET",    "/v1/metrics/counters/hourly",         "metric_name=m",             [200, 200, 403, 200]),
    ("GET",    "/v1/metrics/counters/daily",          "metric_name=m",             [200, 200, 403, 200]),
    ("GET",    "/v1/metrics/counters/monthly",        "metric_name=m",             [200, 200, 403, 200]),
    ("GET",    "/v1/metrics/health",                  "",                          [200, 200, 403, 200]),
    ("GET",    "/v1/audit/events",                    "",                          [403, 200, 403, 200]),
    ("GET",    "/v1/audit/events/{event_id}",         "",                          [403, 200, 403, 200]),
    ("GET",    "/v1/audit/counts",                    "by=action",                 [200, 200, 403, 200]),
    ("GET",    "/v1/audit/exports",                   "",                          [403, 200, 403, 403]),
    ("POST",   "/v1/audit/exports",                   "",                          [403, 202, 403, 403]),
    ("GET",    "/v1/audit/exports/{id}",              "",                          [403, 200, 403, 403]),
    ("GET",    "/v1/audit/exports/{id}/files/{name}", "",                          [403, 200, 403, 403]),
    ("DELETE", "/v1/audit/exports/{id}",              "",                          [403, 204, 403, 403]),
    ("GET",    "/v1/system/progress",                 "",                          [403, 403, 403, 403]),
    ("GET",    "/v1/system/ledger",                   "",                          [403, 403, 403, 403]),
    ("GET",    "/v1/system/rejections",               "",                          [403, 403, 403, 403]),
    ("GET",    "/v1/system/storage",                  "",                          [403, 403, 403, 403]),
    ("GET",    "/v1/system/configuration",            "",                          [403, 403, 403, 403]),
    ("GET",    "/v1/admin/keys",                      "",                          [403, 403, 200, 403]),
    ("POST",   "/v1/admin/keys",                      "",                          [403, 403, 201, 403]),
    ("GET",    "/v1/admin/keys/{id}",                 "",                          [403, 403, 200, 403]),
    ("POST",   "/v1/admin/keys/{id}/rotate",          "",                          [403, 403, 200, 403]),
    ("POST",   "/v1/admin/keys/{id}/expire",          "",                          [403, 403, 200, 403]),
    ("POST",   "/v1/admin/keys/{id}/revoke",          "",                          [403, 403, 200, 403]),
    ("GET",    "/v1/admin/access-review",             "",                          [403, 403, 200, 403]),
    ("GET",    "/v1/whoami",                          "",                          [200, 200, 200, 200]),
    ("GET",    "/v1/no-such-thing",                   "",                          [404, 404, 404, 404]),
    ("GET",    "/v1/",                                "",                          [404, 404, 404, 404]),
];

/// A tenant's data and keys.
struct Tenant {
    name: &'static str,
    /// One token per role, in the order of [`ROLES`].
    tokens: [String; 4],
    event: String,
    export: String,
    key: String,
}

impl Tenant {
    fn new(number: usize) -> Self {
        let name = TENANTS[number];
        let bed = Bed::shared();
        bed.execute(&format!(
            "insert into metrics_hourly select '{name}', '{name}', toDateTime('2026-01-01 00:00:00', 'UTC'), '{name}', '', '', '', 'gauge', \
             '', 0, 0, 'metrics', 1, 0, 1., 1., 1., (now64(6), 0, 1, 1.), map(), map(), 1, now64(3)"
        ));
        bed.execute(&format!(
            "insert into metrics (tenant_id, time, metric_name, metric_type, service_id, value, labels, kafka_topic, kafka_partition, \
             kafka_offset, kafka_timestamp, log_epoch, inserted_at) \
             select '{name}', now64(6), 'm', 'gauge', '{name}', 1, map('whose', '{name}'), 'metrics', 0, {number}, now64(3), 1, now64(3)"
        ));
        let offset = 700 + u32::try_from(number).unwrap();
        insert_event(name, offset, &[("action", &format!("'{name}'"))]);
        let tokens = ROLES.map(|role| make_key(role, name, json!({})).token);
        Self {
            name,
            export: export(&tokens[1]),
            tokens,
            event: format!("00000000-0000-4000-8000-{offset:012}"),
            key: make_key("analyst", name, json!({})).id,
        }
    }

    /// The path of a route, with the ids of this tenant's data.
    fn path(&self, route: &str) -> String {
        let id = if route.starts_with(KEYS) {
            &self.key
        } else {
            &self.export
        };
        let path = route.replace("{event_id}", &self.event).replace("{id}", id);
        path.replace("{name}", "manifest.json")
    }

    /// Replaces what a request has used up.
    fn renew(&mut self, method: &str, route: &str) {
        match (method, route) {
            ("DELETE", _) => self.export = export(&self.tokens[1]),
            (_, "/v1/admin/keys/{id}/revoke") => self.key = make_key("analyst", self.name, json!({})).id,
            _ => {}
        }
    }

    fn body(&self, method: &str, route: &str) -> Option<Value> {
        (method == "POST").then(|| match route {
            KEYS => json!({"name": "n", "role": "analyst", "tenant": self.name}),
            "/v1/admin/keys/{id}/expire" => json!({"expires_at": "2100-01-01T00:00:00Z"}),
            _ => json!({}),
        })
    }
}

fn is_of_a_tenant(route: &str) -> bool {
    route.starts_with("/v1/metrics/") || route.starts_with("/v1/audit/")
}

/// Whether the answer to an authorised caller must contain the tenant's name.
fn tells(method: &str, route: &str) -> bool {
    let has_none_here = ["/v1/metrics/revisions", "/v1/metrics/counters/", "/v1/metrics/health"];
    method != "DELETE" && !has_none_here.iter().any(|beginning| route.starts_with(beginning))
}

fn assert_says_nothing_of_others(answer: &Answer, own: &str, asked: &str) {
    for other in TENANTS.iter().filter(|&&other| other != own) {
        assert!(
            !answer.text.contains(other),
            "{asked} says something of {other} to {own}: {}",
            answer.text
        );
    }
}

#[test]
fn every_endpoint_is_in_the_table() {
    let description = get("/openapi.json", &[]).json();
    let described: BTreeSet<(String, String)> = description["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| {
            item.as_object()
                .unwrap()
                .keys()
                .map(move |method| (method.to_uppercase(), path.clone()))
        })
        .collect();
    let table: BTreeSet<(String, String)> = TABLE
        .iter()
        .filter(|(_, _, _, statuses)| *statuses != [404; 4])
        .map(|(method, route, ..)| ((*method).to_owned(), (*route).to_owned()))
        .collect();
    assert_eq!(described, table);
}

#[test]
fn nobody_gets_anything_of_another_tenant() {
    vouch_for_events();
    let mut tenants: Vec<Tenant> = (0..TENANTS.len()).map(Tenant::new).collect();
    for (method, route, query, statuses) in TABLE {
        let verb: Method = method.parse().unwrap();
        for own in 0..tenants.len() {
            for (role, expected) in statuses.into_iter().enumerate() {
                let (tenant, token) = (&tenants[own], &tenants[own].tokens[role]);
                let ask = |path: &str, query: &str, body: Option<&Value>| {
                    call(token, verb.clone(), &format!("{path}?{query}"), body)
                };
                let asked = format!("{method} {route} as {} of {}", ROLES[role], tenant.name);
                for (number, other) in tenants.iter().enumerate().filter(|(number, _)| *number != own) {
                    let refused = |status: u16| if expected / 100 == 2 { status } else { expected };
                    if is_of_a_tenant(route) {
                        let query = format!("{query}&tenant_id={}", other.name);
                        let answer = ask(&other.path(route), &query, other.body(method, route).as_ref());
                        assert_eq!(
                            answer.status,
                            refused(403),
                            "{asked}, naming {}: {}",
                            other.name,
                            answer.text
                        );
                        assert_says_nothing_of_others(&answer, tenant.name, &asked);
                    }
                    if route.contains('{') || (route == KEYS && method == "POST") {
                        let answer = ask(&other.path(route), query, other.body(method, route).as_ref());
                        let expected = refused(if route == KEYS { 403 } else { 404 });
                        assert_eq!(
                            answer.status, expected,
                            "{asked}, with what is of {number}: {}",
                            answer.text
                        );
                        assert_says_nothing_of_others(&answer, tenant.name, &asked);
                    }
                }
                let answer = ask(&tenant.path(route), query, tenant.body(method, route).as_ref());
                assert_eq!(answer.status, expected, "{asked}: {}", answer.text);
                assert_says_nothing_of_others(&answer, tenant.name, &asked);
                if expected / 100 == 2 {
                    let told = answer.text.contains(tenant.name);
                    assert!(told || !tells(method, route), "{asked} says nothing: {}", answer.text);
                    tenants[own].renew(method, route);
                }
            }
        }
    }
}

#[test]
fn nobody_at_all_gets_anything() {
    for (method, route, query, _) in TABLE {
        let path = format!("{}?{query}", route.replace(['{', '}'], ""));
        for token in [
            "",
            "nonsense",
            "hlg_000000000000_0000000000000000000000000000000000000000000000",
            "e30.e30.e30",
        ] {
            let answer = call(token, method.parse().unwrap(), &path, None);
            assert_eq!(answer.status, 401, "{method} {path} with {token:?}");
            assert!(answer.header("www-authenticate").starts_with("Bearer"));
        }
    }
}
