//! `horolog-query`: serves metrics and audit events until it is told to stop, or queries a running service.

use std::process::ExitCode;

use clap::Parser;
use horolog_query::command::{self, Arguments};

#[tokio::main]
async fn main() -> ExitCode {
    command::run(Arguments::parse()).await
}
