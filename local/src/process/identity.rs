//! Identifies a process: ids are reused, so an id counts only together with the start time.

use std::process::Child;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// A process id and when that process started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Process id.
    pub pid: i32,
    /// Clock ticks since boot.
    pub started: u64,
}

impl Identity {
    /// The process that has this id now, if it runs. A process whose main thread has ended (`Z`) still runs, and holds
    /// its files and ports, while it has other threads.
    pub fn of(pid: i32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (state, started) = parse_stat(&stat)?;
        let runs = match state {
            'X' => false,
            'Z' => threads(pid) > 1,
            _ => true,
        };
        runs.then_some(Self { pid, started })
    }

    /// This process.
    pub fn own() -> Option<Self> {
        i32::try_from(std::process::id()).ok().and_then(Self::of)
    }

    /// A child that has not been waited for, so that its id is still its own.
    pub(super) fn of_child(child: &Child) -> Self {
        let pid = child.id().cast_signed();
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        Self {
            pid,
            started: parse_stat(&stat).map_or(0, |(_, started)| started),
        }
    }

    /// Whether that very process still runs.
    pub fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Sends a signal, if that very process still runs. Fails if that is not allowed.
    pub fn signal(self, signal: Signal) -> nix::Result<()> {
        if !self.is_alive() {
            return Ok(());
        }
        match kill(Pid::from_raw(self.pid), signal) {
            Err(Errno::ESRCH) => Ok(()), // it has ended meanwhile
            sent => sent,
        }
    }
}

/// The threads of a process that have not been waited for; a main thread that has ended counts while others run.
fn threads(pid: i32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count)
}

/// State and start time from `/proc/PID/stat`. The name in parentheses may hold spaces and parentheses itself.
fn parse_stat(stat: &str) -> Option<(char, u64)> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let started = fields.nth(18)?.parse().ok()?; // field 22 of the line; the state is field 3
    Some((state, started))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b) c) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 9 9";
        assert_eq!(parse_stat(stat), Some(('S', 4711)));
    }

    #[test]
    fn a_process_that_ended_is_not_alive() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let identity = Identity::of_child(&child);
        child.wait().unwrap();
        assert!(!identity.is_alive());
        assert!(Identity::own().unwrap().is_alive());
    }

    #[test]
    fn a_process_lives_for_as_long_as_one_of_its_threads() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let first_thread_ends = "import ctypes, platform, threading, time
threading.Thread(target=lambda: time.sleep(600)).start()
exit = {'x86_64': 60, 'aarch64': 93}[platform.machine()]  # of one thread
print('ready', flush=True)
ctypes.CDLL(None).syscall(exit, 0)";
        let mut child = std::process::Command::new("python3")
            .args(["-c", first_thread_ends])
            .stdout(writer)
            .spawn()
            .unwrap();
        let identity = Identity::of_child(&child);
        let state = || parse_stat(&std::fs::read_to_string(format!("/proc/{}/stat", identity.pid)).unwrap());
        std::io::Read::read_exact(&mut reader, &mut [0; 6]).unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while state() != Some(('Z', identity.started)) {
            assert!(std::time::Instant::now() < deadline, "{:?}", state());
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert!(identity.is_alive());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!identity.is_alive());
    }
}
