//! The access review in print: a table for people, JSON for programs.

use crate::access::review::ReviewAnswer;
use crate::cli::table::{self, Column, number, text};

const COLUMNS: [Column; 16] = [
    text("NAME", "name"),
    text("ID", "id"),
    text("ROLE", "role"),
    text("TENANT", "tenant"),
    text("TEAMS", "teams"),
    text("MAY", "permissions"),
    text("ADDRESSES", "addresses"),
    number("REQUESTS/H", "requests_per_hour"),
    number("AT ONCE", "limits.concurrent_requests_max"),
    number("SECONDS", "limits.statement_timeout_s"),
    number("MEMORY", "limits.statement_memory_bytes_max"),
    number("READS", "limits.statement_read_bytes_max"),
    number("ROWS", "limits.statement_result_rows_max"),
    text("LAST USED", "last_used.at"),
    text("EXPIRES", "expires_at"),
    text("NOTES", "notes"),
];
const OF_SUBJECTS: [Column; 7] = [
    text("SUBJECT", "subject"),
    text("ROLE", "role"),
    text("TENANT", "tenant"),
    text("TEAMS", "teams"),
    text("MAY", "permissions"),
    text("LAST USED", "last_used.at"),
    text("NOTES", "notes"),
];

/// The access review as text.
pub fn shown(report: &ReviewAnswer, is_json: bool) -> serde_json::Result<String> {
    if is_json {
        return serde_json::to_string_pretty(report);
    }
    let report = serde_json::to_value(report)?;
    let rows = |name: &str| report[name].as_array().map(Vec::as_slice).unwrap_or_default();
    let keys = table::of_rows(&COLUMNS, rows("rows"));
    match rows("subjects") {
        [] => Ok(keys),
        subjects => Ok(format!("{keys}\n\n{}", table::of_rows(&OF_SUBJECTS, subjects))),
    }
}
