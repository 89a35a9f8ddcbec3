//! The parameters of a request: parsed once, strictly, before anything else happens.
//!
//! Enters: the raw query string. Leaves: values by name, decoded, each at most once, all known to the resource. Every
//! refusal is a [`Problem`] that names the parameter. Pure.

use std::collections::BTreeMap;

use percent_encoding::{percent_decode, percent_decode_str};

use crate::instant::Instant;
use crate::problem::Problem;
use crate::tenant::TenantId;

/// The whole query string; room for a cursor and for a filter on every column.
pub const QUERY_BYTES_MAX: usize = 48 * 1024;
/// One decoded value other than a cursor; the longest real ones are resource names of about 2,000 bytes.
const VALUE_BYTES_MAX: usize = 4 * 1024;
/// How much of an unknown name is repeated to the caller.
const ECHO_CHARS_MAX: usize = 64;

/// Values by name.
#[derive(Debug, Default)]
pub struct Parameters {
    values: BTreeMap<&'static str, String>,
}

/// A span of time, half-open, either end open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    /// First moment inside.
    pub from: Option<Instant>,
    /// First moment after.
    pub to: Option<Instant>,
}

impl Parameters {
    /// Parses a query string for a resource that knows the parameters `known`.
    pub fn parse(raw: &str, known: &[&'static str]) -> Result<Self, Problem> {
        if raw.len() > QUERY_BYTES_MAX {
            return Err(Problem::QueryTooLong {
                bytes_max: QUERY_BYTES_MAX,
            });
        }
        let mut values = BTreeMap::new();
        for pair in raw.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = known_name(name, known)?;
            let value = decode(value).ok_or_else(|| Problem::parameter(name, "is not UTF-8 once percent-decoded"))?;
            if name != "cursor" && value.len() > VALUE_BYTES_MAX {
                return Err(Problem::parameter(
                    name,
                    format!("is longer than {VALUE_BYTES_MAX} bytes"),
                ));
            }
            if values.insert(name, value).is_some() {
                return Err(Problem::parameter(name, "is given more than once"));
            }
        }
        Ok(Self { values })
    }

    /// A value as it stands. Given but empty means the empty string, which is how an absent text is stored.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// A value as it stands, owned.
    pub fn owned(&self, name: &str) -> Option<String> {
        self.text(name).map(str::to_owned)
    }

    /// `tenant_id`, which no question goes without.
    pub fn tenant(&self) -> Result<TenantId, Problem> {
        let text = self
            .text("tenant_id")
            .ok_or_else(|| Problem::parameter("tenant_id", "is required"))?;
        TenantId::new(text).ok_or_else(|| Problem::parameter("tenant_id", "is empty"))
    }

    /// `from` and `to`.
    pub fn span(&self) -> Result<Span, Problem> {
        let span = Span {
            from: self.instant("from")?,
            to: self.instant("to")?,
        };
        match (span.from, span.to) {
            (Some(from), Some(to)) if from >= to => Err(Problem::parameter("to", "is not after from")),
            _ => Ok(span),
        }
    }

    /// `limit`, or `default` where it is not given.
    pub fn limit(&self, default: u32, max: u32) -> Result<u32, Problem> {
        let Some(text) = self.text("limit") else {
            return Ok(default);
        };
        let limit = text.parse().ok().filter(|limit| (1..=max).contains(limit));
        limit.ok_or_else(|| Problem::parameter("limit", format!("expected a whole number from 1 to {max}")))
    }

