//! The statements that run, and how they are stopped.
//!
//! Enters: the beginning and end of each statement; the departure of a client; the end of the process.
//! Leaves: `KILL QUERY` for read-only statements nobody waits for any more. A write whose client has gone goes on, as
//! in ClickHouse: its outcome is unknown to the client either way, and half of it would be worse than all of it. Writes
//! are stopped only when the process ends; a streamed insert also stops when its body breaks off.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::pool::Pool;

/// A kill is repeated at this interval, since a statement that has not started yet does not notice it.
const KILL_INTERVAL: Duration = Duration::from_millis(100);

/// All running statements.
#[derive(Default)]
pub struct Running {
    statements: Mutex<Vec<Arc<Statement>>>,
    changed: Condvar,
}

#[derive(Default)]
struct Statement {
    /// The tag that [`Pool::kill`] takes, and whether the statement is read-only.
    engine: Mutex<Option<(String, bool)>>,
    abandoned: AtomicBool,
    /// The process ends: a write must stop too.
    aborted: AtomicBool,
}

/// Held by the thread that runs the statement; dropped when it has ended.
pub struct Work {
    running: Arc<Running>,
    statement: Arc<Statement>,
}

/// Held by whoever waits for the statement; dropped when nobody does any more.
pub struct Interest {
    running: Arc<Running>,
    statement: Arc<Statement>,
}

impl Running {
    /// Registers a statement.
    pub fn begin(self: &Arc<Self>) -> (Work, Interest) {
        let statement = Arc::new(Statement::default());
        self.statements.lock().push(Arc::clone(&statement));
        let work = Work {
            running: Arc::clone(self),
            statement: Arc::clone(&statement),
        };
        (
            work,
            Interest {
                running: Arc::clone(self),
                statement,
            },
        )
    }

    /// How many statements run.
    pub fn count(&self) -> usize {
        self.statements.lock().len()
    }

    /// Stops all, reads and writes.
    pub fn abort_all(&self) {
        for statement in self.statements.lock().iter() {
            statement.aborted.store(true, Ordering::Release);
        }
        self.changed.notify_all();
    }

    /// Kills abandoned statements for as long as the process lives: the body of one thread.
    pub fn reap(&self, pool: &Pool) {
        loop {
            let mut statements = self.statements.lock();
            while !statements.iter().any(|statement| statement.to_kill().is_some()) {
                self.changed.wait(&mut statements);
            }
            let tags: Vec<String> = statements.iter().filter_map(|statement| statement.to_kill()).collect();
            drop(statements);
            for tag in tags {
                if let Err(error) = pool.kill(&tag) {
                    tracing::warn!(%error, tag, "cannot kill a statement");
                }
            }
            std::thread::sleep(KILL_INTERVAL);
        }
    }
}

impl Statement {
    fn to_kill(&self) -> Option<String> {
        let (tag, read_only) = self.engine.lock().clone()?;
        let wanted = if read_only {
            self.stopped()
        } else {
            self.aborted.load(Ordering::Acquire)
        };
        wanted.then_some(tag)
    }

    fn stopped(&self) -> bool {
        self.abandoned.load(Ordering::Acquire) || self.aborted.load(Ordering::Acquire)
    }
}

impl Work {
    /// The statement now runs under this tag; `read_only` ones are killed when nobody waits for them.
    pub fn runs_as(&self, tag: &str, read_only: bool) {
        let statements = self.running.statements.lock();
        *self.statement.engine.lock() = Some((tag.to_owned(), read_only));
        drop(statements);
        self.running.changed.notify_all();
    }

    /// The statement has ended: nothing is killed under its tag from here on. True if nothing was killed before either,
    /// so that the connection may serve another statement.
    pub fn ended(&self) -> bool {
        let statements = self.running.statements.lock();
        *self.statement.engine.lock() = None;
        let untouched = !self.statement.stopped();
        drop(statements);
        untouched
    }

    /// Nobody waits for the statement any more, or the process ends.
    pub fn is_stopped(&self) -> bool {
        self.statement.stopped()
    }

    /// The process ends.
    pub fn is_aborted(&self) -> bool {
        self.statement.aborted.load(Ordering::Acquire)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.running
            .statements
            .lock()
            .retain(|statement| !Arc::ptr_eq(statement, &self.statement));
    }
}

impl Drop for Interest {
    fn drop(&mut self) {
        self.statement.abandoned.store(true, Ordering::Release);
        // Under the lock, or the reaper could miss the change between its look and its wait.
        drop(self.running.statements.lock());
        self.running.changed.notify_all();
    }
}
