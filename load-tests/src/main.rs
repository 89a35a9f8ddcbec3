//! `horolog-load`: the binary. Wiring only: arguments in, exit code out.

use std::process::ExitCode;

use clap::Parser;
use horolog_load::cli::Cli;
use horolog_schemas::errors::in_words;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("horolog-load: {}", in_words(&*error));
            ExitCode::FAILURE
        }
    }
}
