//! What the front has to know of a statement's text; everything else is the engine's business.
//!
//! Enters: SQL, complete or its beginning. Leaves: where an insert's data begin and in which format; a select's first
//! keyword and FORMAT clause. Never does: judge whether the SQL is valid, the engine's parser does.

use super::file_calls::FileCalls;
use super::tokens::{Token, Tokens, is};

/// What the beginning of a request's text is.
#[derive(Debug, PartialEq, Eq)]
pub enum Head {
    /// `insert … values …` or `insert … format F …`: data follow.
    Insert(InsertHead),
    /// Anything else, an `insert … select` included: the whole text is the statement.
    Other,
}

/// An insert whose data follow in the same text.
#[derive(Debug, PartialEq, Eq)]
pub struct InsertHead {
    /// The statement without its FORMAT clause is `text[..sql_end]`.
    pub sql_end: usize,
    /// The format of the data.
    pub format: String,
    /// The data are `text[data_start..]`.
    pub data_start: usize,
}

/// What the front needs to know of a statement that is not an insert with data.
#[derive(Debug, PartialEq, Eq)]
pub struct Outline {
    /// A `select` or `with` whose result can be streamed, in a format that allows it.
    pub streams: bool,
    /// The FORMAT clause's name.
    pub format: Option<String>,
    /// Has `into outfile` or `from infile`: a file of the engine's machine, which no client may name.
    pub names_file: bool,
    /// Calls the function `file`, which would read any file of the engine's machine.
    pub calls_file: bool,
    /// More follows after a semicolon.
    pub several: bool,
}

/// Reads the head of a request's text. `None`: `text` is incomplete and does not tell yet.
pub fn head(text: &[u8], complete: bool) -> Option<Head> {
    let mut tokens = Tokens::new(text, complete);
    match tokens.next()? {
        Token::Word(word) if is(word, "insert") => insert_head(text, tokens, complete),
        _ => Some(Head::Other),
    }
}

fn insert_head(text: &[u8], mut tokens: Tokens<'_>, complete: bool) -> Option<Head> {
    let mut depth = 0_usize;
    let mut in_name = true; // a table may be named like a keyword; its name ends at the first token that is no `.name`
    let mut previous_dot = true;
    loop {
        let start = tokens.next_start();
        let token = tokens.next()?;
        match token {
            Token::End => return Some(Head::Other),
            Token::Symbol(b'(') => depth += 1,
            Token::Symbol(b')') => depth = depth.saturating_sub(1),
            Token::Word(word) if in_name && ["into", "table", "function"].iter().any(|name| is(word, name)) => continue,
            Token::Word(_) | Token::Quoted(_) if in_name && previous_dot => {
                previous_dot = false;
                continue;
            }
            Token::Symbol(b'.') if in_name => {
                previous_dot = true;
                continue;
            }
            Token::Word(word)
                if depth == 0 && ["select", "with", "from", "watch"].iter().any(|name| is(word, name)) =>
            {
                return Some(Head::Other);
            }
            Token::Word(word) if depth == 0 && is(word, "values") => {
                let (sql_end, data_start) = (start, tokens.position());
                return Some(Head::Insert(InsertHead {
                    sql_end,
                    format: "Values".to_owned(),
                    data_start,
                }));
            }
            Token::Word(word) if depth == 0 && is(word, "format") => {
                let Token::Word(name) = tokens.next()? else {
                    return Some(Head::Other);
                };
                let format = String::from_utf8_lossy(name).into_owned();
                let data_start = after_line_end(text, tokens.position(), complete)?;
                return Some(Head::Insert(InsertHead {
                    sql_end: start,
                    format,
                    data_start,
                }));
            }
            _ => {}
        }
        in_name = false;
    }
}

/// Data begins after the blanks and one line end that follow the format's name.
fn after_line_end(text: &[u8], mut position: usize, complete: bool) -> Option<usize> {
    while matches!(text.get(position), Some(b' ' | b'\t')) {
        position += 1;
    }
    if text.get(position) == Some(&b'\r') {
        position += 1;
    }
    match text.get(position) {
        Some(b'\n') => Some(position + 1),
        Some(_) => Some(position),
        None => complete.then_some(position),
    }
}

/// What appears once in a result, but would appear in every chunk of a streamed one.
pub const ONCE_A_RESULT: [&str; 3] = ["totals", "extremes", "output_format_json_array_of_rows"];

