//! JSON values as the text that a record carries.
//!
//! Enters: the raw text of a JSON value. Leaves: for a string its content, for null the empty string, for everything else the JSON
//! as it stands there: a number keeps its digits, an object its order. Records of strangers vary in
//! exactly this, so no field of theirs fails for its type.

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

/// The first text that says anything.
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
}
