//! Every difference between the existing tables and those that the migrations create, by name.
//!
//! Enters: two sets of definitions. Leaves: differences, each with the expected and the found text. Never does: access
//! a server, or explain how a difference arose.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::definition::{Definition, Pieces};

/// How much of a long text is shown on each side of the first difference.
const EXCERPT_CHARS: usize = 60;

/// Something that is not as the migrations create it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What differs: `metrics`, `metrics.value`.
    pub object: String,
    /// The aspect in which it differs: `codec`, `ttl`, `setting ttl_only_drop_parts`, …
    pub aspect: String,
    /// What the migrations create; `None` for nothing.
    pub expected: Option<String>,
    /// What exists; `None` for nothing.
    pub found: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (expected, found) = excerpts(self.expected.as_deref(), self.found.as_deref());
        write!(
            f,
            "{}: {}: expected {expected}, found {found}",
            self.object, self.aspect
        )
    }
}

/// All differences, table by table.
pub fn differences(expected: &BTreeMap<String, Definition>, found: &BTreeMap<String, Definition>) -> Vec<Difference> {
    let mut differences = Vec::new();
    for name in union(expected.keys(), found.keys()) {
        match (expected.get(name), found.get(name)) {
            (Some(expected), Some(found)) => compare_tables(name, expected, found, &mut differences),
            (expected, found) => differences.push(Difference {
                object: name.to_owned(),
                aspect: "exists".to_owned(),
                expected: expected.map(kind),
                found: found.map(kind),
            }),
        }
    }
    differences
}

fn kind(definition: &Definition) -> String {
    definition.pieces.get("is").cloned().unwrap_or_default()
}

fn compare_tables(name: &str, expected: &Definition, found: &Definition, differences: &mut Vec<Difference>) {
    compare_pieces(name, &expected.pieces, &found.pieces, differences);
    for column in union(expected.attributes.keys(), found.attributes.keys()) {
        let object = format!("{name}.{column}");
        match (expected.attributes.get(column), found.attributes.get(column)) {
            (Some(expected), Some(found)) => compare_pieces(&object, expected, found, differences),
            (expected, found) => differences.push(Difference {
                object,
                aspect: "column".to_owned(),
                expected: expected.map(type_of),
                found: found.map(type_of),
            }),
        }
    }
    let shared = |definition: &Definition, other: &Definition| -> Vec<String> {
        definition
            .columns
            .iter()
            .filter(|column| other.attributes.contains_key(*column))
            .cloned()
            .collect()
    };
    let (in_order, as_found) = (shared(expected, found), shared(found, expected));
    if in_order != as_found {
        differences.push(Difference {
            object: name.to_owned(),
            aspect: "order of the columns".to_owned(),
            expected: Some(in_order.join(", ")),
            found: Some(as_found.join(", ")),
        });
    }
}

fn type_of(attributes: &Pieces) -> String {
    attributes.get("type").cloned().unwrap_or_default()
}

fn compare_pieces(object: &str, expected: &Pieces, found: &Pieces, differences: &mut Vec<Difference>) {
    for aspect in union(expected.keys(), found.keys()) {
        let (expected, found) = (expected.get(aspect), found.get(aspect));
        if expected != found {
            differences.push(Difference {
                object: object.to_owned(),
                aspect: aspect.to_owned(),
                expected: expected.cloned(),
                found: found.cloned(),
            });
        }
    }
}

fn union<'a>(a: impl Iterator<Item = &'a String>, b: impl Iterator<Item = &'a String>) -> BTreeSet<&'a str> {
    a.chain(b).map(String::as_str).collect()
}

/// Both texts or, if they are long, the part of each around their first difference.
fn excerpts(expected: Option<&str>, found: Option<&str>) -> (String, String) {
    let (Some(a), Some(b)) = (expected, found) else {
        let show = |text: Option<&str>| text.map_or_else(|| "none".to_owned(), |text| excerpt(text, 0));
        return (show(expected), show(found));
    };
    let parting = a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count();
    (excerpt(a, parting), excerpt(b, parting))
}

