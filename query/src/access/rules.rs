//! Which permission each route needs. A route without a line here is not answered to anybody.
//!
//! Pure constants, and the one place where roles meet the API. More permissive exceptions come before the rule of their folder.

use axum::http::Method;

use crate::access::Permission;

/// Routes of exports under which nothing of an event is shown, only what was asked for and how far it is.
const EXPORT_STATES: [&str; 2] = ["/v1/audit/exports", "/v1/audit/exports/{id}"];

/// Beginnings of routes, the first that fits.
const RULES: [(&str, Permission); 6] = [
    ("/v1/metrics/", Permission::ReadMetrics),
    ("/v1/audit/exports", Permission::ExportAudit),
    ("/v1/audit/counts", Permission::CountAudit),
    ("/v1/audit/", Permission::ReadAudit),
    ("/v1/system/", Permission::ReadSystem),
    ("/v1/admin/", Permission::ManageKeys),
];

/// What whoever is let in may ask: nothing but who they are.
const OF_ONESELF: &str = "/v1/whoami";

/// Whether a route needs no permission beyond being let in.
pub fn is_of_oneself(route: &str) -> bool {
    route == OF_ONESELF
}

/// What a route needs; `None` where nobody thought of it.
pub fn needed(route: &str) -> Option<Permission> {
    RULES
        .iter()
        .find(|(beginning, _)| route.starts_with(beginning))
        .map(|&(_, permission)| permission)
}

/// What a request is called in the audit trail; `None` where no audit data are concerned.
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

/// Whether a path is answered to everybody. Probes, measurements and what a browser needs to show a page hold no data of anybody.
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
