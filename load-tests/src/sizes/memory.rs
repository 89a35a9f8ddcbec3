//! The memory of all processes together, sampled repeatedly.
//!
//! The sum of their resident memory. Shared pages are counted once per process, so the true sum is a little smaller.

use std::time::Duration;

use serde::Serialize;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::process::{Process, ProcessError};

const INTERVAL: Duration = Duration::from_millis(200);

/// Samples the memory between start and finish.
pub struct Watch {
    looking: JoinHandle<Result<Memory, ProcessError>>,
    finish: oneshot::Sender<()>,
}

/// Peak resident memory.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Memory {
    /// The peak of all processes together.
    pub together_peak_bytes: u64,
    /// The peak of each process, by name.
    pub peaks: Vec<(String, u64)>,
}

impl Watch {
    /// Starts sampling.
    pub fn start(processes: Vec<Process>) -> Self {
        let (finish, mut finished) = oneshot::channel();
        let looking = tokio::spawn(async move {
            let mut memory = Memory::default();
            let mut interval = tokio::time::interval(INTERVAL);
            loop {
                let last = tokio::select! {
                    _ = interval.tick() => false,
                    _ = &mut finished => true,
                };
                look(&processes, &mut memory)?;
                if last {
                    return Ok(memory);
                }
            }
        });
        Self { looking, finish }
    }

    /// Stops sampling. An error if one of the processes ended or was replaced.
    pub async fn finish(self) -> anyhow::Result<Memory> {
        // If the task has ended already, it has an error to return.
        let _ = self.finish.send(());
        Ok(self.looking.await??)
    }
}

fn look(processes: &[Process], memory: &mut Memory) -> Result<(), ProcessError> {
    let used = processes
        .iter()
        .map(|process| Ok((process.name.clone(), process.used()?)))
        .collect::<Result<Vec<_>, ProcessError>>()?;
    let together = used.iter().map(|(_, used)| used.resident_bytes).sum();
    memory.together_peak_bytes = memory.together_peak_bytes.max(together);
    memory.peaks = used
        .into_iter()
        .map(|(name, used)| (name, used.resident_peak_bytes))
        .collect();
    Ok(())
}