/// Reads a complete statement's outline.
pub fn outline(sql: &[u8]) -> Outline {
    let tokens: Vec<Token<'_>> = Tokens::new(sql, true).collect();
    let word = |at: usize, name: &str| matches!(tokens.get(at), Some(Token::Word(word)) if is(word, name));
    let first = tokens
        .iter()
        .position(|token| *token != Token::Symbol(b'('))
        .unwrap_or(0);
    let names_file = (0..tokens.len())
        .any(|at| (word(at, "into") && word(at + 1, "outfile")) || (word(at, "from") && word(at + 1, "infile")));
    let format = (0..tokens.len()).rev().filter(|&at| word(at, "format")).find_map(|at| {
        let Some(Token::Word(name)) = tokens.get(at + 1) else {
            return None;
        };
        let ends =
            matches!(tokens.get(at + 2), None | Some(Token::End | Token::Symbol(b';'))) || word(at + 2, "settings");
        ends.then(|| String::from_utf8_lossy(name).into_owned())
    });
    let end = tokens
        .iter()
        .position(|token| *token == Token::Symbol(b';'))
        .unwrap_or(tokens.len());
    let several = tokens[end..]
        .iter()
        .any(|token| !matches!(token, Token::Symbol(b';') | Token::End));
    let once = (0..tokens.len()).any(|at| ONCE_A_RESULT.iter().any(|name| word(at, name)));
    let streams = (word(first, "select") || word(first, "with")) && !once;
    let calls_file = FileCalls::default().found_in(tokens.iter().copied());
    Outline {
        streams,
        format,
        names_file,
        calls_file,
        several,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn insert(text: &str) -> Option<(String, String, String)> {
        match head(text.as_bytes(), true)? {
            Head::Insert(head) => Some((
                text[..head.sql_end].trim().to_owned(),
                head.format,
                text[head.data_start..].to_owned(),
            )),
            Head::Other => None,
        }
    }

    fn parts(sql: &str, format: &str, data: &str) -> Option<(String, String, String)> {
        Some((sql.to_owned(), format.to_owned(), data.to_owned()))
    }

    #[test]
    fn the_format_clause_is_taken_off_an_insert() {
        assert_eq!(
            insert("INSERT INTO db.t(a, b) FORMAT RowBinary\n\n1"),
            parts("INSERT INTO db.t(a, b)", "RowBinary", "\n1")
        );
        assert_eq!(
            insert("insert into t settings async_insert = 0 format CSV \t\r\n1,2"),
            parts("insert into t settings async_insert = 0", "CSV", "1,2")
        );
        assert_eq!(
            insert("/* x */ -- y\ninsert into t format JSONEachRow {\"a\":1}").map(|parts| parts.2),
            Some("{\"a\":1}".to_owned())
        );
    }

    #[test]
    fn values_are_a_format() {
        assert_eq!(
            insert("insert into `a``b` (`values`) values (1), (2)"),
            parts("insert into `a``b` (`values`)", "Values", " (1), (2)")
        );
        assert_eq!(
            insert("insert into values values (1)"),
            parts("insert into values", "Values", " (1)")
        );
        assert_eq!(
            insert("insert into table format.values format TSV"),
            parts("insert into table format.values", "TSV", "")
        );
    }

    #[test]
    fn an_insert_of_a_select_has_no_data() {
        for sql in [
            "insert into t select 'format CSV'",
            "insert into t (a) with 1 as x select x",
            "select 'insert into t values'",
            "insert into t",
        ] {
            assert_eq!(head(sql.as_bytes(), true), Some(Head::Other), "{sql}");
        }
    }

    #[test]
    fn a_beginning_tells_nothing_before_the_format_is_whole() {
        let text = b"insert into t format RowBinary\n\x00\xff";
        for length in 0..31 {
            assert_eq!(head(&text[..length], false), None, "{length}");
        }
        assert!(matches!(
            head(text, false),
            Some(Head::Insert(InsertHead { data_start: 31, .. }))
        ));
    }

    #[test]
    fn the_last_format_clause_counts() {
        assert_eq!(
            outline(b"select 1 format JSON settings max_threads = 1")
                .format
                .as_deref(),
            Some("JSON")
        );
        assert_eq!(outline(b"select format from t where x = 'format CSV' ;").format, None);
        assert_eq!(outline(b"(select 1) format TSV;").format.as_deref(), Some("TSV"));
        assert_eq!(outline(b"select $$ format CSV").format, None);
    }

    #[test]
    fn selects_and_files_are_recognised() {
        assert!(outline(b"-- c\n((with 1 as x select x))").streams);
        assert!(!outline(b"show tables").streams);
        assert!(!outline(b"select k, count() from t group by k with totals").streams);
        assert!(outline(b"select 1 INTO /**/ OUTFILE 'x'").names_file);
        assert!(!outline(b"select 'into outfile'").names_file);
    }

    #[test]
    fn a_semicolon_ends_the_statement() {
        assert!(!outline(b"select ';' ; ; -- more").several);
        assert!(outline(b"select 1; select 2").several);
    }

    proptest! {
        #[test]
        fn no_text_panics_and_more_text_never_changes_an_answer(text in any::<Vec<u8>>(), cut in any::<prop::sample::Index>()) {
            let mut text = text;
            text.splice(0..0, b"insert into t ".iter().copied());
            let beginning = head(&text[..cut.index(text.len())], false);
            if beginning.is_some() {
                prop_assert_eq!(beginning, head(&text, false));
            }
            outline(&text);
        }
    }
}
