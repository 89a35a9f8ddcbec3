//! `horolog-migrate up|down|status|check`: migrates a ClickHouse database to the schema of this release, and reports
//! its state.

use std::process::ExitCode;

use clap::Parser;
use horolog_schemas::errors::in_words;
use horolog_schemas::migrate::cli::{Cli, run};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    run(Cli::parse()).await.unwrap_or_else(|error| {
        eprintln!("horolog-migrate: {}", in_words(&*error));
        ExitCode::from(2)
    })
}
