//! One insert, repeated until its outcome is known, as long as the lease allows it.
//!
//! Never gives up on errors that may pass, never continues without a lease, never changes the token of a block.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;

use crate::lease::Lease;
use crate::ledger::{self, LedgerRow};
use crate::metrics::{ClassLabel, LEASE_OVER, Metrics, OUTCOME_UNKNOWN, TableLabel};
use crate::range::Range;
use crate::retry::Backoff;
use crate::store::{Store, StoreError};
use crate::turn::Turn;

/// Timeout of one attempt as a whole, beyond the timeouts of its parts, against a server that accepts and never
/// answers.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(180);
/// So many successive attempts of a batch have an `inserted_at` of their own, a millisecond apart.
const ATTEMPTS_APART: i64 = 1_000;
/// How often a stale lease is checked again.
const LEASE_POLL_INTERVAL: Duration = Duration::from_millis(50);

/// What is needed for every insert of a batch.
pub struct Batch<'a> {
    /// Distinguishes its range from any other.
    pub token: String,
    /// Its records.
    pub range: &'a Range,
    /// Its lease.
    pub lease: &'a Lease,
    /// Whether the outcome of any attempt was unknown: then a token that is known does not prove that its rows are
    /// stored.
    pub doubted: &'a AtomicBool,
    /// Its turn, which it yields to others while it waits.
    pub turn: &'a Turn,
    /// The number of attempts so far, of anything of it.
    pub attempts: &'a AtomicI64,
}

impl Batch<'_> {
    /// Whether the outcome of any attempt was unknown.
    pub fn is_doubted(&self) -> bool {
        self.doubted.load(Ordering::Relaxed)
    }

    /// The `inserted_at` of the next attempt, ms since 1970. No other of the last thousand attempts had it, so copies
    /// of a row can be told apart if the server has forgotten the token. It is never more than a second before the
    /// confirmation, or endless attempts would become older than any lease.
    fn next_inserted_at(&self) -> i64 {
        let attempt = 1 + self.attempts.fetch_add(1, Ordering::Relaxed) % ATTEMPTS_APART;
        self.lease.confirmed_ms() - attempt
    }
}

/// Why attempts ended.
pub enum Failed {
    /// The lease was revoked.
    Revoked,
    /// The content was refused.
    Content(String),
    /// A retry cannot help.
    Fatal(String),
}

/// Why a batch is not delivered.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The partition is no longer ours; its next owner recovers the batch.
    #[error("the partition was taken away")]
    Revoked,
    /// Neither a retry nor rejecting records can help.
    #[error("{0}")]
    Stopped(String),
}

/// An error that stops the partition.
pub fn fatal(error: StoreError) -> DeliveryError {
    DeliveryError::Stopped(error.to_string())
}

impl From<Failed> for DeliveryError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Revoked => Self::Revoked,
            Failed::Content(message) | Failed::Fatal(message) => Self::Stopped(message),
        }
    }
}

/// Inserts with patience.
pub struct Inserts {
    store: Store,
    lease_life: Duration,
    metrics: Metrics,
    /// By token of the batch: batches of one topic may be refused while those of another are accepted.
    refused: Mutex<HashMap<String, Refused>>,
}

/// The attempts of a batch fail.
struct Refused {
    since: Instant,
    why: String,
}

/// Attempts in progress. They end with an outcome, or because nobody waits for it any more.
struct UnderWay<'a> {
    inserts: &'a Inserts,
    token: &'a str,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.inserts.refused().remove(self.token);
    }
}

impl Inserts {
    /// Inserts into `store` under leases that last `lease_life`.
    pub fn new(store: Store, lease_life: Duration, metrics: Metrics) -> Self {
        Self {
            store,
            lease_life,
            metrics,
            refused: Mutex::default(),
        }
    }

    /// Why inserts of the batch that has been refused for longest fail, if it has been for at least `time`.
    pub fn refused_for(&self, time: Duration) -> Option<String> {
        let refused = self.refused();
        let longest = refused.values().min_by_key(|refused| refused.since)?;
        (longest.since.elapsed() >= time).then(|| longest.why.clone())
    }

