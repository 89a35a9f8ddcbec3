//! A table or view, split into named pieces so that two of them can be compared piece by piece.
//!
//! Enters: `create_table_query` as the server formats it. Leaves: a [`Definition`]: column attributes, indexes,
//! constraints, keys, TTL, settings. Guarantees: every word of the text lands in exactly one piece, so that definitions
//! with equal pieces are equal. Never does: interpret expressions; the server has already normalised them.

use std::collections::BTreeMap;

use super::sql::{Depth, Token, TokenKind, tokens};

/// The pieces of a table or view by name: `engine`, `order by`, `setting x`, `index y`, `columns`, …
pub type Pieces = BTreeMap<String, String>;

/// A table or view.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Definition {
    /// Everything but the columns.
    pub pieces: Pieces,
    /// Column names, in order.
    pub columns: Vec<String>,
    /// Attributes of each column, by column name: `type`, `codec`, `default`, `ttl`, …
    pub attributes: BTreeMap<String, Pieces>,
}

/// Words that start a clause after the columns.
const TABLE_CLAUSES: &[&[&str]] = &[
    &["ENGINE", "="],
    &["PARTITION", "BY"],
    &["PRIMARY", "KEY"],
    &["ORDER", "BY"],
    &["SAMPLE", "BY"],
    &["UNIQUE", "KEY"],
    &["TTL"],
    &["SETTINGS"],
    &["COMMENT"],
];

/// Words that start an attribute of a column.
const COLUMN_CLAUSES: &[&[&str]] = &[
    &["DEFAULT"],
    &["MATERIALIZED"],
    &["ALIAS"],
    &["EPHEMERAL"],
    &["COMMENT"],
    &["CODEC"],
    &["STATISTICS"],
    &["TTL"],
    &["SETTINGS"],
];

/// Words that start a list element that is not a column.
const ELEMENTS: &[&str] = &["INDEX", "CONSTRAINT", "PROJECTION"];

impl Definition {
    /// Parses `system.tables.create_table_query`. The name of its own database is removed, so that tables of two
    /// databases can be compared.
    pub fn parse(create_table_query: &str, database: &str) -> Self {
        // The server quotes a name with `-`.
        let unquoted = create_table_query.replace(&format!("`{database}`."), "");
        let own = format!("{database}.");
        let tokens: Vec<Token<'_>> = tokens(&unquoted)
            .into_iter()
            .map(|token| Token {
                text: token.text.strip_prefix(&own).unwrap_or(token.text),
                ..token
            })
            .collect();
        let mut definition = Self::default();
        // A view ends with its query, which may contain any word.
        let (tokens, query) = split_at_word(&tokens, "AS");
        if !query.is_empty() {
            definition.pieces.insert("query".to_owned(), join(query));
        }
        let (head, list, tail) = around_list(tokens);
        definition.pieces.insert("is".to_owned(), object(head));
        for element in split_list(list) {
            definition.add_element(element);
        }
        definition.add_clauses(tail);
        definition
    }

    fn add_element(&mut self, element: &[Token<'_>]) {
        let Some((first, rest)) = element.split_first() else {
            return;
        };
        if first.kind == TokenKind::Word && ELEMENTS.contains(&first.text) {
            let (name, rest) = trim(rest)
                .split_first()
                .map_or(("", rest), |(name, rest)| (name.text, rest));
            self.pieces
                .insert(format!("{} {}", first.text.to_lowercase(), unquoted(name)), join(rest));
            return;
        }
        let name = unquoted(first.text).to_owned();
        let attributes = clauses("type", COLUMN_CLAUSES, rest);
        self.attributes.insert(name.clone(), attributes.into_iter().collect());
        self.columns.push(name);
    }

    fn add_clauses(&mut self, tail: &[Token<'_>]) {
        for (name, text) in clauses("rest", TABLE_CLAUSES, tail) {
            match name.as_str() {
                "settings" => self.add_settings(&text),
                "engine" => {
                    self.pieces.insert(name, unreplicated(&text));
                }
                _ => {
                    self.pieces.insert(name, text);
                }
            }
        }
    }

    fn add_settings(&mut self, text: &str) {
        for setting in split_list(&tokens(text)) {
            let setting = join(setting);
            let (name, value) = setting.split_once('=').unwrap_or((&setting, ""));
            self.pieces
                .insert(format!("setting {}", name.trim()), value.trim().to_owned());
        }
    }
}

/// `table`, `view`, `materialized view`: the words between CREATE and the name, together with what follows the name
/// (the target of a materialized view).
fn object(head: &[Token<'_>]) -> String {
    let text = join(head);
    let words: Vec<&str> = text.split(' ').skip(1).collect();
    let name = words
        .iter()
        .position(|word| word.chars().any(|c| !c.is_ascii_uppercase()));
    let (kind, after) = words.split_at(name.unwrap_or(words.len()));
    [kind, after.get(1..).unwrap_or_default()]
        .concat()
        .join(" ")
        .to_lowercase()
}

/// The tokens before, inside and after the first bracketed list.
fn around_list<'a, 't>(tokens: &'a [Token<'t>]) -> (&'a [Token<'t>], &'a [Token<'t>], &'a [Token<'t>]) {
    let Some(open) = tokens.iter().position(|token| token.is("(")) else {
        return (tokens, &[], &[]);
    };
    let (before, rest) = tokens.split_at(open);
    let mut depth = Depth::default();
    let close = rest.iter().position(|token| {
        depth.is_outside(token);
        depth.is_zero()
    });
    let close = close.unwrap_or(rest.len());
    (
        before,
        rest.get(1..close).unwrap_or_default(),
        rest.get(close + 1..).unwrap_or_default(),
    )
}

