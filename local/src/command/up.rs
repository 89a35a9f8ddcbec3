//! `horolog up`: set-up, then the stack, in the foreground or in a session of its own.
//!
//! Guarantees: when it returns from `--detach` with success, everything is ready; when it fails or is asked to stop,
//! nothing is left running.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::process::{Identity, Signal};
use crate::setup::Kit;
use crate::stack::{self, DataFolder, Layout, Phase, Ports, SUPERVISOR, StackState, StopRequest, screen};

use super::data::DataOption;
use super::status;

/// Below this much free space on the data folder's disk a warning is printed.
const DISK_WARNING_GIB: u64 = 5;

/// Options of `horolog up`.
#[derive(Debug, Clone, clap::Args)]
pub struct UpOptions {
    #[command(flatten)]
    data: DataOption,
    /// Return when everything is ready, and leave it running in the background.
    #[arg(long)]
    detach: bool,
    /// Do not produce the live sample stream. Remembered for this data folder until a start with `--no-sample=false`.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    no_sample: Option<bool>,
    /// Never delete by age; for historical data. Remembered for this data folder until a start with `--keep-all=false`
    /// has changed the tables.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    keep_all: Option<bool>,
    /// Allow a retention (set in the environment) that is shorter than before. Implied by `--keep-all=false` on a
    /// folder that keeps everything.
    #[arg(long)]
    shorten_retention: bool,
    #[command(flatten)]
    ports: Ports,
    /// Java heap of the broker, for example 256M or 1G.
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = mebibytes)]
    memory_kafka: u64,
    /// Memory that ClickHouse may use, at least 256M; with less than 1G the stages send smaller batches.
    #[arg(long, value_name = "SIZE", default_value = "1G", value_parser = mebibytes_of_engine)]
    memory_clickhouse: u64,
    /// Be the supervisor in the background: the second half of `--detach`.
    #[arg(long, hide = true)]
    in_background: bool,
}

