//! One export in memory: what is known of it, and its way to the disk.
//!
//! Enters: changes, one at a time. Leaves: what is known, as it is on disk. Guarantees: whoever only looks never waits for a disk.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use super::job::{Job, Shown};
use super::shelf::Shelf;
use crate::access::Caller;
use crate::api::RequestId;

/// One export in memory.
pub struct Export {
    job: Mutex<Arc<Job>>,
    /// Held while a change is on its way to the disk, so that whoever only looks does not wait for that.
    changing: Mutex<()>,
    label: RequestId,
    /// Stop and progress.
    pub signals: Signals,
}

impl Export {
    /// Of an export that is on disk, or will be.
    pub fn new(job: Job) -> Arc<Self> {
        Arc::new(Self {
            label: RequestId::internal(format!("export/{}", job.id)),
            job: Mutex::new(Arc::new(job)),
            changing: Mutex::default(),
            signals: Signals::default(),
        })
    }

    /// What is known of it.
    pub fn job(&self) -> Arc<Job> {
        Arc::clone(&lock(&self.job))
    }

    /// What its statements are called in the engine.
    pub fn label(&self) -> &RequestId {
        &self.label
    }

    /// Changes what is known of it, on disk first. Blocks.
    pub fn change(&self, shelf: &Shelf, change: impl FnOnce(&mut Job)) -> io::Result<()> {
        let _changing = lock(&self.changing);
        let mut changed = Job::clone(&self.job());
        change(&mut changed);
        shelf.save(&changed)?;
        *lock(&self.job) = Arc::new(changed);
        Ok(())
    }

    /// Changes what is told of it, where the disk does not take it.
    pub fn tell(&self, change: impl FnOnce(&mut Job)) {
        change(Arc::make_mut(&mut lock(&self.job)));
    }

    /// Whether somebody may see all that its requester saw.
    pub fn is_for(&self, caller: &Caller) -> bool {
        caller.covers(&self.job().caller)
    }

    /// As its requester sees it.
    pub fn shown(&self) -> Shown {
        self.job().shown(self.rows_now())
    }

    /// Rows written, also of the file under way.
    pub fn rows_now(&self) -> u64 {
        self.signals.rows.load(Ordering::Relaxed)
    }
}

/// That it is to end, and how far it is.
#[derive(Debug, Default)]
pub struct Signals {
    stop: watch::Sender<bool>,
    /// Rows written, of finished files and of the one under way.
    pub rows: AtomicU64,
}

impl Signals {
    /// Ends it.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Whether it is to end.
    pub fn is_stopped(&self) -> bool {
        *self.stop.borrow()
    }

    /// Returns once it is to end.
    pub async fn stopped(&self) {
        // There is a sender as long as there are signals.
        let _ = self.stop.subscribe().wait_for(|stop| *stop).await;
    }

    /// Waits, but no longer than until it is to end.
    pub async fn pause(&self, time: Duration) {
        let _ = timeout(time, self.stopped()).await; // either is the end of the pause
    }
}

/// Also where a thread that held it ended.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
