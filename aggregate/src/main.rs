//! `horolog-aggregate`: arguments, run, exit code.

use std::process::ExitCode;

use clap::Parser;
use horolog_aggregate::cli::Args;
use horolog_schemas::errors::in_words;

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    match args.run().await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("horolog-aggregate: {}", in_words(&*error));
            args.failure()
        }
    }
}
