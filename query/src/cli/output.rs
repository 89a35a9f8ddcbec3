//! Where answers go: tables for people, one JSON document per line for programs.
//!
//! Guarantees: when the reader goes away (`| head`), the command ends without an error. Hints are for people and go to
//! standard error, so that a program reads nothing but answers.

use std::io::{self, IsTerminal, Write};
use std::process;

use super::error::CliError;
use horolog_stage::steering::steers;

/// Standard output.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    is_json: bool,
}

impl Output {
    /// As JSON lines, or as tables.
    pub fn new(is_json: bool) -> Self {
        Self { is_json }
    }

    /// Whether the output is for programs.
    pub fn is_json(self) -> bool {
        self.is_json
    }

    /// A JSON document as the API returned it, on a line of its own.
    pub fn document(self, json: &str) -> Result<(), CliError> {
        self.line(&escaped(json))
    }

    /// One or more lines.
    pub fn line(self, text: &str) -> Result<(), CliError> {
        let mut out = io::stdout().lock();
        match writeln!(out, "{text}").and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => process::exit(0),
            done => Ok(done?),
        }
    }

    /// For what scripts must know as well: that an answer is not complete.
    pub fn warn(self, text: &str) {
        eprintln!("horolog-query: {text}");
    }

    /// Shown in place of an empty table.
    pub fn note(self, text: &str) {
        if !self.is_json {
            eprintln!("{text}");
        }
    }

    /// For a person at a terminal.
    pub fn hint(self, text: &str) {
        if !self.is_json && io::stderr().is_terminal() {
            eprintln!("{text}");
        }
    }
}

/// Escapes characters that JSON allows in strings and that would steer a terminal.
fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        match steers(c) {
            // Whitespace between values; a document is one line.
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