    fn refused(&self) -> MutexGuard<'_, HashMap<String, Refused>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store itself.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Inserts rows under a token.
    pub async fn insert(&self, batch: &Batch<'_>, table: &str, rows: &RecordBatch, token: &str) -> Result<(), Failed> {
        let begun = Instant::now();
        let done = self.attempts(batch, || {
            let lease_ms = batch.next_inserted_at();
            async move { self.store.insert(table, rows, token, lease_ms).await }
        });
        done.await?;
        let label = TableLabel {
            table: table.to_owned(),
        };
        self.metrics
            .insert_seconds
            .get_or_create(&label)
            .observe(begun.elapsed().as_secs_f64());
        Ok(())
    }

    /// Inserts a row of the ledger. Copies of it replace one another, so no attempt relies on the server remembering
    /// the token of another.
    pub async fn insert_ledger_row(&self, batch: &Batch<'_>, mut row: LedgerRow) -> Result<(), DeliveryError> {
        self.patiently(batch, || {
            row.inserted_at = batch.next_inserted_at();
            let row = row.clone();
            async move { self.store.insert_row(ledger::TABLE, &row, &row.token()).await }
        })
        .await
    }

    /// [`Self::attempts`], where refused content stops the partition.
    pub async fn patiently<T, F>(&self, batch: &Batch<'_>, attempt: impl FnMut() -> F) -> Result<T, DeliveryError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        self.attempts(batch, attempt).await.map_err(DeliveryError::from)
    }

    /// Attempts, each with a fresh lease, until the outcome is known or the partition is taken away.
    async fn attempts<T, F>(&self, batch: &Batch<'_>, mut attempt: impl FnMut() -> F) -> Result<T, Failed>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let _under_way = UnderWay {
            inserts: self,
            token: &batch.token,
        };
        let mut backoff = Backoff::default();
        loop {
            if batch.lease.is_revoked() {
                return Err(Failed::Revoked);
            }
            if !batch.lease.is_fresh(self.lease_life) {
                batch.turn.rest(LEASE_POLL_INTERVAL).await;
                continue;
            }
            let outcome = tokio::time::timeout(ATTEMPT_TIMEOUT, attempt()).await;
            let (class, error) = match outcome.unwrap_or_else(|_| Err(StoreError::no_answer())) {
                Ok(done) => return Ok(done),
                Err(StoreError::Content(message)) => {
                    // A materialized view may fail after its table has stored the rows, so they are read back.
                    if !batch.doubted.swap(true, Ordering::Relaxed) {
                        tracing::warn!(partition = %batch.range.id, start = batch.range.start, end = batch.range.end,
                            %message, "clickhouse refuses content of the batch");
                    }
                    return Err(Failed::Content(message));
                }
                Err(StoreError::Fatal(message)) => return Err(Failed::Fatal(message)),
                Err(error @ StoreError::Lease(_)) => (LEASE_OVER, error),
                Err(error @ StoreError::Unknown(_)) => {
                    batch.doubted.store(true, Ordering::Relaxed);
                    (OUTCOME_UNKNOWN, error)
                }
            };
            self.metrics.insert_failures.get_or_create(&ClassLabel { class }).inc();
            self.note_refusal(batch, &error);
            let wait = backoff.next_wait();
            tracing::warn!(partition = %batch.range.id, start = batch.range.start, end = batch.range.end, class, %error,
                wait_ms = wait.as_millis() as u64, "clickhouse did not accept the batch, retrying");
            batch.turn.rest(wait).await;
        }
    }

    fn note_refusal(&self, batch: &Batch<'_>, error: &StoreError) {
        let why = format!("{}: {error}", batch.range.id);
        let mut refused = self.refused();
        let since = refused
            .get(&batch.token)
            .map_or_else(Instant::now, |refused| refused.since);
        refused.insert(batch.token.clone(), Refused { since, why });
    }
}
