//! Calls of `file(…)`: the one function that reaches beyond the engine and that no grant can forbid.
//!
//! Enters: a statement's tokens, or the values of an insert piece by piece: values are expressions, too.
//! Leaves: a refusal. It errs on the side of refusing: a table named `file` followed by a column list looks like a
//! call.

use super::exception::{Code, Exception};
use super::tokens::{Token, Tokens, is};

/// A string or comment in a statement's data that is longer than this is refused.
const TOKEN_BYTES_MAX: usize = 16 << 20;

/// Looks for calls in a text that arrives in pieces.
#[derive(Debug, Default)]
pub struct FileCalls {
    pending: Vec<u8>,
    named: bool,
}

impl FileCalls {
    /// Looks through a piece of an insert's values.
    pub fn check(&mut self, piece: &[u8]) -> Result<(), Exception> {
        let mut text = std::mem::take(&mut self.pending);
        text.extend_from_slice(piece);
        let mut tokens = Tokens::new(&text, false);
        if self.found_in(tokens.by_ref()) {
            return Err(Self::refusal());
        }
        self.pending = text.split_off(tokens.position());
        if self.pending.len() > TOKEN_BYTES_MAX {
            let reason =
                format!("a value is longer than {TOKEN_BYTES_MAX} bytes: send it in another format than VALUES");
            return Err(Exception::new(Code::QUERY_IS_TOO_LARGE, reason));
        }
        Ok(())
    }

    /// The error for a client that calls it.
    pub fn refusal() -> Exception {
        Exception::new(
            Code::ACCESS_DENIED,
            "file() is not allowed: SQL cannot access files here",
        )
    }

    /// Looks through tokens that follow those of the previous call.
    pub fn found_in<'t>(&mut self, tokens: impl Iterator<Item = Token<'t>>) -> bool {
        for token in tokens {
            if self.named && token == Token::Symbol(b'(') {
                return true;
            }
            self.named = match token {
                Token::Word(word) => is(word, "file"),
                // An escape could spell anything.
                Token::Quoted([b'`' | b'"', name @ .., _]) => is(name, "file") || name.contains(&b'\\'),
                _ => false,
            };
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_file_are_found_wherever_they_are_cut() {
        for sql in ["(1, file('x'))", "(\"FILE\" /* c */ ('x'))", "(`f\\x69le`('x'))"] {
            for cut in 0..sql.len() {
                let mut calls = FileCalls::default();
                let found =
                    calls.check(&sql.as_bytes()[..cut]).is_err() || calls.check(&sql.as_bytes()[cut..]).is_err();
                assert!(found, "{sql} cut at {cut}");
            }
        }
        for sql in ["('file(1)')", "(file)", "(profile(1))", "(`a``b`(1))", "-- file(1)\n"] {
            assert!(
                FileCalls::default().check(format!("{sql} ").as_bytes()).is_ok(),
                "{sql}"
            );
        }
    }
}
