//! What an action changed: the paths at which the JSON before and after differ.
//!
//! Enters: two JSON texts, either of which may be absent. Leaves: changes by JSON Pointer (RFC 6901), each with its
//! JSON Patch operation (RFC 6902) and the old and new value. Values are passed on as they were written: a number of
//! thirty digits keeps them all. Members of an object are compared by name, items of an array by position. Bounded in
//! depth, in the number of changes, and in the total length of their paths, because one long name is part of every path
//! below it. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// Beyond this depth, values that differ are one change.
const DEPTH_MAX: usize = 64;
/// Further changes are not listed; whoever needs that many reads the values themselves.
const CHANGES_MAX: usize = 1_000;
/// Nor are changes beyond this total length of their paths. Bytes.
const PATHS_BYTES_MAX: usize = 1 << 20;

/// The operation at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// The value did not exist before.
    Add,
    /// The value no longer exists.
    Remove,
    /// The value changed.
    Replace,
}

/// One change.
#[derive(Debug, Serialize, ToSchema)]
pub struct Change {
    /// The operation.
    op: Operation,
    /// The path as a JSON Pointer; the empty one is the whole value.
    path: String,
    /// The value before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    old: Option<Box<RawValue>>,
    /// The value after.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    new: Option<Box<RawValue>>,
}

/// What an action changed.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct Difference {
    /// The changes, in the order of their paths.
    changes: Vec<Change>,
    /// Whether there are more changes than listed.
    truncated: bool,
}

impl Difference {
    /// The difference between two values.
    pub fn between(old: Option<&RawValue>, new: Option<&RawValue>) -> Self {
        let mut walk = Walk::default();
        walk.compare(old, new, 0);
        walk.difference
    }
}

/// A traversal of both values at once.
#[derive(Default)]
struct Walk {
    difference: Difference,
    /// The current path.
    path: String,
    /// Total length of the paths of the changes. Bytes.
    paths_bytes: usize,
}

impl Walk {
    fn compare(&mut self, old: Option<&RawValue>, new: Option<&RawValue>, depth: usize) {
        if self.difference.truncated {
            return;
        }
        let (Some(before), Some(after)) = (old, new) else {
            return self.change(old, new);
        };
        if before.get() == after.get() {
            return;
        }
        let parts = (depth < DEPTH_MAX).then(|| (parts(before), parts(after)));
        match parts {
            Some((Some(Parts::Object(before)), Some(Parts::Object(after)))) => {
                let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
                for name in names {
                    let [old, new] = [&before, &after].map(|members| members.get(name).copied());
                    self.below(&escaped(name), old, new, depth);
                }
            }
            Some((Some(Parts::Array(before)), Some(Parts::Array(after)))) => {
                for index in 0..before.len().max(after.len()) {
                    let [old, new] = [&before, &after].map(|items| items.get(index).copied());
                    self.below(&index.to_string(), old, new, depth);
                }
            }
            _ if same_scalar(before, after) => {}
            _ => self.change(old, new),
        }
    }

    /// Compares the values with this name below the current path.
    fn below(&mut self, name: &str, old: Option<&RawValue>, new: Option<&RawValue>, depth: usize) {
        let length = self.path.len();
        self.path.push('/');
        self.path.push_str(name);
        self.compare(old, new, depth + 1);
        self.path.truncate(length);
    }

    fn change(&mut self, old: Option<&RawValue>, new: Option<&RawValue>) {
        let op = match (old, new) {
            (None, None) => return,
            (None, Some(_)) => Operation::Add,
            (Some(_), None) => Operation::Remove,
            (Some(_), Some(_)) => Operation::Replace,
        };
        self.paths_bytes += self.path.len();
        let is_full = self.difference.changes.len() == CHANGES_MAX || self.paths_bytes > PATHS_BYTES_MAX;
        // At least one change is always listed: a path is no longer than its event.
        if is_full && !self.difference.changes.is_empty() {
            self.difference.truncated = true;
            return;
        }
        self.difference.changes.push(Change {
            op,
            path: self.path.clone(),
            old: old.map(ToOwned::to_owned),
            new: new.map(ToOwned::to_owned),
        });
    }
}

enum Parts<'a> {
    Object(BTreeMap<String, &'a RawValue>),
    Array(Vec<&'a RawValue>),
}

/// The members of an object without duplicate names. An object with duplicates is compared as a whole: parsers differ
/// in which one they take (RFC 8259, 4).
struct Members<'a>(BTreeMap<String, &'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Unique;
        impl<'de> Visitor<'de> for Unique {
            type Value = BTreeMap<String, &'de RawValue>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object without a name that stands twice")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((name, value)) = map.next_entry()? {
                    if members.insert(name, value).is_some() {
                        return Err(A::Error::custom("a name stands twice"));
                    }
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Unique).map(Self)
    }
}