/// Runs it.
pub fn run(options: &UpOptions) -> anyhow::Result<ExitCode> {
    let folder = options.data.folder()?;
    if folder.is_locked() {
        let path = folder.path().display();
        if let Some(keep_all) = options.keep_all
            && StackState::current(&folder).is_some_and(|stack| stack.retention.keep_all != keep_all)
        {
            bail!(
                "already running on {path} without --keep-all={keep_all}: stop it with `horolog down`, then start it again"
            );
        }
        println!("already running on {path} with the options it was started with; `horolog down` stops it\n");
        return status::print(&folder, false);
    }
    folder.create()?;
    if !options.in_background {
        stack::check(&folder, &options.ports)?;
    }
    let sample = wants_sample(options, &folder)?;
    let layout = layout(options, folder)?;
    if options.in_background {
        nix::unistd::setsid().context("cannot leave the terminal's session")?;
        stack::run(&layout, sample, false)?;
    } else if options.detach {
        detach(&layout.folder)?;
    } else {
        stack::run(&layout, sample, true)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// As the options say, else as at the last start on this folder.
fn wants_sample(options: &UpOptions, folder: &DataFolder) -> anyhow::Result<bool> {
    if let Some(no_sample) = options.no_sample {
        folder.remember_no_sample(no_sample)?;
    }
    let no_sample = folder.has_no_sample();
    if no_sample && options.no_sample.is_none() && !options.in_background {
        eprintln!("without the sample stream, as at the last start on this folder; --no-sample=false starts it");
    }
    Ok(!no_sample)
}

fn layout(options: &UpOptions, folder: DataFolder) -> anyhow::Result<Layout> {
    let horolog = std::env::current_exe().context("cannot find the path of this program")?;
    let programs = horolog.parent().map(PathBuf::from).unwrap_or_default();
    let keeps_all = folder.keeps_all();
    let keep_all = options.keep_all.unwrap_or(keeps_all);
    if keep_all {
        folder.remember_keep_all(true)?;
    }
    let layout = Layout {
        programs,
        horolog,
        kit: Kit::prepare()?,
        folder,
        ports: options.ports,
        kafka_mib: options.memory_kafka,
        clickhouse_mib: options.memory_clickhouse,
        keep_all,
        shorten_retention: options.shorten_retention || (keeps_all && !keep_all),
    };
    if let Some(missing) = layout.missing_program() {
        bail!(
            "{} is missing: build it with `cargo build --release --workspace`",
            missing.display()
        );
    }
    warn_of_low_disk(&layout.folder);
    Ok(layout)
}

/// Starts this program again in the background, with the same arguments, and waits until its stack is ready.
fn detach(folder: &DataFolder) -> anyhow::Result<()> {
    // Signals are counted by a thread of its own, since this one waits for files and a process.
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).enable_all().build()?;
    let stop = runtime.block_on(async { StopRequest::listen() });
    let stop = stop.context("cannot listen for signals")?;
    let log = folder.log(SUPERVISOR);
    std::fs::create_dir_all(folder.logs()).with_context(|| format!("cannot make {}", folder.logs().display()))?;
    // Append: of two supervisors that start at once, the second must not truncate the output of the first.
    let output = File::options().create(true).append(true).open(&log);
    let output = output.with_context(|| format!("cannot write {}", log.display()))?;
    let begins_at = output.metadata().map_or(0, |log| log.len());
    let has_admin = folder.key(stack::ADMIN_KEY).is_some();
    let mut child = Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .arg("--in-background")
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
        .context("cannot start the supervisor")?;
    let state = wait_until_ready(folder, &mut child, begins_at, &stop)?;
    println!(
        "running in the background; `horolog status` shows it, `horolog down` stops it\n{}",
        screen::welcome(&state)
    );
    if let Some(key) = folder.key(stack::ADMIN_KEY).filter(|_| !has_admin) {
        println!("{}", screen::first_admin(&key));
    }
    Ok(())
}

/// Meanwhile shows the supervisor's progress, which is in its log from this byte on, and hands on a request to stop: the
/// supervisor is in a session of its own, which Ctrl-C does not reach.
fn wait_until_ready(
    folder: &DataFolder,
    child: &mut Child,
    begins_at: u64,
    stop: &StopRequest,
) -> anyhow::Result<StackState> {
    let pid = child.id().cast_signed();
    let mut log = File::open(folder.log(SUPERVISOR))?;
    log.seek(SeekFrom::Start(begins_at))?;
    let mut handed_on = 0;
    loop {
        std::io::copy(&mut log, &mut std::io::stderr())?;
        let ended = child.try_wait()?;
        let asked = stop.requests();
        for _ in handed_on..asked {
            Identity::of(pid).map_or(Ok(()), |supervisor| supervisor.signal(Signal::SIGTERM))?;
        }
        handed_on = asked;
        let state = StackState::read(folder).filter(|state| state.supervisor.pid == pid);
        match (state, ended) {
            (Some(state), None) if state.state == Phase::Ready && handed_on == 0 => return Ok(state),
            (_, Some(_)) if handed_on > 0 => bail!("stopped before the stack was ready"),
            (_, Some(_)) => bail!("the stack did not start; its logs are in {}", folder.logs().display()),
            _ => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

fn warn_of_low_disk(folder: &DataFolder) {
    let Ok(disk) = nix::sys::statvfs::statvfs(folder.path()) else {
        return;
    };
    let free_gib = disk.blocks_available() * disk.fragment_size() / (1 << 30);
    if free_gib < DISK_WARNING_GIB {
        let path = folder.path().display();
        eprintln!("warning: only {free_gib} GiB are free on the disk of {path}; choose another folder with --data");
    }
}

/// `256M`, `1G`: at least 64 MiB, in whole MiB.
fn mebibytes(text: &str) -> Result<u64, String> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let number: u64 = number
        .parse()
        .map_err(|_| "expected a number and a unit, for example 512M or 2G")?;
    let mebibytes = match unit.to_ascii_uppercase().trim_end_matches("IB").trim_end_matches('B') {
        "M" => Some(number),
        "G" => number.checked_mul(1024),
        _ => return Err("expected the unit M or G, for example 512M or 2G".to_owned()),
    };
    match mebibytes {
        Some(mebibytes @ 64..=1_048_576) => Ok(mebibytes),
        _ => Err("expected a size between 64M and 1024G".to_owned()),
    }
}

/// As `mebibytes`, but at least what the engine needs before its first statement.
fn mebibytes_of_engine(text: &str) -> Result<u64, String> {
    const MIN: u64 = crate::engine::MEMORY_BYTES_MIN >> 20;
    match mebibytes(text)? {
        mebibytes @ MIN.. => Ok(mebibytes),
        _ => Err(format!("expected {MIN}M or more")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_need_a_unit_and_make_sense() {
        assert_eq!(mebibytes("512M"), Ok(512));
        assert_eq!(mebibytes("2g"), Ok(2048));
        assert_eq!(mebibytes("2GiB"), Ok(2048));
        for refused in ["", "512", "M", "1K", "1M", "99999999999999999999G", "-1G"] {
            assert!(mebibytes(refused).is_err(), "{refused}");
        }
        assert_eq!(mebibytes_of_engine("255M"), Err("expected 256M or more".to_owned()));
        assert_eq!(mebibytes_of_engine("256M"), Ok(256));
    }
}
