//! CPU, memory and disk use of the target's processes and of the tester, every second and across restarts.
//!
//! A process that replaces another has the same name: their usage adds up. The list of processes is only refreshed when
//! one is gone, because that costs CPU on the measured machine.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::sync::watch::Receiver;

use crate::process::{Process, Used};
use crate::results::{ProcessFigures, Sample};
use crate::target::Processes;

const INTERVAL: Duration = Duration::from_secs(1);

/// Samples until the run is over; returns the figures. The processes in `first` existed before the run began.
pub async fn watch(
    processes: Processes,
    first: Vec<Process>,
    begun: Instant,
    mut over: Receiver<bool>,
) -> Vec<ProcessFigures> {
    let mut watched = Watched::default();
    watched.add(first);
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        let last = tokio::select! {
            _ = interval.tick() => false,
            _ = over.wait_for(|over| *over) => true,
        };
        let one_is_gone = watched.look(begun.elapsed());
        if last {
            return watched.figures();
        }
        if one_is_gone {
            watched.find(&processes).await;
        }
    }
}

#[derive(Default)]
struct Watched {
    /// Names in the order in which they were found.
    names: Vec<String>,
    by_name: BTreeMap<String, Role>,
}

/// The successive processes of one name.
struct Role {
    process: Process,
    /// What the process had used when it was first seen.
    before: Used,
    /// What its predecessors used.
    earlier_cpu_s: f64,
    earlier_written: u64,
    latest: Used,
    peak: u64,
    restarts: u32,
    gone: bool,
    samples: Vec<Sample>,
}

impl Watched {
    async fn find(&mut self, processes: &Processes) {
        // If the stack does not answer, it is asked again when the next sample finds a process gone.
        self.add(processes.now().await.unwrap_or_default());
    }

    fn add(&mut self, found: Vec<Process>) {
        for process in found.into_iter().chain(Process::own()) {
            let Ok(used) = process.used() else { continue };
            match self.by_name.get_mut(&process.name) {
                Some(role) => role.replace(process, used),
                None => {
                    self.names.push(process.name.clone());
                    self.by_name.insert(process.name.clone(), Role::new(process, used));
                }
            }
        }
    }

    /// Takes a sample; returns whether a process is gone.
    fn look(&mut self, at: Duration) -> bool {
        let mut one_is_gone = self.by_name.len() <= 1;
        for role in self.by_name.values_mut() {
            match role.process.used() {
                Ok(used) => role.look(used, at),
                Err(_) => role.gone = true,
            }
            one_is_gone |= role.gone;
        }
        one_is_gone
    }

    fn figures(mut self) -> Vec<ProcessFigures> {
        let roles = self
            .names
            .iter()
            .filter_map(|name| Some((name.clone(), self.by_name.remove(name)?)));
        roles
            .map(|(name, role)| ProcessFigures {
                name,
                cpu_s: role.cpu_s(),
                cpu_us_a_record: 0.0,
                resident_peak_bytes: role.peak,
                written_bytes: role.written(),
                restarts: role.restarts,
                samples: role.samples,
            })
            .collect()
    }
}

impl Role {
    fn new(process: Process, used: Used) -> Self {
        Self {
            process,
            before: used,
            earlier_cpu_s: 0.0,
            earlier_written: 0,
            latest: used,
            peak: used.resident_bytes,
            restarts: 0,
            gone: false,
            samples: Vec::new(),
        }
    }

    fn replace(&mut self, process: Process, used: Used) {
        if process == self.process {
            return;
        }
        self.earlier_cpu_s += self.latest.cpu_s - self.before.cpu_s;
        self.earlier_written += self.latest.written_bytes.saturating_sub(self.before.written_bytes);
        // Everything a new process has used was used in this run.
        self.before = Used::default();
        (self.process, self.latest, self.gone) = (process, used, false);
        self.restarts += 1;
    }

    fn look(&mut self, used: Used, at: Duration) {
        let cpu_before = self.cpu_s();
        self.latest = used;
        self.peak = self.peak.max(used.resident_bytes);
        let at_s = at.as_secs_f64();
        let since = self.samples.last().map_or(0.0, |sample| sample.at_s);
        let cores = (self.cpu_s() - cpu_before) / (at_s - since).max(0.001);
        self.samples.push(Sample {
            at_s,
            cores,
            resident_bytes: used.resident_bytes,
            written_bytes: self.written(),
        });
    }

    fn cpu_s(&self) -> f64 {
        self.earlier_cpu_s + self.latest.cpu_s - self.before.cpu_s
    }

    fn written(&self) -> u64 {
        self.earlier_written + self.latest.written_bytes.saturating_sub(self.before.written_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32) -> Process {
        Process {
            name: "ingest".to_owned(),
            pid,
            started: 1,
        }
    }

    fn used(cpu_s: f64, written_bytes: u64) -> Used {
        Used {
            cpu_s,
            resident_bytes: 100,
            resident_peak_bytes: 100,
            written_bytes,
        }
    }

    #[test]
    fn a_successor_adds_to_what_the_first_has_used() {
        let mut role = Role::new(process(1), used(10.0, 1_000));
        role.look(used(12.0, 1_500), Duration::from_secs(1));
        role.replace(process(1), used(12.0, 1_500));
        role.replace(process(2), used(0.5, 0));
        role.look(used(1.5, 200), Duration::from_secs(2));
        assert_eq!((role.cpu_s(), role.written(), role.restarts), (3.5, 700, 1));
        assert_eq!(role.samples[0].cores, 2.0);
        assert_eq!(role.samples[1].cores, 1.0);
    }
}
