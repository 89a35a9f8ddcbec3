//! JSON values as the text that a record carries.
//!
//! Enters: the raw text of a JSON value. Leaves: for a string its content, for null the empty string, for everything
//! else the JSON text unchanged: a number keeps its digits, an object its order. Other people's records vary in exactly
//! this, so none of their fields is refused for its type.

use serde::de::IgnoredAny;
use serde_json::value::RawValue;

/// The value as text.
pub fn text(value: Option<&RawValue>) -> String {
    let Some(value) = value else { return String::new() };
    match value.get() {
        "null" => String::new(),
        json if json.starts_with('"') => serde_json::from_str(json).unwrap_or_else(|_| json.to_owned()),
        json => json.to_owned(),
    }
}

/// The value as a JSON document; the empty string for null.
pub fn document(value: Option<&RawValue>) -> String {
    value
        .map(RawValue::get)
        .filter(|json| *json != "null")
        .unwrap_or_default()
        .to_owned()
}

/// The value as a JSON document, where JSON may be within a string. Other text stays a JSON string; null and the empty
/// string become the empty string.
pub fn embedded_document(value: Option<&RawValue>) -> String {
    let text = text(value);
    match serde_json::from_str::<IgnoredAny>(&text) {
        Err(_) if !text.is_empty() => document(value),
        _ => text,
    }
}

/// The first text that is not empty.
pub fn first_not_empty<const N: usize>(texts: [String; N]) -> String {
    texts.into_iter().find(|text| !text.is_empty()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_its_text() {
        let values: Vec<&RawValue> =
            serde_json::from_str(r#"["a\n\"b\"", null, true, 1.50, {"b": 1, "a":2}]"#).unwrap();
        let texts: Vec<String> = values.iter().map(|value| text(Some(value))).collect();
        assert_eq!(texts, ["a\n\"b\"", "", "true", "1.50", r#"{"b": 1, "a":2}"#]);
        assert_eq!(document(Some(values[0])), r#""a\n\"b\"""#);
        assert_eq!(document(Some(values[1])), "");
    }

    #[test]
    fn a_document_may_be_written_into_a_string_and_words_are_one() {
        let values: Vec<&RawValue> =
            serde_json::from_str(r#"["{\"a\":2}", {"a": 1}, "1.50", "two\nwords", "", null]"#).unwrap();
        let documents: Vec<String> = values.iter().map(|value| embedded_document(Some(value))).collect();
        assert_eq!(
            documents,
            [r#"{"a":2}"#, r#"{"a": 1}"#, "1.50", r#""two\nwords""#, "", ""]
        );
    }
}
