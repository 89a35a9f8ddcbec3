//! Kafka's jars, through Maven, from a checked-in project file and checksums.

use std::path::Path;
use std::process::Command;

use super::artifact::{Artifact, Pin};
use super::fetch::{FetchError, Growth, run};

const POM: &str = include_str!("kafka-pom.xml");
const JARS: &str = include_str!("kafka-jars.sha256");
/// The goal that copies what the project file resolves to.
const COPY: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies";
/// Jars, the copying plugin and their descriptions, about.
const REPOSITORY_BYTES: u64 = 68_000_000;

/// The jars by checksum.
pub(super) fn artifact(cache: &Path) -> Artifact {
    let pins = JARS.lines().filter_map(|line| line.split_once("  "));
    let pins = pins
        .map(|(sha256, name)| Pin {
            name: name.to_owned(),
            sha256: sha256.to_owned(),
        })
        .collect();
    Artifact {
        title: "Kafka 4.4.0",
        folder: cache.join("kafka-4.4.0"),
        pins,
    }
}

/// Fills the folder with the jars.
pub(super) fn fetch(folder: &Path, work: &Path) -> Result<(), FetchError> {
    let pom = work.join("pom.xml");
    std::fs::write(&pom, POM).map_err(FetchError::io(&pom))?;
    // A repository of its own, so that its growth is the progress, and the user's stays as it is.
    let repository = work.join("repository");
    let mut command = Command::new("mvn");
    command
        .args(["--batch-mode", "--quiet", "--file"])
        .arg(&pom)
        .args([COPY, "-DincludeScope=runtime"]);
    command
        .arg(define("maven.repo.local", &repository))
        .arg(define("outputDirectory", folder));
    run(
        &mut command,
        &Growth {
            title: "fetching Kafka 4.4.0",
            path: &repository,
            bytes: REPOSITORY_BYTES,
        },
    )
}

fn define(key: &str, value: &Path) -> std::ffi::OsString {
    let mut argument = std::ffi::OsString::from(format!("-D{key}="));
    argument.push(value);
    argument
}
