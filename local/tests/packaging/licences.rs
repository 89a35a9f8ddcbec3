//! Licences, bans and sources of all that is linked, by cargo-deny. Off line, so without the database of advisories.

use std::path::Path;
use std::process::{Command, Output};

use crate::tools::{output, read, run, tools, workspace};

#[test]
fn what_is_linked_may_be_linked() {
    let versions = run(Command::new("rustc").arg("-vV"));
    let host = versions.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let deny = |folder: &Path| {
        let mut command = Command::new(tools().join("cargo-deny"));
        command.arg("--manifest-path").arg(workspace().join("Cargo.toml"));
        command.arg("--config").arg(folder.join("deny.toml"));
        output(command.args(["--offline", "--target", host, "check", "licenses", "bans", "sources"]))
    };
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let checked = deny(workspace());
    assert!(checked.status.success(), "{}", said(&checked));

    let folder = tempfile::tempdir().unwrap();
    let without_mit = read("deny.toml").replace("    \"MIT\",\n", "");
    std::fs::write(folder.path().join("deny.toml"), without_mit).unwrap();
    let planted = deny(folder.path());
    assert!(
        !planted.status.success() && said(&planted).contains("license is not explicitly allowed"),
        "{}",
        said(&planted)
    );
}
