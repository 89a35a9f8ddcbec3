//! Finds programs: on `PATH`, and Java in the place that `JAVA_HOME` names.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The oldest Java that Kafka 4 runs on.
const JAVA_MAJOR_MIN: u32 = 17;

/// The first program of that name on `PATH`.
pub(super) fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|candidate| is_executable(candidate))
}

/// A Java that is new enough: `JAVA_HOME`, `PATH`, then what the distribution installed beside its default.
pub(super) fn java() -> Option<PathBuf> {
    let home = std::env::var_os("JAVA_HOME").map(|home| PathBuf::from(home).join("bin/java"));
    let installed = std::fs::read_dir("/usr/lib/jvm")
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path().join("bin/java"));
    let candidates = home.into_iter().chain(on_path("java")).chain(installed);
    candidates
        .filter(|java| is_executable(java))
        .find(|java| java_major(java).is_some_and(|m| m >= JAVA_MAJOR_MIN))
}

/// Chromium or a browser based on it, by the names that distributions use.
pub fn browser() -> Option<PathBuf> {
    const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    NAMES.iter().find_map(|name| on_path(name))
}

fn java_major(java: &Path) -> Option<u32> {
    let output = Command::new(java).arg("-version").output().ok()?;
    parse_java_major(&String::from_utf8_lossy(&output.stderr))
}

/// `openjdk version "17.0.15" 2025-04-15`; before 9 it was `"1.8.0_402"`.
fn parse_java_major(version: &str) -> Option<u32> {
    let quoted = version.split('"').nth(1)?;
    let mut numbers = quoted.split(|c: char| !c.is_ascii_digit());
    match numbers.next()?.parse().ok()? {
        1 => numbers.next()?.parse().ok(),
        major => Some(major),
    }
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_old_and_new_java_versions() {
        assert_eq!(parse_java_major("openjdk version \"17.0.15\" 2025-04-15\n"), Some(17));
        assert_eq!(parse_java_major("openjdk version \"26-ea\" 2026-03-17\n"), Some(26));
        assert_eq!(parse_java_major("java version \"1.8.0_402\"\n"), Some(8));
        assert_eq!(parse_java_major("bash: java: not found"), None);
    }
}
