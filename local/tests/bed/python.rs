//! A Python with the packages of a test, made once and kept with the build.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// The program of an environment that has what `requirements` lists, one a line as in pip's files.
pub fn python(name: &str, requirements: &str) -> PathBuf {
    python_with(name, requirements, &[])
}

/// Likewise, installed with these options of pip.
pub fn python_with(name: &str, requirements: &str, options: &[&str]) -> PathBuf {
    // Tests run in parallel: one makes it, the others wait.
    static MAKING: Mutex<()> = Mutex::new(());
    let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("python-{name}"));
    let (python, complete) = (environment.join("bin/python"), environment.join("complete"));
    if std::fs::read_to_string(&complete).is_ok_and(|installed| installed == requirements) {
        return python;
    }
    run(Command::new("python3")
        .args(["-m", "venv", "--clear"])
        .arg(&environment));
    let list = environment.join("requirements.txt");
    std::fs::write(&list, requirements).unwrap();
    run(Command::new(&python)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(["--retries", "10", "--timeout", "180"])
        .args(options)
        .arg("-r")
        .arg(list));
    // Written last: an environment that was cut off half-way is made again.
    std::fs::write(complete, requirements).unwrap();
    python
}

#[track_caller]
fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{err}", output.status);
}
