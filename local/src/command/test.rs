//! `horolog test`: the same set-up as `up`, then every check and every test of the workspace.
//!
//! Exit code 0 when all passed. Arguments go to `cargo test`. Never continues after a failed step.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, bail};

use crate::setup::{ENGINE_LIBRARY_VARIABLE, KAFKA_LIBS_VARIABLE, Kit, Package, require};

use super::data::home;

/// Python packages that tests use; the tests that need them name them here.
const REQUIREMENTS: &str = "local/tests/requirements.txt";
/// Tells the tests which Python has them.
const PYTHON_VARIABLE: &str = "HOROLOG_TEST_PYTHON";

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
    if !home.join(REQUIREMENTS).parent().is_some_and(Path::is_dir) {
        bail!(
            "{} is not the source folder of horolog; run ./horolog test there",
            home.display()
        );
    }
    let kit = Kit::prepare()?;
    let mut environment: Vec<(&str, PathBuf)> = vec![
        (ENGINE_LIBRARY_VARIABLE, kit.engine_library),
        (KAFKA_LIBS_VARIABLE, kit.kafka_jars),
    ];
    if let Some(python) = python(&home)? {
        environment.push((PYTHON_VARIABLE, python));
    }
    let begun = Instant::now();
    let steps = steps(&options.args);
    let mut done: Vec<String> = Vec::new();
    for step in &steps {
        let (line, passed, seconds) = step_run(step, &home, &environment)?;
        done.push(format!(
            "{:<7} {seconds:>6.1} s  {line}",
            if passed { "passed" } else { "FAILED" }
        ));
        if !passed {
            break;
        }
    }
    let passed = done.len() == steps.len() && done.iter().all(|line| line.starts_with("passed"));
    println!(
        "\n{}\n\n{} in {:.0} s",
        done.join("\n"),
        verdict(passed),
        begun.elapsed().as_secs_f64()
    );
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn verdict(passed: bool) -> &'static str {
    if passed { "all passed" } else { "failed" }
}

/// What is run, in this order.
fn steps(args: &[OsString]) -> Vec<Vec<OsString>> {
    let cargo = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
    // The black-box tests drive the programs that `cargo build` leaves, so they are built first.
    let build = cargo("build --release --locked --workspace");
    let mut test = cargo("test --release --locked");
    if args.is_empty() {
        test.push("--workspace".into());
        let lint = cargo("clippy --release --locked --workspace --all-targets -- -D warnings");
        return vec![cargo("fmt --all --check"), build, lint, test];
    }
    test.extend(args.iter().cloned());
    vec![build, test]
}

fn step_run(args: &[OsString], home: &Path, environment: &[(&str, PathBuf)]) -> anyhow::Result<(String, bool, f64)> {
    let line: Vec<_> = args.iter().map(|arg| arg.to_string_lossy()).collect();
    let line = format!("cargo {}", line.join(" "));
    eprintln!("\n=== {line}");
    let begun = Instant::now();
    let envs = environment.iter().map(|(key, value)| (key, value));
    let status = Command::new("cargo").args(args).current_dir(home).envs(envs).status();
    let status = status.context("cannot start cargo: is it on PATH?")?;
    Ok((line, status.success(), begun.elapsed().as_secs_f64()))
}

/// The Python of a virtual environment with the packages of [`REQUIREMENTS`]; none when there is no such file. It is made anew
/// when the file has changed, and needs no network when it has not.
fn python(home: &Path) -> anyhow::Result<Option<PathBuf>> {
    let requirements = home.join(REQUIREMENTS);
    let Ok(wanted) = std::fs::read(&requirements) else {
        return Ok(None);
    };
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| home.join("target"), |folder| home.join(folder));
    let folder = target.join("test-python");
    let (python, installed) = (folder.join("bin/python"), folder.join("installed.txt"));
    if std::fs::read(&installed).is_ok_and(|installed| installed == wanted) {
        return Ok(Some(python));
    }
    require(&[Package::Python])?;
    eprintln!("installing the tests' Python packages into {}", folder.display());
    let checked = |command: &mut Command| match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => bail!("{} failed ({status})", command.get_program().display()),
        Err(error) => Err(error).with_context(|| format!("cannot start {}", command.get_program().display())),
    };
    checked(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    checked(
        Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--requirement"])
            .arg(&requirements),
    )?;
    std::fs::write(&installed, wanted)?;
    Ok(Some(python))
}
