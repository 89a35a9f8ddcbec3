//! A JSON object as the fields of a record, or which of its fields is at fault.
//!
//! Enters: the text of an object. Leaves: the fields that borrow from it, or a reason that names the field, since the
//! place that the JSON parser tells is one within a record of which nobody knows where it begins. Pure.

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::json_text::text;
use super::output::Skip;

/// Reads an object. Only one that is at fault is read a second time, to find the field.
pub fn read<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, Skip> {
    let error = match serde_json::from_str(json) {
        Ok(fields) => return Ok(fields),
        Err(error) => error,
    };
    let again: Result<T, _> = serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(json));
    let path = again.err().map(|error| error.path().to_string());
    let detail = what_is_wrong(&error);
    // An unknown field is named already, and the whole object has no name.
    let path = path.filter(|path| path != "." && error.is_data() && !detail.contains(&format!("`{path}`")));
    Err(Skip::Json {
        detail: path.map_or(detail.clone(), |path| format!("`{path}`: {detail}")),
    })
}

/// What the JSON parser says, without the place in what is one line to it.
fn what_is_wrong(error: &serde_json::Error) -> String {
    let said = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    match said.strip_suffix(&place) {
        Some(said) if error.is_data() => said.to_owned(),
        Some(said) if error.line() == 1 => format!("{said} at character {}", error.column()),
        _ => said,
    }
}

impl From<serde_json::Error> for Skip {
    fn from(error: serde_json::Error) -> Self {
        Self::Json {
            detail: what_is_wrong(&error),
        }
    }
}

/// Text, or a number or truth value as it is written. An object or an array is none.
#[derive(Debug)]
pub struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = <&RawValue>::deserialize(deserializer)?;
        match value.get().as_bytes() {
            [b'{', ..] => Err(D::Error::custom("expected text, found an object")),
            [b'[', ..] => Err(D::Error::custom("expected text, found an array")),
            _ => Ok(Self(text(Some(value)))),
        }
    }
}

impl From<Text> for String {
    fn from(Text(text): Text) -> Self {
        text
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, expecting = "a JSON object")]
    struct Fields<'a> {
        #[serde(borrow)]
        raw: Option<&'a RawValue>,
        name: Option<Text>,
        labels: Option<BTreeMap<String, Text>>,
    }

    #[test]
    fn an_error_names_the_field() {
        let words = |json: &str| read::<Fields<'_>>(json).unwrap_err().to_string();
        for (json, said) in [
            (
                r#"{"raw":1,"name":{"first":"ann"}}"#,
                "`name`: expected text, found an object",
            ),
            (
                r#"{"labels":{"a":1,"b":[2]}}"#,
                "`labels.b`: expected text, found an array",
            ),
            (
                r#"{"labels":"a=1"}"#,
                "`labels`: invalid type: string \"a=1\", expected a map",
            ),
            (
                r#"{"nmae":"ann"}"#,
                "unknown field `nmae`, expected one of `raw`, `name`, `labels`",
            ),
            ("7", "invalid type: integer `7`, expected a JSON object"),
            (r#"{"name":"ann","#, "EOF while parsing a value at character 14"),
        ] {
            assert_eq!(words(json), said, "{json}");
        }
    }

    #[test]
    fn a_number_or_a_truth_value_is_text_as_it_is_written() {
        let names = ["1.50", "true", "\"1.50\"", "null"].map(|name| {
            let json = format!(r#"{{"name":{name}}}"#);
            read::<Fields<'_>>(&json).unwrap().name.map(String::from)
        });
        let some = |name: &str| Some(name.to_owned());
        let fields: Fields<'_> = read(r#"{"raw":[ 1],"labels":{"a":1.0}}"#).unwrap();
        assert_eq!(fields.raw.map(RawValue::get), Some("[ 1]"));
        assert_eq!(fields.labels.map(|labels| labels.len()), Some(1));
        assert_eq!(names, [some("1.50"), some("true"), some("1.50"), None]);
    }
}
