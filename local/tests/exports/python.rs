//! Python with packages of a stated version, made once and kept with the build.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// The interpreter of an environment that has these packages.
pub(crate) fn python(name: &str, packages: &[&str]) -> PathBuf {
    // Tests run in parallel: one makes it, the others wait.
    static MAKING: Mutex<()> = Mutex::new(());
    let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("python-{name}"));
    let (python, complete) = (environment.join("bin/python"), environment.join("complete"));
    let wanted = packages.join("\n");
    if std::fs::read_to_string(&complete).is_ok_and(|made| made == wanted) {
        return python;
    }
    let run = |command: &mut Command| assert!(command.status().unwrap().success(), "{command:?}");
    run(Command::new("python3")
        .args(["-m", "venv", "--clear"])
        .arg(&environment));
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    run(Command::new(&python).args(install).args(packages));
    std::fs::write(complete, wanted).unwrap();
    python
}
