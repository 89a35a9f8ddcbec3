//! Where answers go: tables for people, one JSON document a line for programs.
//!
//! Guarantees: a reader that goes away (`| head`) is the end of the work, not an error. Hints are for people and go to the
//! other channel, so that a program reads nothing but answers.

use std::io::{self, IsTerminal, Write};
use std::process;

use serde_json::Value;

use super::error::CliError;

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

    /// Documents, each on a line of its own.
    pub fn documents(self, documents: &[Value]) -> Result<(), CliError> {
        documents
            .iter()
            .try_for_each(|document| self.line(&document.to_string()))
    }

    /// A line, or several.
    pub fn line(self, text: &str) -> Result<(), CliError> {
        let mut out = io::stdout().lock();
        match writeln!(out, "{text}").and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => process::exit(0),
            done => Ok(done?),
        }
    }

    /// A remark for a person who watches.
    pub fn hint(self, text: &str) {
        if !self.is_json && io::stderr().is_terminal() {
            eprintln!("{text}");
        }
    }
}
