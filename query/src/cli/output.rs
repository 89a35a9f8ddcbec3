//! Where answers go: tables for people, one JSON document a line for programs.
//!
//! Guarantees: a reader that goes away (`| head`) is the end of the work, not an error. Hints are for people and go to the
//! other channel, so that a program reads nothing but answers.

use std::io::{self, IsTerminal, Write};
use std::process;

use super::error::CliError;
use crate::steering::steers;

/// Standard output.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    is_json: bool,
}

impl Output {
    /// JSON lines, or tables.
    pub fn new(is_json: bool) -> Self {
        Self { is_json }
    }

    /// Whether programs read it.
    pub fn is_json(self) -> bool {
        self.is_json
    }

    /// A JSON document as it was answered, on a line of its own.
    pub fn document(self, json: &str) -> Result<(), CliError> {
        self.line(&escaped(json))
    }

    /// A line, or several.
    pub fn line(self, text: &str) -> Result<(), CliError> {
        let mut out = io::stdout().lock();
        match writeln!(out, "{text}").and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => process::exit(0),
            done => Ok(done?),
        }
    }

    /// What also somebody has to know who does not watch: that an answer is not all there is.
    pub fn warn(self, text: &str) {
        eprintln!("horolog-query: {text}");
    }

    /// A word in place of an empty table.
    pub fn note(self, text: &str) {
        if !self.is_json {
            eprintln!("{text}");
        }
    }

    /// A remark for a person who watches.
    pub fn hint(self, text: &str) {
        if !self.is_json && io::stderr().is_terminal() {
            eprintln!("{text}");
        }
    }
}

/// Characters that JSON lets stand in its strings and a terminal would obey, escaped.
fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        match steers(c) {
            // Such as stand between values; a document is one line.
            true if c.is_ascii_whitespace() => text.push(' '),
            true => text.push_str(&format!("\\u{:04x}", u32::from(c))),
            false => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_stays_what_it_is_and_cannot_steer_the_terminal() {
        let json = "{\n\"a\": \"\u{9b}1m\u{7f}\u{202e}\", \"n\": 123456789012345678901234567890.10}";
        assert_eq!(
            escaped(json),
            "{ \"a\": \"\\u009b1m\\u007f\\u202e\", \"n\": 123456789012345678901234567890.10}"
        );
    }
}
