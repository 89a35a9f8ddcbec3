//! A request for an export.
//!
//! Enters: the JSON body of a request. Leaves: filter, format and compression, all checked, or a problem that names the
//! field to change. Pure.

use std::collections::BTreeMap;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::Problem;
use crate::api::parameters::VALUE_BYTES_MAX;
use crate::audit::filter::{Conditions, EventFilter};

/// Bound of all values of a filter: it is kept as long as the journal, and in the memory of every process.
const FILTER_BYTES_MAX: usize = 2 * VALUE_BYTES_MAX;

/// Format of the rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    #[default]
    /// Apache Parquet.
    Parquet,
    /// One JSON object per line.
    Ndjson,
    /// RFC 4180, with a header line.
    Csv,
}

/// Compression of the files. Parquet compresses its own pages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    #[default]
    /// Zstandard, RFC 8878.
    Zstd,
    /// Gzip, RFC 1952.
    Gzip,
    /// Not compressed.
    None,
}

/// The body of a request for an export.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NewExport {
    /// Filters of the search. Without any, all events of the tenant are exported.
    #[schema(value_type = EventFilter)]
    pub filter: BTreeMap<String, String>,
    /// Format of the rows.
    pub format: Format,
    /// Compression of the files.
    pub compression: Compression,
}

/// The request for an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Spec {
    /// Tenant of the events.
    pub tenant_id: String,
    /// Filter of the events: parameters of the search and their values.
    pub filter: BTreeMap<String, String>,
    /// Format of the rows.
    pub format: Format,
    /// Compression of the files.
    pub compression: Compression,
}

impl Spec {
    /// A request of a tenant.
    pub fn new(tenant_id: &str, asked: NewExport) -> Result<Self, Problem> {
        bounded(&asked.filter)?;
        let conditions = EventFilter::from_members(asked.filter)?.conditions();
        let conditions = conditions.map_err(|problem| match problem {
            Problem::InvalidParameter { parameter, reason } => {
                Problem::parameter(&format!("filter.{parameter}"), reason)
            }
            other => other,
        })?;
        Ok(Self {
            tenant_id: tenant_id.to_owned(),
            filter: conditions.canonical().clone(),
            format: asked.format,
            compression: asked.compression,
        })
    }

    /// The filter as conditions. Its length is not checked again: it is stored in another form than it was sent in, and
    /// an earlier release may have had another bound.
    pub fn conditions(&self) -> Result<Conditions, Problem> {
        EventFilter::from_members(self.filter.clone())?.conditions()
    }

    /// The name of a file: `audit-2026-01-0001.ndjson.zst`.
    pub fn file_name(&self, month: u32, part: u32) -> String {
        let extension = match (self.format, self.compression) {
            (Format::Parquet, _) => "parquet",
            (Format::Ndjson, Compression::Zstd) => "ndjson.zst",
            (Format::Ndjson, Compression::Gzip) => "ndjson.gz",
            (Format::Ndjson, Compression::None) => "ndjson",
            (Format::Csv, Compression::Zstd) => "csv.zst",
            (Format::Csv, Compression::Gzip) => "csv.gz",
            (Format::Csv, Compression::None) => "csv",
        };
        format!("audit-{:04}-{:02}-{part:04}.{extension}", month / 100, month % 100)
    }
}

/// Refuses a filter that is too long to store, or has a value longer than a query string may have.
fn bounded(filter: &BTreeMap<String, String>) -> Result<(), Problem> {
    if let Some((name, _)) = filter.iter().find(|(_, value)| value.len() > VALUE_BYTES_MAX) {
        let reason = format!("is longer than {VALUE_BYTES_MAX} bytes");
        return Err(Problem::parameter(&format!("filter.{name}"), reason));
    }
    match filter.values().map(String::len).sum::<usize>() > FILTER_BYTES_MAX {
        true => Err(Problem::parameter(
            "filter",
            format!("has values of more than {FILTER_BYTES_MAX} bytes together"),
        )),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(body: &str) -> Result<Spec, Problem> {
        Spec::new("acme", serde_json::from_str(body).unwrap())
    }

    #[test]
    fn a_body_is_a_spec_or_names_what_is_wrong() {
        let asked = r#"{"format":"csv","compression":"gzip","filter":{"user_id":"ann","from":"2024-01-01"}}"#;
        let asked = spec(asked).unwrap();
        assert_eq!((asked.format, asked.compression), (Format::Csv, Compression::Gzip));
        assert_eq!(asked.filter["from"], "2024-01-01T00:00:00Z");
        assert_eq!(asked.conditions().unwrap().canonical()["user_id"], "ann");
        assert_eq!(asked.file_name(202401, 1), "audit-2024-01-0001.csv.gz");
        for (filter, named) in [
            (r#"{"usr_id":"ann"}"#, "filter.usr_id"),
            (r#"{"from":"2024-02-01","to":"2024-01-01"}"#, "filter.to"),
            (r#"{"ip_address":"10.0.0.0/99"}"#, "filter.ip_address"),
            (r#"{"text":" - "}"#, "filter.text"),
            (r#"{"status":"ok"}"#, "filter.status"),
            (r#"{"event_id":"7"}"#, "filter.event_id"),
        ] {
            let problem = spec(&format!(r#"{{"filter":{filter}}}"#)).unwrap_err();
            assert_eq!(problem.named_parameter(), Some(named), "{filter}: {problem}");
        }
    }

    /// With a filter whose values have these lengths.
    fn of_bytes(members: &[(&str, usize)]) -> Result<Spec, Problem> {
        let text = |&(name, bytes): &(&str, usize)| (name.to_owned(), "a".repeat(bytes));
        let filter = members.iter().map(text).collect();
        let asked = NewExport {
            filter,
            ..NewExport::default()
        };
        Spec::new("acme", asked)
    }

    #[test]
    fn a_filter_has_a_bound_as_one_in_a_query_string_has() {
        assert!(of_bytes(&[("user_id", VALUE_BYTES_MAX), ("action", VALUE_BYTES_MAX)]).is_ok());
        for (members, named) in [
            (&[("user_id", VALUE_BYTES_MAX + 1)][..], "filter.user_id"),
            (&[("from", VALUE_BYTES_MAX + 1)], "filter.from"),
            (
                &[("user_id", VALUE_BYTES_MAX), ("action", VALUE_BYTES_MAX), ("text", 1)],
                "filter",
            ),
            (&[("userid", VALUE_BYTES_MAX + 1)], "filter.userid"),
        ] {
            let problem = of_bytes(members).unwrap_err();
            assert_eq!(problem.named_parameter(), Some(named), "{members:?}");
        }
    }

    #[test]
    fn a_filter_that_was_accepted_is_taken_again_however_long_it_is_kept() {
        // The 32 digits of an event's id are stored with hyphens.
        let sizes = [
            ("user_id", VALUE_BYTES_MAX),
            ("action", VALUE_BYTES_MAX - 32),
            ("event_id", 32),
        ];
        let mut accepted = of_bytes(&sizes).unwrap();
        assert_eq!(
            accepted.filter.values().map(String::len).sum::<usize>(),
            FILTER_BYTES_MAX + 4
        );
        assert_eq!(*accepted.conditions().unwrap().canonical(), accepted.filter);
        let of_earlier_release = "a".repeat(FILTER_BYTES_MAX + 1);
        accepted.filter.insert("session_id".to_owned(), of_earlier_release);
        assert!(accepted.conditions().is_ok());
    }
}
