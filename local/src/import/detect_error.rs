//! Why a file cannot be read at all, and what to do with it.

use super::foreign::{Foreign, converted_from};
use super::json_recipes::Recipe;
use super::lines::LINE_BYTES_MAX;
use super::metrics_long::MetricsLongError;
use super::metrics_wide::MetricsWideError;

/// Why a file cannot be read at all.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DetectError {
    /// Nothing in it.
    #[error("it is empty")]
    Empty,
    /// Neither JSON nor a header.
    #[error(
        "cannot detect the format from the first line, `{line}`; expected a CSV header with a time column, or JSON objects; lines of a log can be made JSON with `jq -cR 'capture(\"…\")'`"
    )]
    Unknown {
        /// Cut to a readable length.
        line: String,
    },
    /// Audit events are not read from CSV: nothing says which column is which field.
    #[error(
        "it is not JSON, and audit events are only read from JSON; say which column is which field with `python3 -c 'import csv, json, sys; [print(json.dumps(row)) for row in csv.DictReader(sys.stdin)]' < FILE | jq -c '{{occurred_at: .WHEN, action: .WHAT, user_id: .WHO, metadata: .}}' > NEW.ndjson`, and import that; all fields are in schemas/avro/audit_event.avsc"
    )]
    AuditCsv,
    /// A number with a comma that may be its decimal sign or part of thousands.
    #[error(
        "`{text}` in column `{column}` may be a number with a decimal comma; say --decimal comma if it is, --decimal point if commas are text"
    )]
    Decimal {
        /// The column.
        column: String,
        /// The text as found.
        text: String,
    },
    /// Columns as InfluxDB names them, with several tables in one file.
    #[error(
        "it is an answer of InfluxDB; add `|> group() |> rename(columns: {{_time: \"time\", _value: \"value\", _field: \"metric\"}}) |> drop(columns: [\"_start\", \"_stop\"])` to the query"
    )]
    Influx,
    /// JSON of others, which jq makes ours.
    #[error(transparent)]
    Recipe(#[from] Recipe),
    /// Another program must convert it to text first.
    #[error(transparent)]
    Foreign(#[from] Foreign),
    /// Lines end with a carriage return alone, as only old Macintosh programs write them.
    #[error(
        "its lines end with a carriage return alone; use `tr '\\r' '\\n' < FILE | horolog import … -`, for CSV with --metric and --service in place of the file and folder names"
    )]
    CarriageReturns,
    /// The first line of a CSV file does not end within what is read at once.
    #[error("its first line is longer than {LINE_BYTES_MAX} bytes")]
    Header,
    /// The first line of a CSV file is text in another encoding, or no text.
    #[error(
        "its first line is not UTF-8; if it is text, {}",
        converted_from!("WINDOWS-1252")
    )]
    NotUtf8,
    /// Not a file with one metric.
    #[error("metrics-csv takes only a time column and a column `value`, but the columns are {}; try --format metrics-long or metrics-wide", found.join(", "))]
    SeveralMetrics {
        /// The columns that there are.
        found: Vec<String>,
    },
    /// Not a file with one sample per line.
    #[error(transparent)]
    MetricsLong(#[from] MetricsLongError),
    /// Not a wide file.
    #[error(transparent)]
    MetricsWide(#[from] MetricsWideError),
}
