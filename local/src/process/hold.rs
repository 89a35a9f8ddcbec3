//! `horolog hold`: binds a program to the life of the process that starts it, then becomes that program.
//!
//! Setting the parent-death signal between fork and exec needs unsafe code; setting it on oneself and then calling exec does
//! not, and the setting survives the exec. The id stays the same, so there is no process in between.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use nix::sys::signal::Signal;

/// Options of `horolog hold`.
#[derive(Debug, clap::Args)]
pub struct HoldOptions {
    /// The parent, which this process must not outlive.
    #[arg(long)]
    parent: u32,
    /// The program and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

/// Writes the command line that [`run`] reads.
pub(super) fn arguments(command: &mut Command, program: &Path, args: &[impl AsRef<OsStr>]) {
    command
        .args(["hold", "--parent", &std::process::id().to_string(), "--"])
        .arg(program)
        .args(args);
}

/// Becomes the program; returns only when that fails.
pub fn run(options: HoldOptions) -> anyhow::Result<()> {
    // SIGKILL, because the parent that could escalate is gone; every part of the stack is made to survive it.
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).context("cannot set the parent-death signal")?;
    if std::os::unix::process::parent_id() != options.parent {
        bail!("the process that started this one has ended");
    }
    let [program, args @ ..] = options.command.as_slice() else {
        bail!("hold: no program given")
    };
    let error = std::os::unix::process::CommandExt::exec(Command::new(PathBuf::from(program)).args(args));
    Err(error).with_context(|| format!("cannot start {}", program.display()))
}
