//! The checking programs, and how to run them. They are installed once from PyPI, every file verified by its checksum.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use crate::python::python_with;

pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

pub(crate) fn read(path: &str) -> String {
    let path = workspace().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(crate) fn output(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

#[track_caller]
pub(crate) fn run(command: &mut Command) -> String {
    let output = output(command);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// What a YAML file says.
pub(crate) fn yaml(path: &str) -> serde_json::Value {
    let script = "import json, sys, ruamel.yaml\n\
                  print(json.dumps(ruamel.yaml.YAML(typ='safe').load(open(sys.argv[1]))))";
    let json = run(Command::new(tools().join("python"))
        .args(["-c", script])
        .arg(workspace().join(path)));
    serde_json::from_str(&json).unwrap()
}

/// The folder with the tools, made once and kept with the build.
pub(crate) fn tools() -> &'static Path {
    static TOOLS: OnceLock<PathBuf> = OnceLock::new();
    TOOLS.get_or_init(|| {
        let options = ["--no-deps", "--only-binary", ":all:", "--require-hashes"];
        let python = python_with("packaging", include_str!("requirements.txt"), &options);
        python.parent().unwrap().to_owned()
    })
}
