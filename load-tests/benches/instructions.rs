//! Instructions per step of the hot path, which are the same on a busy machine and on an idle one.
//!
//! `cargo bench -p horolog-load --bench instructions` counts them with callgrind (valgrind must be installed) and
//! prints them beside those of `instructions.tsv`; `-- --write` rewrites that file. Two runs of the same build differ
//! by a few in ten thousand. Multi-threaded steps are left out, because callgrind runs one thread at a time.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod steps;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use steps::STEPS;

const HEADER: &str = "step\tinstructions a record\n";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    if let Some(position) = arguments.iter().position(|argument| argument == "--step") {
        return run(&arguments[position + 1]);
    }
    if !has("--bench") {
        return; // `cargo test` only checks that it starts
    }
    let known = read();
    let mut written = HEADER.to_owned();
    println!("{:>10} {:>10} {:>8}  step, instructions a record", "now", "known", "");
    for (name, ..) in STEPS.iter().filter(|(_, on_one_thread, _)| *on_one_thread) {
        let now = count(name);
        written += &format!("{name}\t{now:.1}\n");
        match known.get(*name) {
            Some(known) => println!(
                "{now:>10.1} {known:>10.1} {:>+7.2}%  {name}",
                (now / known - 1.0) * 100.0
            ),
            None => println!("{now:>10.1} {:>10} {:>8}  {name}", "-", ""),
        }
    }
    if has("--write") {
        std::fs::write(table(), written).unwrap();
        println!("wrote {}", table().display());
    }
}

fn table() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.tsv")
}

fn read() -> BTreeMap<String, f64> {
    let text = std::fs::read_to_string(table()).unwrap_or_default();
    let line = |line: &str| {
        let (name, count) = line.split_once('\t')?;
        Some((name.to_owned(), count.parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

/// Counts the instructions of a step, once, in a process of its own.
fn count(name: &str) -> f64 {
    let output = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--callgrind-out-file=/dev/null",
            "--collect-atstart=no",
        ])
        .arg("--toggle-collect=*instructions::measured*")
        .arg(std::env::current_exe().unwrap())
        .args(["--step", name])
        .output()
        .expect("valgrind can be started: install it");
    let told = String::from_utf8_lossy(&output.stderr);
    let collected = told
        .lines()
        .find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    let instructions: f64 = collected.unwrap_or_else(|| panic!("callgrind counted nothing: {told}"));
    let records: f64 = String::from_utf8_lossy(&output.stdout).trim().parse().unwrap();
    instructions / records
}

/// Runs a step once to warm up and once to be counted; prints the number of records.
fn run(name: &str) {
    let (_, _, make) = STEPS
        .iter()
        .find(|(known, ..)| *known == name)
        .expect("a step of that name");
    let mut step = make();
    (step.run)();
    measured(&mut step);
    println!("{}", step.records);
}

#[inline(never)]
fn measured(step: &mut steps::Step) {
    (step.run)();
    std::hint::black_box(step.records); // not the last call: callgrind would not see a tail call return
}
