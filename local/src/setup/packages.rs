//! Programs that come from the distribution: named when missing, installed when we are root.

use std::path::Path;
use std::process::Command;

use parking_lot::Mutex;

use super::fetch::{Growth, run};
use super::programs;

/// A program that must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Package {
    /// Java 17 or newer, for Kafka.
    Java,
    /// Maven, to fetch Kafka.
    Maven,
    /// npm, to fetch the engine.
    Npm,
    /// Python 3 with venv, for the tests.
    Python,
    /// Chromium, to test the web page in.
    Chromium,
}

/// Programs are missing, and this is how to get them.
#[derive(Debug, thiserror::Error)]
#[error("missing: {missing}{remedy}")]
pub struct MissingPackages {
    missing: String,
    remedy: String,
}

impl Package {
    fn title(self) -> &'static str {
        match self {
            Self::Java => "Java 17 or newer",
            Self::Maven => "Maven",
            Self::Npm => "npm",
            Self::Python => "Python 3 with venv",
            Self::Chromium => "Chromium",
        }
    }

    /// Packages of Debian and Ubuntu by preference: the first that the release has is taken.
    fn candidates(self) -> &'static [&'static str] {
        match self {
            Self::Java => &[
                "openjdk-21-jre-headless",
                "openjdk-17-jre-headless",
                "openjdk-25-jre-headless",
            ],
            Self::Maven => &["maven"],
            Self::Npm => &["npm"],
            Self::Python => &["python3-venv"],
            Self::Chromium => &["chromium", "chromium-browser"],
        }
    }

    fn is_there(self) -> bool {
        match self {
            Self::Java => programs::java().is_some(),
            Self::Maven => programs::on_path("mvn").is_some(),
            Self::Npm => programs::on_path("npm").is_some(),
            Self::Chromium => programs::browser().is_some(),
            Self::Python => Command::new("python3")
                .args(["-c", "import venv, ensurepip"])
                .output()
                .is_ok_and(|o| o.status.success()),
        }
    }
}

impl MissingPackages {
    /// Says what is missing and the one line that installs it.
    pub(super) fn of(missing: &[Package]) -> Self {
        let titles: Vec<&str> = missing.iter().map(|package| package.title()).collect();
        let remedy = if programs::on_path("apt-get").is_some() {
            let names: Vec<&str> = missing.iter().map(|package| available(*package)).collect();
            let names = names.join(" ");
            format!("; install with: sudo apt-get update && sudo apt-get install --yes --no-install-recommends {names}")
        } else {
            " (install with the package manager of your distribution)".to_owned()
        };
        Self {
            missing: titles.join(", "),
            remedy,
        }
    }

    fn failed(missing: &[Package], reason: &str) -> Self {
        let mut error = Self::of(missing);
        error.remedy += &format!("\n{reason}");
        error
    }
}

/// Makes sure of all, installing what is missing when we are root.
pub fn require(packages: &[Package]) -> Result<(), MissingPackages> {
    // The distribution's installer refuses to run twice at a time.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock();
    let missing: Vec<Package> = packages.iter().copied().filter(|package| !package.is_there()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !nix::unistd::geteuid().is_root() || programs::on_path("apt-get").is_none() {
        return Err(MissingPackages::of(&missing));
    }
    install(&missing)?;
    let still: Vec<Package> = missing.into_iter().filter(|package| !package.is_there()).collect();
    if still.is_empty() {
        Ok(())
    } else {
        Err(MissingPackages::failed(
            &still,
            "apt-get installed them, but they are still not found",
        ))
    }
}

fn install(missing: &[Package]) -> Result<(), MissingPackages> {
    let failed = |error: super::fetch::FetchError| MissingPackages::failed(missing, &error.to_string());
    let growth = |title| Growth {
        title,
        path: Path::new("/var/cache/apt/archives"),
        bytes: 250_000_000,
    };
    run(
        &mut apt(&["update"]),
        &growth("updating the distribution's package lists"),
    )
    .map_err(failed)?;
    let names: Vec<&str> = missing.iter().map(|package| available(*package)).collect();
    let title = format!("installing {}", names.join(" "));
    run(
        apt(&["install", "--yes", "--no-install-recommends"]).args(&names),
        &growth(&title),
    )
    .map_err(failed)
}

fn apt(args: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .arg("--quiet")
        // Another test or tool may be installing something just now.
        .args(["--option", "DPkg::Lock::Timeout=600"])
        .args(args);
    command
}

/// The first of a package's names that this release of the distribution has.
fn available(package: Package) -> &'static str {
    let known = |name: &&&str| {
        let output = Command::new("apt-cache")
            .args(["show", "--no-all-versions", **name])
            .output();
        output.is_ok_and(|output| output.status.success() && !output.stdout.is_empty())
    };
    let candidates = package.candidates();
    candidates.iter().find(known).unwrap_or(&candidates[0])
}
