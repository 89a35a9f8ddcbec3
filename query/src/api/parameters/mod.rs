//! The parameters of a request: parsed once, strictly, before anything else happens.
//!
//! A resource declares its parameters as one struct that derives `Deserialize`, `Serialize` and `IntoParams`: OpenAPI
//! shows its fields, and [`crate::api::declared`] refuses all other names. Enters: the raw query string. Leaves: the
//! struct; a `Vec` field may be given more than once, any other at most once. Every refusal is a [`Problem`] that names
//! the parameter. Pure.

mod values;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use percent_encoding::{percent_decode, percent_decode_str};
use serde::de::DeserializeOwned;
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterIn};

use crate::api::Problem;
pub use values::ValueError;
use values::Values;

/// The parameter that names the tenant; read by [`crate::access::Caller`] and accepted by each resource.
pub const TENANT: &str = "tenant_id";
/// Bound of the whole query string; enough for a cursor and a filter on every column.
pub const QUERY_BYTES_MAX: usize = 48 * 1024;
/// Bound of one decoded value other than a cursor; the longest real ones are resource names of about 2,000 bytes.
pub const VALUE_BYTES_MAX: usize = 4 * 1024;
/// How often one parameter may be given.
const VALUES_MAX: usize = 100;
/// How much of a name is echoed to the caller.
const ECHO_CHARS_MAX: usize = 64;

/// The parameters, as the resource's struct.
#[derive(Debug, Clone, Copy)]
pub struct Asked<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parse(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

/// The parameters, as two structs: one shared by several resources, and the resource's own.
#[derive(Debug, Clone, Copy)]
pub struct Both<A, B>(pub A, pub B);

impl<A: IntoParams, B: IntoParams> IntoParams for Both<A, B> {
    fn into_params(within: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        [A::into_params(&within), B::into_params(&within)].concat()
    }
}

impl<S, A, B> FromRequestParts<S> for Both<A, B>
where
    S: Send + Sync,
    A: DeserializeOwned,
    B: DeserializeOwned,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parse_both(parts.uri.query().unwrap_or_default())
    }
}

/// Parses a query string.
pub fn parse<T: DeserializeOwned>(raw: &str) -> Result<T, Problem> {
    deserialize(decode(raw)?)
}

/// Parses a query string into two structs.
pub fn parse_both<A, B>(raw: &str) -> Result<Both<A, B>, Problem>
where
    A: DeserializeOwned,
    B: DeserializeOwned,
{
    let values = decode(raw)?;
    Ok(Both(deserialize(values.clone())?, deserialize(values)?))
}

fn deserialize<T: DeserializeOwned>(values: BTreeMap<String, Vec<String>>) -> Result<T, Problem> {
    serde_path_to_error::deserialize(Values::of_all(values)).map_err(|error| {
        let path = error.path().to_string();
        let name = path.split(['[', '.']).next().unwrap_or_default().to_owned();
        match error.into_inner() {
            ValueError::Missing(name) => Problem::parameter(name, "is required"),
            ValueError::Invalid(reason) => Problem::parameter(&name, reason),
        }
    })
}

/// One parameter that a resource does not declare itself.
pub fn value(parts: &Parts, name: &str) -> Result<Option<String>, Problem> {
    let mut values = decode(parts.uri.query().unwrap_or_default())?;
    match values.remove(name) {
        Some(values) if values.len() > 1 => Err(Problem::parameter(name, "is given more than once")),
        values => Ok(values.and_then(|mut values| values.pop())),
    }
}

/// Values by name, in the order in which they were given.
pub fn decode(raw: &str) -> Result<BTreeMap<String, Vec<String>>, Problem> {
    if raw.len() > QUERY_BYTES_MAX {
        return Err(Problem::QueryTooLong {
            bytes_max: QUERY_BYTES_MAX,
        });
    }
    let mut values = BTreeMap::<String, Vec<String>>::new();
    for pair in raw.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = percent_decode_str(name).decode_utf8_lossy().into_owned();
        let shown: String = name.chars().take(ECHO_CHARS_MAX).collect();
        let refuse = |reason: String| Problem::parameter(&shown, reason);
        let value = decode_value(value).ok_or_else(|| refuse("is not UTF-8 once percent-decoded".to_owned()))?;
        if name != "cursor" && value.len() > VALUE_BYTES_MAX {
            return Err(refuse(format!("is longer than {VALUE_BYTES_MAX} bytes")));
        }
        match values.entry(name) {
            Entry::Vacant(entry) => {
                entry.insert(vec![value]);
            }
            Entry::Occupied(entry) if entry.get().len() >= VALUES_MAX => {
                return Err(refuse(format!("is given more than {VALUES_MAX} times")));
            }
            Entry::Occupied(mut entry) => entry.get_mut().push(value),
        }
    }
    Ok(values)
}

