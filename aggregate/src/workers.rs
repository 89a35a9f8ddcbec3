//! The threads that run the dataflow, and how to feed them.
//!
//! In: the chunks of a batch, from any thread; several batches at a time. Out: its hourly aggregates. Workers are
//! operating system threads that park while there is nothing to do; their inboxes are bounded, so whoever feeds them
//! faster than they work waits. A worker that panics ends the process: otherwise its share of the keys would be missing
//! from every later batch.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use timely::communication::WorkerGuards;
use timely::scheduling::SyncActivator;

use crate::dataflow::{Feed, chunks, combine, gather, preaggregate};
use crate::hours::Hours;
use crate::samples::Samples;

/// Chunks that wait for one worker.
const INBOX_CHUNKS_MAX: usize = 4;

/// Why a batch was not aggregated.
#[derive(Debug, thiserror::Error)]
pub enum WorkersError {
    /// The workers could not be started.
    #[error("cannot start aggregate.workers = {workers} threads: {reason}")]
    Start {
        /// How many were asked for.
        workers: usize,
        /// The system's error.
        reason: String,
    },
    /// The process is shutting down.
    #[error("the workers of the dataflow have stopped")]
    Stopped,
    /// A chunk could not be decoded as a whole.
    #[error("a chunk of the batch cannot be decoded: {0}")]
    Decode(String),
}

/// Where to send the result of each batch, by its number.
type Waiting = Arc<Mutex<HashMap<u64, SyncSender<Hours>>>>;

/// A running dataflow that takes chunks of type `C`.
pub struct Workers<C> {
    inboxes: Vec<Inbox<C>>,
    /// The number of the next batch. Held while a batch is fed: batches enter one after the other, in the order of
    /// their numbers, and complete while the next ones enter.
    next_batch: Mutex<u64>,
    waiting: Waiting,
    /// Joins the threads when dropped. Never locked: the mutex only makes it `Sync`.
    _workers: Mutex<WorkerGuards<()>>,
}

struct Inbox<C> {
    sender: SyncSender<Feed<C>>,
    wake: SyncActivator,
}

impl<C> Inbox<C> {
    /// Blocks while the inbox is full.
    fn put(&self, feed: Feed<C>) -> Result<(), WorkersError> {
        self.sender.send(feed).map_err(|_| WorkersError::Stopped)?;
        self.wake.activate().map_err(|_| WorkersError::Stopped)
    }
}

impl<C: Send + 'static> Workers<C> {
    /// Starts `workers` threads, at least one; each makes its own decoder.
    pub fn start<D>(workers: usize, decoder: impl Fn() -> D + Send + Sync + 'static) -> Result<Self, WorkersError>
    where
        D: FnMut(C) -> Result<Samples, String> + 'static,
    {
        let workers = workers.max(1);
        let start_error = |reason| WorkersError::Start { workers, reason };
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..workers).map(|_| sync_channel(INBOX_CHUNKS_MAX)).unzip();
        let receivers: Mutex<Vec<Option<Receiver<Feed<C>>>>> = Mutex::new(receivers.into_iter().map(Some).collect());
        let (ready, started) = sync_channel(workers);
        let waiting = Waiting::default();
        let results = Arc::clone(&waiting);

        let guards = timely::execute(timely::Config::process(workers), move |worker| {
            let _abort = AbortOnPanic;
            let index = worker.index();
            let inbox = receivers.lock().unwrap_or_else(PoisonError::into_inner)[index].take();
            let Some(inbox) = inbox else { return };
            let (ready, decode, results) = (ready.clone(), decoder(), Arc::clone(&results));
            worker.dataflow(|scope| {
                let chunks = chunks(scope, inbox, |wake| drop(ready.send((index, wake))));
                gather(combine(preaggregate(chunks, decode)), move |batch, hours| {
                    deliver(&results, batch, hours)
                });
            });
            while worker.step_or_park(None) {}
        })
        .map_err(start_error)?;

        let mut wakes: Vec<(usize, SyncActivator)> = started.iter().take(workers).collect();
        wakes.sort_by_key(|(index, _)| *index);
        let inboxes: Vec<_> = senders
            .into_iter()
            .zip(wakes)
            .map(|(sender, (_, wake))| Inbox { sender, wake })
            .collect();
        Ok(Self {
            inboxes,
            next_batch: Mutex::new(0),
            waiting,
            _workers: Mutex::new(guards),
        })
    }

    /// The aggregates of a batch, whose chunks come in the order of their records. Blocks until they are complete.
    pub fn aggregate(&self, chunks: impl IntoIterator<Item = C>) -> Result<Hours, WorkersError> {
        let mut chunks = chunks.into_iter().peekable();
        if chunks.peek().is_none() {
            return Ok(Hours::default());
        }
        let (result, waiter) = sync_channel(1);
        self.feed(chunks, result)?;
        let mut hours = waiter.recv().map_err(|_| WorkersError::Stopped)?;
        match hours.tally.failure.take() {
            Some(failure) => Err(WorkersError::Decode(failure)),
            None => Ok(hours),
        }
    }

    fn feed(&self, chunks: impl Iterator<Item = C>, result: SyncSender<Hours>) -> Result<(), WorkersError> {
        // Poisoned: the previous holder left a batch without an end, so no later batch could complete.
        let mut next_batch = self.next_batch.lock().map_err(|_| WorkersError::Stopped)?;
        let batch = *next_batch;
        *next_batch += 1;
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(batch, result);
        // Batches begin with different workers, so that many small ones spread like one large one.
        let inboxes = self
            .inboxes
            .iter()
            .cycle()
            .skip((batch % self.inboxes.len() as u64) as usize);
        for ((number, chunk), inbox) in (0..).zip(chunks).zip(inboxes) {
            inbox.put(Feed::Chunk(number, chunk))?;
        }
        self.inboxes.iter().try_for_each(|inbox| inbox.put(Feed::BatchEnd))
    }
}

impl<C> Drop for Workers<C> {
    /// Closes the inboxes; the workers finish what they have and end.
    fn drop(&mut self) {
        for Inbox { sender, wake } in self.inboxes.drain(..) {
            drop(sender);
            // A worker that is no longer there needs no waking.
            let _ = wake.activate();
        }
    }
}

fn deliver(waiting: &Waiting, batch: u64, hours: Hours) {
    let result = waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&batch);
    if let Some(result) = result {
        // The caller may be gone; then nobody misses the result.
        drop(result.send(hours));
    }
}

/// Ends the process when the thread that holds it panics.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("a worker of the dataflow panicked, the process ends");
            std::process::abort();
        }
    }
}
