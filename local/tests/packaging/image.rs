//! The Dockerfile: what it builds, with what, from what.

use std::collections::BTreeSet;

use crate::compose::own_services;
use crate::tools::read;

#[test]
fn the_image_holds_every_binary_that_compose_runs() {
    let dockerfile = read("Dockerfile");
    let built: BTreeSet<&str> = words_after(&dockerfile, "--bin");
    let run: BTreeSet<&str> = own_services().map(|(_, _, binary)| binary).collect();
    assert_eq!(built, run);
    for binary in built {
        assert!(
            dockerfile.contains(&format!("target/release/{binary} "))
                || dockerfile.contains(&format!("target/release/{binary}\n"))
        );
    }
}

#[test]
fn the_image_is_built_by_the_tool_chain_of_the_workspace() {
    let toolchain = read("rust-toolchain.toml");
    let channel = toolchain
        .split("channel = \"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    assert!(
        read("Dockerfile").contains(&format!("ARG RUST_VERSION={channel}\n")),
        "{channel}"
    );
}

#[test]
fn the_build_context_has_every_member_of_the_workspace() {
    let ignore = read(".dockerignore");
    let kept: BTreeSet<&str> = ignore.lines().filter_map(|line| line.strip_prefix('!')).collect();
    let manifest = read("Cargo.toml");
    let members = manifest.split("members = [").nth(1).unwrap().split(']').next().unwrap();
    let needed: BTreeSet<&str> = members
        .split(',')
        .map(|member| member.trim().trim_matches('"'))
        .chain(["Cargo.toml", "Cargo.lock"])
        .collect();
    assert_eq!(kept, needed);
}

fn words_after<'a>(text: &'a str, flag: &str) -> BTreeSet<&'a str> {
    let words: Vec<&str> = text.split_whitespace().collect();
    words
        .windows(2)
        .filter(|pair| pair[0] == flag)
        .map(|pair| pair[1])
        .collect()
}
