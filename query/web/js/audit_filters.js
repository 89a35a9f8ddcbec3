// The filters that search and exports of audit events have in common, the frequent ones first.

export const FILTERS = ["user_id", "action", "resource_type", "resource_id", "text", "status", "source", "ip_address", "service_id", "team_id", "plugin_id", "session_id", "request_id", "event_id"];

/** Those that are given something to look for. */
export const filtersIn = (given) => Object.fromEntries(FILTERS.filter((name) => given[name]).map((name) => [name, given[name]]));
