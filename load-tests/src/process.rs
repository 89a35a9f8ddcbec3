//! What a process has used, from `/proc`: CPU seconds and memory. Also pauses processes, and always resumes them.
//!
//! A process is identified by its id and start time, because ids are reused: a restarted process is not mistaken for
//! the measured one, and no other process is ever signalled.

use std::path::PathBuf;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;

/// USER_HZ: a constant of the kernel's interface on every architecture that we run on.
pub(crate) const TICKS_A_SECOND: f64 = 100.0;
const BYTES_A_KIB: u64 = 1024;

/// A process of the system under test.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Process {
    /// Display name.
    pub name: String,
    /// Its id.
    pub pid: i32,
    /// When it started, in clock ticks since boot.
    pub started: u64,
}

/// Why a process cannot be inspected or signalled.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It ended or was restarted.
    #[error("{0} ended or was restarted during the measurement; its log tells why (--keep keeps it)")]
    Gone(String),
    /// `/proc` has an unexpected format.
    #[error("cannot read {0}")]
    Unreadable(PathBuf),
}

/// The resources that a process has used since it started.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Used {
    /// CPU time in user and kernel mode, seconds.
    pub cpu_s: f64,
    /// Current resident memory.
    pub resident_bytes: u64,
    /// Peak resident memory.
    pub resident_peak_bytes: u64,
    /// Bytes that it caused to be written to disk; 0 if we lack the permission to read this.
    pub written_bytes: u64,
}

impl Process {
    /// This process.
    pub fn own() -> Result<Self, ProcessError> {
        let path = PathBuf::from("/proc/self/stat");
        let stat = std::fs::read_to_string(&path).ok().and_then(|text| Stat::parse(&text));
        let started = stat.ok_or(ProcessError::Unreadable(path))?.started;
        Ok(Self {
            name: "horolog-load".to_owned(),
            pid: std::process::id().cast_signed(),
            started,
        })
    }

    /// The process with this id.
    pub fn running(name: &str, pid: i32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Some(Self {
            name: name.to_owned(),
            pid,
            started: Stat::parse(&stat)?.started,
        })
    }

    /// Sends SIGKILL.
    pub fn kill(&self) -> Result<(), ProcessError> {
        self.signal(Signal::SIGKILL)
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) -> Result<(), ProcessError> {
        self.signal(Signal::SIGTERM)
    }

    /// The resources used so far.
    pub fn used(&self) -> Result<Used, ProcessError> {
        let read = |file| std::fs::read_to_string(format!("/proc/{}/{file}", self.pid)).ok();
        let gone = || ProcessError::Gone(self.name.clone());
        let stat = read("stat").and_then(|text| Stat::parse(&text));
        let stat = stat.filter(|stat| stat.started == self.started).ok_or_else(gone)?;
        let status = read("status").ok_or_else(gone)?;
        Ok(Used {
            cpu_s: stat.cpu_ticks as f64 / TICKS_A_SECOND,
            resident_bytes: kib(&status, "VmRSS:").unwrap_or_default() * BYTES_A_KIB,
            resident_peak_bytes: kib(&status, "VmHWM:").unwrap_or_default() * BYTES_A_KIB,
            written_bytes: read("io").and_then(|io| written(&io)).unwrap_or_default(),
        })
    }

    fn signal(&self, signal: Signal) -> Result<(), ProcessError> {
        self.used()?;
        kill(Pid::from_raw(self.pid), signal).map_err(|_| ProcessError::Gone(self.name.clone()))
    }
}

/// Processes that stay stopped until this is dropped.
#[derive(Debug)]
pub struct Paused(Vec<Process>);

impl Paused {
    /// Sends SIGSTOP to each.
    pub fn new(processes: impl IntoIterator<Item = Process>) -> Result<Self, ProcessError> {
        let mut paused = Self(Vec::new());
        for process in processes {
            process.signal(Signal::SIGSTOP)?;
            paused.0.push(process);
        }
        Ok(paused)
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        for process in &self.0 {
            // A process that has ended need not be resumed.
            let _ = process.signal(Signal::SIGCONT);
        }
    }
}

/// Fields of `/proc/PID/stat`.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    cpu_ticks: u64,
    started: u64,
}

impl Stat {
    /// The name in parentheses may itself contain spaces and parentheses. The first field after it is number 3.
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            cpu_ticks: field(14)? + field(15)?,
            started: field(22)?,
        })
    }
}

/// `write_bytes: 1234`, minus what was truncated before it reached the disk.
fn written(io: &str) -> Option<u64> {
    let field = |name: &str| {
        io.lines()
            .find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok())
    };
    Some(field("write_bytes:")?.saturating_sub(field("cancelled_write_bytes:").unwrap_or_default()))
}

/// `VmRSS:      1234 kB`
fn kib(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let text = "7 (a) b) c) S 1 7 7 0 -1 4194560 1 2 3 4 50 6 7 8 20 0 1 0 4711 9 9";
        let expected = Stat {
            cpu_ticks: 56,
            started: 4711,
        };
        assert_eq!(Stat::parse(text), Some(expected));
        assert_eq!(Stat::parse("7 (a) S 1"), None);
    }

    #[test]
    fn memory_is_found_by_its_name() {
        let status = "VmPeak:\t  900 kB\nVmHWM:\t  300 kB\nVmRSS:\t  200 kB\n";
        assert_eq!((kib(status, "VmRSS:"), kib(status, "VmHWM:")), (Some(200), Some(300)));
    }

    #[test]
    fn what_never_reached_the_disk_is_not_counted() {
        let io = "rchar: 1\nwchar: 2\nread_bytes: 3\nwrite_bytes: 8192\ncancelled_write_bytes: 4096\n";
        assert_eq!(written(io), Some(4_096));
        assert_eq!(written("rchar: 1\n"), None);
    }

    #[test]
    fn a_process_with_another_start_time_is_gone() {
        let own = Process::own().unwrap();
        assert!(own.used().unwrap().resident_bytes > 0);
        let other = Process {
            started: own.started + 1,
            ..own
        };
        assert!(matches!(other.used(), Err(ProcessError::Gone(_))));
        assert!(Paused::new([other]).is_err());
    }
}