/// Decodes a value as forms and `curl --data-urlencode` encode it; `None` if it is not UTF-8. Not lossy: a question
/// about another value than intended would be answered with no rows, and believed.
fn decode_value(raw: &str) -> Option<String> {
    let spaced: Vec<u8> = raw.bytes().map(|byte| if byte == b'+' { b' ' } else { byte }).collect();
    percent_decode(&spaced).decode_utf8().ok().map(|text| text.into_owned())
}

/// Query strings that are noise, or nearly valid: known names, unknown ones, values of all kinds.
#[cfg(test)]
pub(crate) fn any_query_string<T: IntoParams>() -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::prelude::*;
    let known: Vec<String> = T::into_params(|| None)
        .into_iter()
        .map(|parameter| parameter.name)
        .collect();
    let name = prop_oneof![9 => prop::sample::select(known), 1 => "[a-z%_]{0,6}"];
    let value = prop_oneof![
        "[%a-zA-Z0-9_:.+-]{0,20}",
        "[0-9]{1,20}",
        "20[0-9]{2}-[01][0-9]-[0-3][0-9]",
        "\\PC{0,10}"
    ];
    let pairs = prop::collection::vec((name, value).prop_map(|(name, value)| format!("{name}={value}")), 0..6);
    prop_oneof![1 => "\\PC{0,120}", 9 => pairs.prop_map(|pairs| pairs.join("&"))]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::api::instant::{Instant, Span};
    use crate::api::page::Limit;

    #[derive(Debug, Serialize, Deserialize, IntoParams)]
    struct Known {
        /// A filter.
        user_id: Option<String>,
        /// A filter with several values.
        #[serde(default)]
        team_id: Vec<String>,
        /// First moment.
        from: Option<Instant>,
        /// First moment after.
        to: Option<Instant>,
        /// Rows.
        #[serde(default)]
        limit: Limit<100, 1_000>,
        /// Include later ones.
        #[serde(default)]
        fresh: bool,
    }

    fn refused(raw: &str) -> Problem {
        let parse = |raw| parse::<Known>(raw).and_then(|known| Span::new(known.from, known.to));
        parse(raw).unwrap_err()
    }

    #[test]
    fn a_refusal_names_the_parameter() {
        for (raw, parameter) in [
            ("user_id=a&user_id=b", "user_id"),
            ("user_id=%ff", "user_id"),
            ("limit=0", "limit"),
            ("limit=1001", "limit"),
            ("limit=-1", "limit"),
            ("limit=99999999999999999999", "limit"),
            ("from=yesterday", "from"),
            ("to=", "to"),
            ("from=2026-01-02&to=2026-01-01", "to"),
            ("from=2026-01-02&to=2026-01-02", "to"),
            ("fresh=maybe", "fresh"),
            ("tenant=%ff", "tenant"),
        ] {
            assert_eq!(refused(raw).named_parameter(), Some(parameter), "{raw}");
        }
    }

    #[test]
    fn values_are_decoded_as_forms_write_them() {
        let known: Known = parse("&user_id=a+b%2Bc%26%3D%C3%A4&team_id=x&team_id=&fresh=true&").unwrap();
        assert_eq!(known.user_id.as_deref(), Some("a b+c&=ä"));
        assert_eq!(known.team_id, ["x", ""]);
        assert!(known.fresh);
        assert_eq!(known.limit.rows(), 100);
    }

    #[test]
    fn two_structs_take_each_its_own() {
        #[derive(Debug, Deserialize)]
        struct Other {
            word: String,
        }
        let Both(known, other) = parse_both::<Known, Other>("team_id=x&word=y&team_id=z&tenant_id=t").unwrap();
        assert_eq!(
            (known.team_id, other.word),
            (vec!["x".to_owned(), "z".to_owned()], "y".to_owned())
        );
    }

    #[test]
    fn a_query_string_has_a_bound() {
        let long = format!("user_id={}", "a".repeat(QUERY_BYTES_MAX));
        assert_eq!(
            refused(&long),
            Problem::QueryTooLong {
                bytes_max: QUERY_BYTES_MAX
            }
        );
        let long = format!("user_id={}", "a".repeat(VALUE_BYTES_MAX + 1));
        assert_eq!(refused(&long).named_parameter(), Some("user_id"));
        assert_eq!(
            refused(&"team_id=a&".repeat(VALUES_MAX + 1)).named_parameter(),
            Some("team_id")
        );
    }

    proptest! {
        #[test]
        fn any_value_arrives_as_it_was_sent(value in "\\PC{0,200}") {
            let encoded = percent_encoding::utf8_percent_encode(&value, percent_encoding::NON_ALPHANUMERIC).to_string();
            let known: Known = parse(&format!("user_id={encoded}")).unwrap();
            prop_assert_eq!(known.user_id, Some(value));
        }

        #[test]
        fn any_query_string_is_parsed_or_refused(raw in any_query_string::<Known>()) {
            if let Err(problem) = parse::<Known>(&raw) {
                prop_assert!(problem.named_parameter().is_some());
            }
        }
    }
}