    /// One of a few words.
    pub fn one_of(&self, name: &str, allowed: &[&'static str]) -> Result<Option<&'static str>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        match allowed.iter().find(|&&word| word == text) {
            Some(&word) => Ok(Some(word)),
            None => Err(Problem::parameter(
                name,
                format!("expected one of {}", allowed.join(", ")),
            )),
        }
    }

    fn instant(&self, name: &str) -> Result<Option<Instant>, Problem> {
        let parse = |text| Instant::parse(text).map_err(|error| Problem::parameter(name, error));
        self.text(name).map(parse).transpose()
    }
}

/// The known name that a raw name decodes to.
fn known_name(raw: &str, known: &[&'static str]) -> Result<&'static str, Problem> {
    let name = percent_decode_str(raw).decode_utf8_lossy();
    known
        .iter()
        .copied()
        .find(|&candidate| candidate == name)
        .ok_or_else(|| Problem::UnknownParameter {
            parameter: name.chars().take(ECHO_CHARS_MAX).collect(),
            known: known.join(", "),
        })
}

/// A value as forms and `curl --data-urlencode` write it; `None` when it is not UTF-8. Not decoded lossily: a question
/// about another value than the one that was meant would be answered with nothing, and believed.
fn decode(raw: &str) -> Option<String> {
    let spaced: Vec<u8> = raw.bytes().map(|byte| if byte == b'+' { b' ' } else { byte }).collect();
    percent_decode(&spaced).decode_utf8().ok().map(|text| text.into_owned())
}

/// Query strings that are noise, and such that almost fit: known names, unknown ones, values of all kinds.
#[cfg(test)]
pub(crate) fn any_query_string(known: &[&'static str]) -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::prelude::*;
    let name = prop_oneof![9 => prop::sample::select(known.to_vec()).prop_map(str::to_owned), 1 => "[a-z%_]{0,6}"];
    let value = prop_oneof![
        "[%a-zA-Z0-9_:.+-]{0,20}",
        "[0-9]{1,20}",
        "20[0-9]{2}-[01][0-9]-[0-3][0-9]",
        "\\PC{0,10}"
    ];
    let pairs = prop::collection::vec((name, value).prop_map(|(name, value)| format!("{name}={value}")), 0..6);
    prop_oneof![1 => "\\PC{0,120}", 9 => pairs.prop_map(|pairs| format!("tenant_id=a&{}", pairs.join("&")))]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KNOWN: [&str; 6] = ["tenant_id", "user_id", "from", "to", "limit", "cursor"];

    fn refused(raw: &str) -> Problem {
        let parse = |raw| {
            let parameters = Parameters::parse(raw, &KNOWN)?;
            parameters.tenant()?;
            parameters.span()?;
            parameters.limit(100, 1_000)
        };
        parse(raw).unwrap_err()
    }

    #[test]
    fn a_refusal_names_the_parameter() {
        for (raw, parameter) in [
            ("", "tenant_id"),
            ("tenant_id=", "tenant_id"),
            ("tenant_id=a&tenant_id=b", "tenant_id"),
            ("tenant_id=a&user_id=%ff", "user_id"),
            ("tenant_id=a&limit=0", "limit"),
            ("tenant_id=a&limit=1001", "limit"),
            ("tenant_id=a&limit=-1", "limit"),
            ("tenant_id=a&limit=99999999999999999999", "limit"),
            ("tenant_id=a&from=yesterday", "from"),
            ("tenant_id=a&to=", "to"),
            ("tenant_id=a&from=2026-01-02&to=2026-01-01", "to"),
            ("tenant_id=a&from=2026-01-02&to=2026-01-02", "to"),
            ("tenant_id=a&tenant=b", "tenant"),
            ("tenant_id=a&=b", ""),
        ] {
            assert_eq!(refused(raw).named_parameter(), Some(parameter), "{raw}");
        }
    }

    #[test]
    fn values_are_decoded_as_forms_write_them() {
        let parameters = Parameters::parse("&user_id=a+b%2Bc%26%3D%C3%A4&", &KNOWN).unwrap();
        assert_eq!(parameters.text("user_id"), Some("a b+c&=ä"));
    }

    #[test]
    fn a_query_string_has_a_bound() {
        let long = format!("tenant_id={}", "a".repeat(QUERY_BYTES_MAX));
        assert_eq!(
            refused(&long),
            Problem::QueryTooLong {
                bytes_max: QUERY_BYTES_MAX
            }
        );
        let long = format!("tenant_id={}", "a".repeat(VALUE_BYTES_MAX + 1));
        assert_eq!(refused(&long).named_parameter(), Some("tenant_id"));
    }

    proptest! {
        #[test]
        fn any_value_arrives_as_it_was_sent(value in "\\PC{0,200}") {
            let encoded = percent_encoding::utf8_percent_encode(&value, percent_encoding::NON_ALPHANUMERIC).to_string();
            let parameters = Parameters::parse(&format!("user_id={encoded}"), &KNOWN).unwrap();
            prop_assert_eq!(parameters.text("user_id"), Some(value.as_str()));
        }
    }
}
