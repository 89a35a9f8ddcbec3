//! Event ids for events that come without one.
//!
//! Enters: the JSON of an event. Leaves: a UUID (version 5) of its canonical form, so that the same event imported
//! again, from another file, with other spacing or another order of its keys, has the same id and is recognised. The
//! canonical form must never change, since the ids in the tables depend on it.

use serde_json::Value;
use uuid::Uuid;

/// The name space of derived ids: the UUID (version 5, URL) of `urn:horolog:event-id:1`.
const NAMESPACE: Uuid = Uuid::from_u128(0xfde7_0e1b_f1ff_5817_a811_85b5_1ed6_bdbb);

/// The id of the event with this JSON.
pub fn derive(json: &str) -> Result<Uuid, serde_json::Error> {
    let mut canonical = String::new();
    write_canonical(&serde_json::from_str(json)?, &mut canonical);
    Ok(Uuid::new_v5(&NAMESPACE, canonical.as_bytes()))
}

/// JSON without spaces, with the keys of each object in the order of their bytes. Explicit, because whether `serde_json`
/// sorts keys depends on a feature that any dependency can switch on.
fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut keys: Vec<&String> = fields.keys().collect();
            keys.sort_unstable();
            out.push('{');
            for (index, key) in keys.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write_canonical(&fields[key], out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_canonical(item, out);
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(json: &str) -> Uuid {
        derive(json).unwrap()
    }

    #[test]
    fn the_order_of_keys_and_the_spacing_do_not_matter() {
        assert_eq!(
            id(r#"{"a":1,"b":{"c":[1,2],"d":null}}"#),
            id("{ \"b\": {\"d\":null, \"c\": [1, 2]},\n \"a\": 1 }")
        );
    }

    #[test]
    fn any_other_difference_does() {
        let first = id(r#"{"a":1,"b":[1,2]}"#);
        for other in [
            r#"{"a":2,"b":[1,2]}"#,
            r#"{"a":1,"b":[2,1]}"#,
            r#"{"a":"1","b":[1,2]}"#,
            r#"{"a":1}"#,
        ] {
            assert_ne!(first, id(other), "{other}");
        }
    }

    #[test]
    fn the_derivation_is_the_same_for_ever() {
        assert_eq!(
            id(r#"{"action":"login","user_id":"ü\n"}"#).to_string(),
            "5ac57131-667d-5182-b719-00446eb9e261"
        );
    }
}
