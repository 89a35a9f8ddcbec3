//! `horolog-query`: serves metrics and audit events until it is told to stop, or queries a running service.

use std::process::ExitCode;

use horolog_query::command::{self, Arguments};

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::of(std::env::args_os()).unwrap_or_else(|error| error.exit());
    command::run(arguments).await
}
