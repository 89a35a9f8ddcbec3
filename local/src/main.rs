//! `horolog`: the command. Wiring only: arguments in, exit code out.

use std::process::ExitCode;

use clap::Parser;
use horolog_local::cli::Cli;
use horolog_schemas::errors::in_words;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("horolog: {}", in_words(&*error));
            ExitCode::FAILURE
        }
    }
}
