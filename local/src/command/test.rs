//! `horolog test`: the same set-up as `up`, then every check and every test of the workspace.
//!
//! Exit code 0 when all passed. Arguments go to `cargo test`. Never continues after a failed step.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, bail};

use crate::setup::{ENGINE_LIBRARY_VARIABLE, KAFKA_LIBS_VARIABLE, Kit, Package, require};
use crate::stack::DataFolder;

use super::data::home;

/// A file by which the source folder is recognised.
const LANDMARK: &str = "local/Cargo.toml";

/// Concurrent tests per core, for libtest: tests that run servers spend most of their time waiting.
const THREADS_VARIABLE: &str = "RUST_TEST_THREADS";
const THREADS_A_CORE: usize = 3;

/// Every JVM reads options from this variable.
const JAVA_OPTIONS_VARIABLE: &str = "JAVA_TOOL_OPTIONS";
/// Appended to it: a test's broker lives for a minute, and optimising it with the second compiler would be most of its
/// cost.
const ONE_COMPILER: &str = " -XX:TieredStopAtLevel=1";

/// Options of `horolog test`.
#[derive(Debug, Clone, clap::Args)]
pub struct TestOptions {
    /// For `cargo test`: names of tests, `-p CRATE`, `-- --nocapture`, … With any, only the tests are run.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

/// Runs it.
pub fn run(options: &TestOptions) -> anyhow::Result<ExitCode> {
    let home = std::path::absolute(home())?;
    if !home.join(LANDMARK).is_file() {
        bail!(
            "{} is not Horolog's source folder; run ./horolog test in that folder",
            home.display()
        );
    }
    if options.args.is_empty() {
        // Better now than after half an hour: one of the tests starts a stack as the README does.
        let folder = DataFolder::at(&home.join(".horolog"))?;
        if folder.is_locked() {
            let path = folder.path().display();
            bail!("a stack runs on {path}, where the README's commands are tried: stop it with ./horolog down");
        }
    }
    // Tests make virtual environments for what they need from PyPI.
    require(&[Package::Python])?;
    let kit = Kit::prepare()?;
    let threads = std::env::var_os(THREADS_VARIABLE).unwrap_or_else(|| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        (cores * THREADS_A_CORE).to_string().into()
    });
    let mut java_options = std::env::var_os(JAVA_OPTIONS_VARIABLE).unwrap_or_default();
    java_options.push(ONE_COMPILER);
    let environment: Vec<(&str, OsString)> = vec![
        (ENGINE_LIBRARY_VARIABLE, kit.engine_library.into()),
        (KAFKA_LIBS_VARIABLE, kit.kafka_jars.into()),
        (THREADS_VARIABLE, threads),
        (JAVA_OPTIONS_VARIABLE, java_options),
    ];
    let begun = Instant::now();
    let mut report = String::new();
    let mut passed = true;
    for step in steps(&options.args) {
        let step_begun = Instant::now();
        passed = succeeds(&step, &home, &environment)?;
        let verdict = if passed { "passed" } else { "FAILED" };
        report += &format!(
            "{verdict} {:>7.1} s  {}\n",
            step_begun.elapsed().as_secs_f64(),
            line(&step)
        );
        if !passed {
            break;
        }
    }
    let verdict = if passed { "all passed" } else { "failed" };
    println!("\n{report}\n{verdict} in {:.0} s", begun.elapsed().as_secs_f64());
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What is run, in this order.
fn steps(args: &[OsString]) -> Vec<Vec<OsString>> {
    let cargo = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
    // The black-box tests drive the programs that `cargo build` leaves, so they are built first.
    let build = cargo("build --release --locked --workspace --bins --example producer");
    let mut test = cargo("test --release --locked");
    if args.is_empty() {
        // Without `--tests`, all examples would be compiled, which the lints check.
        test.extend(["--workspace".into(), "--tests".into(), "--no-fail-fast".into()]);
        let lint = cargo("clippy --release --locked --workspace --all-targets -- -D warnings");
        return vec![cargo("fmt --all --check"), build, lint, test];
    }
    test.extend(args.iter().cloned());
    vec![build, test]
}

fn succeeds(step: &[OsString], home: &Path, environment: &[(&str, OsString)]) -> anyhow::Result<bool> {
    eprintln!("\n=== {}", line(step));
    let environment = environment.iter().map(|(key, value)| (key, value));
    let status = Command::new("cargo")
        .args(step)
        .current_dir(home)
        .envs(environment)
        .status();
    Ok(status.context("cannot start cargo: is it on PATH?")?.success())
}

fn line(step: &[OsString]) -> String {
    let words: Vec<_> = step.iter().map(|word| word.to_string_lossy()).collect();
    format!("cargo {}", words.join(" "))
}