fn parts(value: &RawValue) -> Option<Parts<'_>> {
    match value.get().as_bytes().first()? {
        b'{' => serde_json::from_str(value.get())
            .ok()
            .map(|Members(members)| Parts::Object(members)),
        b'[' => serde_json::from_str(value.get()).ok().map(Parts::Array),
        _ => None,
    }
}

/// Strings can be written in several ways (`"a"`, `"\u0061"`). Numbers are compared as written: 1 and 1.0 differ,
/// because a reader of evidence should see that the text changed.
fn same_scalar(old: &RawValue, new: &RawValue) -> bool {
    let text = |value: &RawValue| serde_json::from_str::<String>(value.get()).ok();
    text(old).is_some_and(|old| text(new) == Some(old))
}

/// RFC 6901, 3.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn raw(text: &str) -> Option<Box<RawValue>> {
        (!text.is_empty()).then(|| serde_json::from_str(text).unwrap())
    }

    fn changes(old: &str, new: &str) -> Value {
        let difference = Difference::between(raw(old).as_deref(), raw(new).as_deref());
        serde_json::to_value(difference).unwrap()["changes"].clone()
    }

    #[test]
    fn changes_are_found_at_their_paths() {
        assert_eq!(
            changes(
                r#"{"title":"a","tags":["x","y"],"gone":null,"deep":{"a/b":1,"same":[1]}}"#,
                r#"{"title":"b","tags":["x"],"deep":{"a/b":2,"same":[1]},"added":{"n":1}}"#
            ),
            json!([
                {"op": "add", "path": "/added", "new": {"n": 1}},
                {"op": "replace", "path": "/deep/a~1b", "old": 1, "new": 2},
                {"op": "remove", "path": "/gone", "old": null},
                {"op": "remove", "path": "/tags/1", "old": "y"},
                {"op": "replace", "path": "/title", "old": "a", "new": "b"},
            ])
        );
    }

    #[test]
    fn what_is_made_or_removed_is_one_change() {
        assert_eq!(
            changes("", r#"{"a":1}"#),
            json!([{"op": "add", "path": "", "new": {"a": 1}}])
        );
        assert_eq!(
            changes(r#"{"a":1}"#, ""),
            json!([{"op": "remove", "path": "", "old": {"a": 1}}])
        );
        assert_eq!(changes("", ""), json!([]));
    }

    #[test]
    fn space_and_order_are_no_change_and_large_numbers_stay_exact() {
        assert_eq!(changes(r#"{"a": 1, "b":"\u0061"}"#, r#"{"b":"a","a":1}"#), json!([]));
        let difference = Difference::between(
            raw("{\"n\":12345678901234567890123}").as_deref(),
            raw("{\"n\":1}").as_deref(),
        );
        assert!(
            serde_json::to_string(&difference)
                .unwrap()
                .contains("12345678901234567890123")
        );
    }

    #[test]
    fn a_name_that_stands_twice_hides_no_change() {
        let (old, new) = (r#"{"a":1,"a":2}"#, r#"{"a":3,"a":2}"#);
        let found = changes(old, new);
        assert_eq!((&found[0]["op"], &found[0]["path"]), (&json!("replace"), &json!("")));
        assert_eq!(changes(r#"{"x":{"a":1,"a":2}}"#, r#"{"x":{"a":2}}"#)[0]["path"], "/x");
    }

    #[test]
    fn depth_and_number_are_bounded() {
        let deep = |leaf: &str| format!("{}{leaf}{}", "[".repeat(100), "]".repeat(100));
        assert_eq!(changes(&deep("1"), &deep("2")).as_array().unwrap().len(), 1);
        let many = |value| serde_json::to_string(&vec![value; 2_000]).unwrap();
        let difference = Difference::between(raw(&many(1)).as_deref(), raw(&many(2)).as_deref());
        assert!(difference.truncated && difference.changes.len() == CHANGES_MAX);
        let named = |value| format!("{{\"{}\":{}}}", "n".repeat(PATHS_BYTES_MAX / 4), many(value));
        let difference = Difference::between(raw(&named(1)).as_deref(), raw(&named(2)).as_deref());
        assert!(difference.truncated && difference.changes.len() == 3);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-c/~]{0,3}".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-c/~]{0,2}", inner, 0..4)
                    .prop_map(|map| Value::from(serde_json::Map::from_iter(map))),
            ]
        })
    }

    proptest! {
        #[test]
        fn old_and_new_are_what_the_path_points_at(old in any_json(), new in any_json()) {
            let found = changes(&old.to_string(), &new.to_string());
            prop_assert_eq!(found.as_array().unwrap().is_empty(), old == new);
            for change in found.as_array().unwrap() {
                let path = change["path"].as_str().unwrap();
                prop_assert_eq!(change.get("old"), old.pointer(path));
                prop_assert_eq!(change.get("new"), new.pointer(path));
            }
        }
    }
}
