//! The machine that runs the measurement: its resources, and how much of them others used meanwhile.
//!
//! A figure from a shared machine means little without the latter. Contains nothing that identifies the machine.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::process::{ProcessError, TICKS_A_SECOND};

/// Its resources.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Cores that this process may use.
    pub cores: usize,
    /// Total memory.
    pub memory_bytes: u64,
}

/// CPU time of the whole machine since boot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CpuTime {
    /// Of all cores, seconds.
    pub total_s: f64,
    /// The part used by anybody, including other guests of the hypervisor.
    pub busy_s: f64,
}

impl Machine {
    /// The current machine.
    pub fn this() -> Result<Self, ProcessError> {
        let memory_kib = |text: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
            line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
        };
        Ok(Self {
            cores: std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
            memory_bytes: read("/proc/meminfo", memory_kib)? * 1024,
        })
    }
}

impl CpuTime {
    /// The time until now.
    pub fn now() -> Result<Self, ProcessError> {
        read("/proc/stat", Self::parse)
    }

    /// The share of all cores that was used since `before` by others than the processes that used `own_s` seconds.
    pub fn share_of_others(&self, before: &Self, own_s: f64) -> f64 {
        let total_s = self.total_s - before.total_s;
        let others_s = self.busy_s - before.busy_s - own_s;
        if total_s > 0.0 {
            (others_s / total_s).clamp(0.0, 1.0)
        } else {
            0.0
        }
    }

    /// `cpu  user nice system idle iowait irq softirq steal guest guest_nice`; the last two are included in the first
    /// two.
    fn parse(stat: &str) -> Option<Self> {
        let fields = stat.lines().next()?.strip_prefix("cpu ")?.split_ascii_whitespace();
        let ticks: Vec<u64> = fields.take(8).map_while(|field| field.parse().ok()).collect();
        let idle = ticks.get(3)? + ticks.get(4)?;
        let total: u64 = ticks.iter().sum();
        Some(Self {
            total_s: total as f64 / TICKS_A_SECOND,
            busy_s: (total - idle) as f64 / TICKS_A_SECOND,
        })
    }
}

fn read<T>(path: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T, ProcessError> {
    let text = std::fs::read_to_string(path).ok();
    text.and_then(|text| parse(&text))
        .ok_or_else(|| ProcessError::Unreadable(PathBuf::from(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_for_the_disk_is_not_using_the_cpu() {
        let time = CpuTime::parse("cpu  100 0 50 700 100 0 25 25 99 99\ncpu0 1 2 3\n").unwrap();
        assert_eq!((time.total_s, time.busy_s), (10.0, 2.0));
    }

    #[test]
    fn others_are_those_whose_time_is_not_ours() {
        let at = |total_s, busy_s| CpuTime { total_s, busy_s };
        assert_eq!(at(30.0, 15.0).share_of_others(&at(10.0, 5.0), 6.0), 0.2);
        assert_eq!(at(10.0, 5.0).share_of_others(&at(10.0, 5.0), 0.0), 0.0);
    }
}
