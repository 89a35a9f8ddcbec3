//! The permission that each route needs. A route without a line here is closed to everybody.
//!
//! Pure constants, and the one place where roles meet the API. Exceptions that allow more come before the rule of their
//! path prefix.

use axum::http::Method;

use crate::access::Permission;

/// Routes of exports that show nothing of an event, only the filter and the progress.
const EXPORT_STATES: [&str; 2] = ["/v1/audit/exports", "/v1/audit/exports/{id}"];

/// Route prefixes; the first match counts.
const RULES: [(&str, Permission); 6] = [
    ("/v1/metrics/", Permission::ReadMetrics),
    ("/v1/audit/exports", Permission::ExportAudit),
    ("/v1/audit/counts", Permission::CountAudit),
    ("/v1/audit/", Permission::ReadAudit),
    ("/v1/system/", Permission::ReadSystem),
    ("/v1/admin/", Permission::ManageKeys),
];

/// Open to every authenticated caller: it only shows who they are.
const OF_ONESELF: &str = "/v1/whoami";

/// Whether a route needs no permission beyond authentication.
pub fn is_of_oneself(route: &str) -> bool {
    route == OF_ONESELF
}

/// The permission that a route needs; `None` if it has no rule.
pub fn needed(route: &str) -> Option<Permission> {
    RULES
        .iter()
        .find(|(beginning, _)| route.starts_with(beginning))
        .map(|&(_, permission)| permission)
}

/// The name of a request in the audit trail; `None` if it concerns no audit data.
pub fn action(method: &Method, route: &str) -> Option<&'static str> {
    let reads = method == Method::GET || method == Method::HEAD;
    match needed(route)? {
        Permission::ReadAudit | Permission::ReadRestricted => Some("audit.read"),
        Permission::CountAudit => Some("audit.count"),
        Permission::ExportAudit if !reads => Some("audit.export"),
        Permission::ExportAudit if EXPORT_STATES.contains(&route) => None,
        Permission::ExportAudit => Some("audit.download"),
        Permission::ReadMetrics | Permission::ReadSystem | Permission::ManageKeys => None,
    }
}

/// Whether a path is open to everybody. Probes, metrics and the files of the web page contain nobody's data.
pub fn is_open(path: &str) -> bool {
    !path.starts_with("/v1/") && path != "/v1"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_under_v1_is_closed() {
        for path in ["/v1", "/v1/", "/v1/metrics/hourly", "/v1/../livez"] {
            assert!(!is_open(path), "{path}");
        }
        for path in ["/", "/livez", "/metrics", "/v10"] {
            assert!(is_open(path), "{path}");
        }
    }

    #[test]
    fn a_route_that_nobody_thought_of_has_no_permission() {
        assert_eq!(needed("/v1/new-things"), None);
        assert!(!is_of_oneself("/v1/new-things") && is_of_oneself("/v1/whoami"));
        assert_eq!(needed("/v1/audit/exports/{id}"), Some(Permission::ExportAudit));
        assert_eq!(needed("/v1/audit/events"), Some(Permission::ReadAudit));
    }

    #[test]
    fn whatever_shows_or_moves_events_leaves_a_trail() {
        for (method, route, expected) in [
            (Method::GET, "/v1/audit/events", Some("audit.read")),
            (Method::HEAD, "/v1/audit/events/{event_id}", Some("audit.read")),
            (Method::GET, "/v1/audit/counts", Some("audit.count")),
            (Method::POST, "/v1/audit/exports", Some("audit.export")),
            (Method::DELETE, "/v1/audit/exports/{id}", Some("audit.export")),
            (
                Method::GET,
                "/v1/audit/exports/{id}/files/{name}",
                Some("audit.download"),
            ),
            (Method::GET, "/v1/audit/exports/{id}", None),
            (Method::GET, "/v1/metrics/hourly", None),
            (Method::GET, "/v1/new-things", None),
        ] {
            assert_eq!(action(&method, route), expected, "{method} {route}");
        }
    }
}
