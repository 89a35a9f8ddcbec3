//! The README's commands, run exactly as written: every block marked `sh`, from top to bottom.
//!
//! They use the clone's own data folder and the default ports, as a newcomer would. A folder that was not there before
//! is wiped afterwards; one that was is only stopped.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use horolog_local::stack::DataFolder;

fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The blocks of a Markdown text that are marked `sh`.
fn shell_blocks(markdown: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<String> = None;
    for line in markdown.lines() {
        match &mut open {
            Some(_) if line == "```" => blocks.extend(open.take()),
            Some(block) => *block += &format!("{line}\n"),
            None if line == "```sh" => open = Some(String::new()),
            None => (),
        }
    }
    assert!(open.is_none(), "a block of the README is not closed");
    blocks
}

fn bash(script: &str) -> Output {
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", script])
        .current_dir(home())
        .output();
    output.expect("bash can be started")
}

/// Stops what the README started, however the test ends.
struct Stop {
    wipe: bool,
}

impl Drop for Stop {
    fn drop(&mut self) {
        bash(if self.wipe {
            "./horolog wipe --yes"
        } else {
            "./horolog down"
        });
    }
}

#[test]
fn every_command_of_the_readme_works_as_written() {
    let readme = std::fs::read_to_string(home().join("README.md")).unwrap();
    let blocks = shell_blocks(&readme);
    assert!(blocks.len() >= 6, "the README has {} blocks of commands", blocks.len());
    assert!(
        !DataFolder::at(&home().join(".horolog")).unwrap().is_locked(),
        "a stack runs in this clone: stop it with ./horolog down, the README is tried on its ports"
    );
    let _stop = Stop {
        wipe: !home().join(".horolog").exists(),
    };
    for block in blocks {
        let output = bash(&block);
        let (stdout, stderr) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        println!("$ {block}{stdout}");
        assert!(
            output.status.success(),
            "{block}\n{}\n{stdout}\n{stderr}",
            output.status
        );
    }
}

#[test]
fn blocks_are_taken_as_they_stand() {
    let markdown = "a\n```sh\none\ntwo\n```\n```console\n$ no\n```\n```sh\nthree\n```\n";
    assert_eq!(shell_blocks(markdown), ["one\ntwo\n", "three\n"]);
}