/// The tokens before and after a word outside brackets.
fn split_at_word<'a, 't>(tokens: &'a [Token<'t>], word: &str) -> (&'a [Token<'t>], &'a [Token<'t>]) {
    let mut depth = Depth::default();
    let found = tokens
        .iter()
        .position(|token| depth.is_outside(token) && token.text == word);
    found.map_or((tokens, &[]), |at| (&tokens[..at], &tokens[at + 1..]))
}

/// The elements of a list separated by commas outside brackets.
pub(super) fn split_list<'a, 't>(tokens: &'a [Token<'t>]) -> Vec<&'a [Token<'t>]> {
    let mut depth = Depth::default();
    let elements = tokens.split(|token| depth.is_outside(token) && token.is(","));
    elements.map(trim).filter(|element| !element.is_empty()).collect()
}

/// Splits at the words that start a clause; the text before the first of them is named `first`.
fn clauses(first: &str, starts: &[&[&str]], tokens: &[Token<'_>]) -> Vec<(String, String)> {
    let tokens: Vec<Token<'_>> = trim(tokens).to_vec();
    let mut depth = Depth::default();
    let mut found: Vec<(String, usize, usize)> = vec![(first.to_owned(), 0, 0)];
    for at in 0..tokens.len() {
        if !depth.is_outside(&tokens[at]) {
            continue;
        }
        if let Some(length) = starts.iter().find_map(|words| match_words(&tokens[at..], words)) {
            let name: Vec<&str> = tokens[at..at + length].iter().map(|token| token.text).collect();
            found.push((
                name.concat().trim_end_matches([' ', '=']).to_lowercase(),
                at,
                at + length,
            ));
        }
    }
    let ends: Vec<usize> = found
        .iter()
        .skip(1)
        .map(|(_, at, _)| *at)
        .chain([tokens.len()])
        .collect();
    found
        .into_iter()
        .zip(ends)
        .map(|((name, _, start), end)| (name, join(tokens.get(start..end).unwrap_or_default())))
        .filter(|(_, text)| !text.is_empty())
        .collect()
}

/// How many tokens these words, separated by single blanks, occupy at the start.
fn match_words(tokens: &[Token<'_>], words: &[&str]) -> Option<usize> {
    let length = words.len() * 2 - 1;
    let matches = tokens
        .get(..length)?
        .iter()
        .enumerate()
        .all(|(at, token)| match at % 2 {
            0 => token.text == words[at / 2],
            _ => token.kind == TokenKind::Space,
        });
    matches.then_some(length)
}

/// An engine without its replication path and replica name, which belong to the cluster: one server shows macros where
/// another shows their values.
fn unreplicated(engine: &str) -> String {
    let Some(family) = engine.strip_prefix("Replicated") else {
        return engine.to_owned();
    };
    let (name, arguments) = family.split_once('(').unwrap_or((family, ""));
    let tokens = tokens(arguments.trim_end_matches(')'));
    let own: Vec<String> = split_list(&tokens).into_iter().skip(2).map(join).collect();
    if own.is_empty() {
        format!("Replicated{name}")
    } else {
        format!("Replicated{name}({})", own.join(", "))
    }
}

fn trim<'a, 't>(mut tokens: &'a [Token<'t>]) -> &'a [Token<'t>] {
    while let [
        Token {
            kind: TokenKind::Space, ..
        },
        rest @ ..,
    ] = tokens
    {
        tokens = rest;
    }
    while let [
        rest @ ..,
        Token {
            kind: TokenKind::Space, ..
        },
    ] = tokens
    {
        tokens = rest;
    }
    tokens
}

