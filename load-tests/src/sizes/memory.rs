//! The memory of all processes together, looked at again and again.
//!
//! The sum of what is resident. Pages that processes share are counted for each, so the true sum is a little smaller.

use std::time::Duration;

use serde::Serialize;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::process::{Process, ProcessError};

const INTERVAL: Duration = Duration::from_millis(200);

/// Looks from its start to its finish.
pub struct Watch {
    looking: JoinHandle<Result<Memory, ProcessError>>,
    finish: oneshot::Sender<()>,
}

/// What was resident.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Memory {
    /// The most of all processes at one time.
    pub together_peak_bytes: u64,
    /// The most of each at any time, by name.
    pub peaks: Vec<(String, u64)>,
}

impl Watch {
    /// Begins.
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

    /// Ends. An error when one of the processes was not the same all the time.
    pub async fn finish(self) -> anyhow::Result<Memory> {
        // When it does not look any more it has an error to give.
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
