//! Just enough of SQL's lexical structure to split and compare statements without being misled by quotes and comments.
//!
//! Enters: text, ours or as formatted by the server. Leaves: tokens whose concatenation is the text; statements in
//! canonical form (no comments, single spaces). Never does: parse expressions, or change case.

/// The kind of a [`Token`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// Blanks and line ends.
    Space,
    /// `-- …` and `/* … */`.
    Comment,
    /// `'…'`, `"…"`, `` `…` ``.
    Quoted,
    /// Letters, digits, `_` and `.`.
    Word,
    /// One other character.
    Symbol,
}

/// A piece of SQL text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token<'a> {
    /// Its kind.
    pub kind: TokenKind,
    /// Its text.
    pub text: &'a str,
}

impl Token<'_> {
    /// Whether it is this symbol.
    pub fn is(&self, symbol: &str) -> bool {
        self.kind == TokenKind::Symbol && self.text == symbol
    }
}

/// The tokens of a text, in order and without gaps.
pub fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut rest = text;
    let mut tokens = Vec::new();
    while let Some(first) = rest.chars().next() {
        let (kind, length) = match first {
            _ if first.is_whitespace() => (TokenKind::Space, run(rest, char::is_whitespace)),
            '\'' | '"' | '`' => (TokenKind::Quoted, quoted(rest, first)),
            _ if rest.starts_with("--") => (TokenKind::Comment, rest.find('\n').unwrap_or(rest.len())),
            _ if rest.starts_with("/*") => (TokenKind::Comment, rest.find("*/").map_or(rest.len(), |end| end + 2)),
            _ if is_word(first) => (TokenKind::Word, run(rest, is_word)),
            _ => (TokenKind::Symbol, first.len_utf8()),
        };
        let (text, after) = rest.split_at(length);
        tokens.push(Token { kind, text });
        rest = after;
    }
    tokens
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '.'
}

fn run(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}

/// Length of a quoted text including its quotes. A backslash escapes the next character; a doubled quote reads as two
/// adjacent quoted texts, which is equivalent here. An unterminated quote extends to the end.
fn quoted(text: &str, quote: char) -> usize {
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        if c == '\\' {
            chars.next();
        } else if c == quote {
            return at + 1;
        }
    }
    text.len()
}

/// The statements of a text, separated by `;`, without comments and with single spaces.
pub fn statements(text: &str) -> Vec<String> {
    let mut statements = vec![String::new()];
    for token in tokens(text) {
        let Some(current) = statements.last_mut() else { break };
        match token.kind {
            TokenKind::Space | TokenKind::Comment if current.is_empty() || current.ends_with(' ') => {}
            TokenKind::Space | TokenKind::Comment => current.push(' '),
            TokenKind::Symbol if token.text == ";" => statements.push(String::new()),
            _ => current.push_str(token.text),
        }
    }
    statements
        .iter()
        .map(|statement| statement.trim().to_owned())
        .filter(|statement| !statement.is_empty())
        .collect()
}

/// Tracks bracket depth while walking over tokens.
#[derive(Debug, Default)]
pub struct Depth(usize);

impl Depth {
    /// Takes the next token; true if it is outside all brackets and not a bracket itself.
    pub fn is_outside(&mut self, token: &Token<'_>) -> bool {
        let before = self.0;
        if token.kind == TokenKind::Symbol {
            match token.text {
                "(" | "[" | "{" => self.0 += 1,
                ")" | "]" | "}" => self.0 = self.0.saturating_sub(1),
                _ => {}
            }
        }
        before == 0 && self.0 == 0
    }

    /// Whether all brackets are closed.
    pub fn is_zero(&self) -> bool {
        self.0 == 0
    }
}

/// A text as a SQL string literal.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_semicolon_in_a_literal_or_a_comment_separates_nothing() {
        let text = "-- first; really\nselect ';', \"a;b\" /* ; */ from `x;y`;\n\nselect 'it\\';s', 'a'';b';\n";
        assert_eq!(
            statements(text),
            ["select ';', \"a;b\" from `x;y`", "select 'it\\';s', 'a'';b'"]
        );
    }

    #[test]
    fn canonical_text_keeps_blanks_inside_literals_only() {
        assert_eq!(
            statements("select  1,\n   'a  b' -- why\n  , 2"),
            ["select 1, 'a  b' , 2"]
        );
    }

    #[test]
    fn quotes_cannot_be_left() {
        assert_eq!(literal(r"it's \"), r"'it\'s \\'");
    }

    proptest! {
        #[test]
        fn tokens_are_the_text_again(text in "[-a-z0-9 '\"`\\\\;()*/\n,é]{0,60}") {
            let joined: String = tokens(&text).iter().map(|token| token.text).collect();
            prop_assert_eq!(joined, text);
        }

        #[test]
        fn canonical_text_is_a_fixed_point(text in "[-a-z0-9 '`;()*/\n,]{0,60}") {
            for statement in statements(&text) {
                prop_assert_eq!(statements(&statement), vec![statement.clone()]);
            }
        }

        #[test]
        fn a_literal_is_one_token(text in ".{0,40}") {
            let literal = literal(&text);
            prop_assert_eq!(tokens(&literal).len(), 1);
        }
    }
}
