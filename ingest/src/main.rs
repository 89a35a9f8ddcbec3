//! `horolog-ingest`: arguments, run, exit code.

use std::process::ExitCode;

use clap::Parser;
use horolog_ingest::cli::Args;
use horolog_schemas::errors::in_words;

#[tokio::main]
async fn main() -> ExitCode {
    match Args::parse().run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("horolog-ingest: {}", in_words(&*error));
            ExitCode::FAILURE
        }
    }
}