/// The text of the tokens, trimmed.
pub(super) fn join(tokens: &[Token<'_>]) -> String {
    tokens
        .iter()
        .map(|token| token.text)
        .collect::<String>()
        .trim()
        .to_owned()
}

fn unquoted(name: &str) -> &str {
    name.trim_matches('`')
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "CREATE TABLE h.metrics (`time` DateTime64(6, 'UTC') CODEC(GCD, DoubleDelta, Default), \
        `unit` String DEFAULT concat('a', ', b') COMMENT 'it\\'s (a) test, codec' CODEC(ZSTD(2)) TTL toDateTime(time) + toIntervalDay(1), \
        INDEX offsets kafka_offset TYPE minmax GRANULARITY 1, CONSTRAINT lease CHECK inserted_at > (now64(3) - toIntervalSecond(60)), \
        PROJECTION pp (SELECT tenant_id, count() GROUP BY tenant_id)) ENGINE = MergeTree PARTITION BY toDate(time) \
        ORDER BY (tenant_id, time) TTL toDateTime(time) + toIntervalDay(7) RECOMPRESS CODEC(ZSTD(9)), toDateTime(time) + toIntervalDay(30) \
        SETTINGS a = 1, codec = 'ZSTD(5), x', index_granularity = 8192 COMMENT 'hi there'";

    fn pieces(pieces: &Pieces) -> Vec<(&str, &str)> {
        pieces
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str()))
            .collect()
    }

    #[test]
    fn a_table_falls_into_named_pieces() {
        let table = Definition::parse(TABLE, "h");
        assert_eq!(
            pieces(&table.pieces),
            [
                ("comment", "'hi there'"),
                (
                    "constraint lease",
                    "CHECK inserted_at > (now64(3) - toIntervalSecond(60))"
                ),
                ("engine", "MergeTree"),
                ("index offsets", "kafka_offset TYPE minmax GRANULARITY 1"),
                ("is", "table"),
                ("order by", "(tenant_id, time)"),
                ("partition by", "toDate(time)"),
                ("projection pp", "(SELECT tenant_id, count() GROUP BY tenant_id)"),
                ("setting a", "1"),
                ("setting codec", "'ZSTD(5), x'"),
                ("setting index_granularity", "8192"),
                (
                    "ttl",
                    "toDateTime(time) + toIntervalDay(7) RECOMPRESS CODEC(ZSTD(9)), toDateTime(time) + toIntervalDay(30)"
                ),
            ]
        );
    }

    #[test]
    fn a_column_falls_into_named_attributes() {
        let table = Definition::parse(TABLE, "h");
        assert_eq!(table.columns, ["time", "unit"]);
        assert_eq!(
            pieces(&table.attributes["time"]),
            [
                ("codec", "(GCD, DoubleDelta, Default)"),
                ("type", "DateTime64(6, 'UTC')")
            ]
        );
        assert_eq!(
            pieces(&table.attributes["unit"]),
            [
                ("codec", "(ZSTD(2))"),
                ("comment", "'it\\'s (a) test, codec'"),
                ("default", "concat('a', ', b')"),
                ("ttl", "toDateTime(time) + toIntervalDay(1)"),
                ("type", "String"),
            ]
        );
    }

    #[test]
    fn a_view_is_its_columns_and_its_query() {
        let view = Definition::parse(
            "CREATE VIEW h.v (`a` UInt8, `b` String) AS SELECT a, b FROM h.t ORDER BY a",
            "h",
        );
        assert_eq!(
            pieces(&view.pieces),
            [("is", "view"), ("query", "SELECT a, b FROM t ORDER BY a")]
        );
        assert_eq!(view.columns, ["a", "b"]);
        let quoted = Definition::parse(
            "CREATE VIEW `h-x`.v (`a` UInt8, `b` String) AS SELECT a, b FROM `h-x`.t ORDER BY a",
            "h-x",
        );
        assert_eq!(quoted, view);
        let materialized = "CREATE MATERIALIZED VIEW h.m TO h.t (`a` UInt8) AS SELECT 1 AS a";
        assert_eq!(
            Definition::parse(materialized, "h").pieces["is"],
            "materialized view to t"
        );
    }

    #[test]
    fn where_a_replica_keeps_its_parts_is_no_part_of_the_definition() {
        let engine = |text: &str| {
            Definition::parse(&format!("CREATE TABLE h.t (`a` UInt8) ENGINE = {text} ORDER BY a"), "h").pieces["engine"]
                .clone()
        };
        assert_eq!(
            engine("ReplicatedMergeTree('/a/{shard}, b', '{replica}')"),
            "ReplicatedMergeTree"
        );
        assert_eq!(
            engine("ReplicatedReplacingMergeTree('/a', 'r', at)"),
            "ReplicatedReplacingMergeTree(at)"
        );
        assert_eq!(engine("ReplacingMergeTree(at)"), "ReplacingMergeTree(at)");
    }
}
