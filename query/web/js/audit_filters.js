// The filters that audit search and exports share, most used first.

export const FILTERS = ["user_id", "action", "resource_type", "resource_id", "text", "status", "source", "ip_address", "service_id", "team_id", "plugin_id", "session_id", "request_id", "event_id"];

/** The filters with a value. */
export const filtersIn = (given) => Object.fromEntries(FILTERS.filter((name) => given[name]).map((name) => [name, given[name]]));
