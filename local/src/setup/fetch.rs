//! Runs a package client and shows its progress by the growth of the folder it writes to.
//!
//! Package clients know mirrors, proxies and credentials, so they do the fetching. They print little of use, so the bar
//! shows how much they have written. A client that neither writes nor prints for [`STALL_TIMEOUT`] is ended.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// How often the folder is measured.
const LOOK_INTERVAL: Duration = Duration::from_millis(150);
/// A client that neither writes nor prints for this long is taken to be stuck.
const STALL_TIMEOUT: Duration = Duration::from_secs(180);

/// Why something could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The client cannot be started.
    #[error("cannot start {program}: {source}")]
    Start {
        /// The program.
        program: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The client failed.
    #[error("{program} failed ({outcome}): {output}")]
    Failed {
        /// The program.
        program: String,
        /// Exit code, signal or time-out.
        outcome: String,
        /// The end of what it printed.
        output: String,
    },
    /// A fetched archive is not what was pinned.
    #[error("{path} has sha256 {found}, expected {expected}: what the registry delivered is not the pinned release")]
    Checksum {
        /// The archive.
        path: PathBuf,
        /// What it has.
        found: String,
        /// What was pinned.
        expected: String,
    },
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl FetchError {
    /// Of the file system, at this path.
    pub(super) fn io(path: &Path) -> impl Fn(std::io::Error) -> Self + Copy {
        |source| Self::Io {
            path: path.to_owned(),
            source,
        }
    }
}

/// Something that takes a while: what it is, where it shows, how much it will be.
pub(super) struct Growth<'a> {
    /// What the bar says.
    pub title: &'a str,
    /// The folder or file that grows.
    pub path: &'a Path,
    /// Its final size, about.
    pub bytes: u64,
}

/// Runs the command to its end under a progress bar.
pub(super) fn run(command: &mut Command, growth: &Growth<'_>) -> Result<(), FetchError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let io = FetchError::io(growth.path);
    let output = tempfile::tempfile().map_err(io)?;
    let (stdout, stderr) = (output.try_clone().map_err(io)?, output.try_clone().map_err(io)?);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .spawn()
        .map_err(|source| FetchError::Start {
            program: program.clone(),
            source,
        })?;
    let bar = bar(growth);
    let (mut size, mut grown) = (0, Instant::now());
    let outcome = loop {
        match child.try_wait().map_err(io)? {
            Some(status) if status.success() => break None,
            Some(status) => break Some(status.to_string()),
            None if grown.elapsed() > STALL_TIMEOUT => {
                let _ = child.kill().and_then(|()| child.wait());
                break Some(format!("no progress for {} s", STALL_TIMEOUT.as_secs()));
            }
            None => std::thread::sleep(LOOK_INTERVAL),
        }
        let now = size_of(growth.path);
        let written = output.metadata().map_or(0, |metadata| metadata.len());
        if now + written > size {
            (size, grown) = (now + written, Instant::now());
            bar.set_position(now.min(growth.bytes));
        }
    };
    bar.finish_and_clear();
    outcome.map_or(Ok(()), |outcome| {
        Err(FetchError::Failed {
            program,
            outcome,
            output: last_lines(output),
        })
    })
}

fn bar(growth: &Growth<'_>) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        eprintln!("{} (about {} MB)", growth.title, growth.bytes / 1_000_000);
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ");
    ProgressBar::new(growth.bytes)
        .with_style(style)
        .with_message(growth.title.to_owned())
}

/// Bytes in a file or in all files of a folder; what vanishes meanwhile counts as nothing.
fn size_of(path: &Path) -> u64 {
    let Ok(metadata) = std::fs::symlink_metadata(path) else {
        return 0;
    };
    if !metadata.is_dir() {
        return metadata.len();
    }
    std::fs::read_dir(path).map_or(0, |entries| entries.flatten().map(|entry| size_of(&entry.path())).sum())
}

fn last_lines(mut output: std::fs::File) -> String {
    use std::io::{Read, Seek};
    let mut text = String::new();
    let _ = output.rewind().and_then(|()| output.read_to_string(&mut text));
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}
