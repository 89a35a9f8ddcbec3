//! One export in memory: its state, and how changes of it reach the disk.
//!
//! Enters: changes, one at a time. Leaves: the state as it is on disk. Guarantees: readers never wait for the disk.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::timeout;

use super::job::Job;
use super::shelf::Shelf;
use super::shown::Shown;
use crate::access::Caller;
use crate::api::RequestId;

/// One export in memory.
pub struct Export {
    job: Mutex<Arc<Job>>,
    /// Held while a change is written to disk, so that readers do not wait for that.
    changing: Mutex<()>,
    label: RequestId,
    /// Cancellation and progress.
    pub signals: Signals,
}

impl Export {
    /// For an export that is on disk, or will be.
    pub fn new(job: Job) -> Arc<Self> {
        Arc::new(Self {
            label: RequestId::internal(format!("export/{}", job.id)),
            job: Mutex::new(Arc::new(job)),
            changing: Mutex::default(),
            signals: Signals::default(),
        })
    }

    /// Its current state.
    pub fn job(&self) -> Arc<Job> {
        Arc::clone(&self.job.lock())
    }

    /// The id of its statements in the engine.
    pub fn label(&self) -> &RequestId {
        &self.label
    }

    /// Changes its state, on disk first. Blocks.
    pub fn change(&self, shelf: &Shelf, change: impl FnOnce(&mut Job)) -> io::Result<()> {
        let _changing = self.changing.lock();
        let mut changed = Job::clone(&self.job());
        change(&mut changed);
        shelf.save(&changed)?;
        *self.job.lock() = Arc::new(changed);
        Ok(())
    }

    /// Changes its state in memory only, when the disk cannot be written.
    pub fn tell(&self, change: impl FnOnce(&mut Job)) {
        change(Arc::make_mut(&mut self.job.lock()));
    }

    /// Whether the caller may see everything that its requester saw.
    pub fn is_for(&self, caller: &Caller) -> bool {
        caller.covers(&self.job().caller)
    }

    /// As shown to callers.
    pub fn shown(&self) -> Shown {
        self.job().shown(self.rows_now())
    }

    /// Rows written, including the unfinished file.
    pub fn rows_now(&self) -> u64 {
        self.signals.rows.load(Ordering::Relaxed)
    }
}

/// Requests to stop, and progress.
#[derive(Debug, Default)]
pub struct Signals {
    stop: watch::Sender<bool>,
    /// Rows written, in finished files and the unfinished one.
    pub rows: AtomicU64,
}

impl Signals {
    /// Asks it to stop.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Whether it is to stop.
    pub fn is_stopped(&self) -> bool {
        *self.stop.borrow()
    }

    /// Returns once it is to stop.
    pub async fn stopped(&self) {
        // Cannot fail: the sender lives as long as the signals.
        let _ = self.stop.subscribe().wait_for(|stop| *stop).await;
    }

    /// Sleeps, but returns early if it is to stop.
    pub async fn pause(&self, time: Duration) {
        let _ = timeout(time, self.stopped()).await; // either ends the pause
    }
}