fn excerpt(text: &str, around: usize) -> String {
    let length = text.chars().count();
    if length <= 3 * EXCERPT_CHARS {
        return text.to_owned();
    }
    let start = around.saturating_sub(EXCERPT_CHARS);
    let part: String = text.chars().skip(start).take(2 * EXCERPT_CHARS).collect();
    let before = if start > 0 { "…" } else { "" };
    let after = if start + 2 * EXCERPT_CHARS < length { "…" } else { "" };
    format!("{before}{part}{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "CREATE TABLE h.t (`a` UInt8 CODEC(ZSTD(3)), `b` String DEFAULT 'x', INDEX i a TYPE minmax GRANULARITY 1, \
        CONSTRAINT lease CHECK a > 1) ENGINE = MergeTree PARTITION BY a ORDER BY (a, b) TTL a + toIntervalDay(7) SETTINGS s = 1";

    /// The differences after a change of the text, as printed.
    fn after(change: impl Fn(&str) -> String) -> Vec<String> {
        let of = |text: &str| BTreeMap::from([("t".to_owned(), Definition::parse(text, "h"))]);
        differences(&of(TABLE), &of(&change(TABLE)))
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn every_kind_of_drift_is_named_once() {
        for (from, to, difference) in [
            ("`a` UInt8", "`a` UInt16", "t.a: type: expected UInt8, found UInt16"),
            (" CODEC(ZSTD(3))", "", "t.a: codec: expected (ZSTD(3)), found none"),
            ("DEFAULT 'x'", "DEFAULT 'y'", "t.b: default: expected 'x', found 'y'"),
            ("DEFAULT 'x'", "DEFAULT 'x' TTL a", "t.b: ttl: expected none, found a"),
            (
                ", `b` String DEFAULT 'x'",
                "",
                "t.b: column: expected String, found none",
            ),
            (
                "`b` String",
                "`c` Int8, `b` String",
                "t.c: column: expected none, found Int8",
            ),
            (
                "MergeTree",
                "ReplacingMergeTree",
                "t: engine: expected MergeTree, found ReplacingMergeTree",
            ),
            (
                "PARTITION BY a",
                "PARTITION BY b",
                "t: partition by: expected a, found b",
            ),
            ("ORDER BY (a, b)", "ORDER BY a", "t: order by: expected (a, b), found a"),
            (
                "ORDER BY",
                "PRIMARY KEY a ORDER BY",
                "t: primary key: expected none, found a",
            ),
            (
                "toIntervalDay(7)",
                "toIntervalDay(8)",
                "t: ttl: expected a + toIntervalDay(7), found a + toIntervalDay(8)",
            ),
            (
                " TTL a + toIntervalDay(7)",
                "",
                "t: ttl: expected a + toIntervalDay(7), found none",
            ),
            ("s = 1", "s = 2", "t: setting s: expected 1, found 2"),
            (
                "minmax",
                "set(9)",
                "t: index i: expected a TYPE minmax GRANULARITY 1, found a TYPE set(9) GRANULARITY 1",
            ),
            (
                "a > 1",
                "a > 2",
                "t: constraint lease: expected CHECK a > 1, found CHECK a > 2",
            ),
        ] {
            assert!(TABLE.contains(from));
            assert_eq!(after(|text| text.replacen(from, to, 1)), [difference]);
        }
        assert!(after(str::to_owned).is_empty());
    }

    #[test]
    fn missing_and_unknown_tables_are_named() {
        let table = BTreeMap::from([("t".to_owned(), Definition::parse(TABLE, "h"))]);
        let print = |differences: Vec<Difference>| differences.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            print(differences(&table, &BTreeMap::new())),
            ["t: exists: expected table, found none"]
        );
        assert_eq!(
            print(differences(&BTreeMap::new(), &table)),
            ["t: exists: expected none, found table"]
        );
    }

    #[test]
    fn columns_in_another_order_are_one_difference() {
        let swapped = "CREATE TABLE h.t (`b` String, `a` UInt8) ENGINE = Memory";
        let plain = "CREATE TABLE h.t (`a` UInt8, `b` String) ENGINE = Memory";
        let of = |text: &str| BTreeMap::from([("t".to_owned(), Definition::parse(text, "h"))]);
        let found: Vec<_> = differences(&of(plain), &of(swapped))
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(found, ["t: order of the columns: expected a, b, found b, a"]);
    }

    #[test]
    fn a_long_query_is_shown_where_it_parts() {
        let query = |number: u32| {
            format!(
                "CREATE VIEW h.v AS SELECT {} {number} {}",
                "x, ".repeat(200),
                "y, ".repeat(200)
            )
        };
        let of = |text: String| BTreeMap::from([("v".to_owned(), Definition::parse(&text, "h"))]);
        let text = differences(&of(query(1)), &of(query(2)))[0].to_string();
        assert!(
            text.len() < 500 && text.contains(" 1 y, ") && text.contains(" 2 y, "),
            "{text}"
        );
    }
}
